// The finished pictures of the job on the stage: thumbnails, parameters, actions, full size.

import * as jobs from "./jobs.js";

export class Results {
  constructor(element, tab, painter, trigger) {
    this.stage = element.querySelector(".easel-stage");
    this.gallery = element.querySelector(".easel-gallery");
    this.details = element.querySelector(".easel-details");
    this.lightbox = element.querySelector(".easel-lightbox");
    this.painter = painter;
    this.trigger = trigger;
    this.clear();
    this.bindDetails();
    this.bindLightbox();
  }

  clear() {
    this.job = null;
    this.count = 0;
    this.images = [];
    this.selected = null;
    this.gallery.replaceChildren();
    this.gallery.hidden = this.details.hidden = this.enlarge.hidden = true;
  }

  get enlarge() {
    return this.stage.querySelector(".enlarge");
  }

  // The job has these pictures now.
  grow(job, images) {
    this.job = job;
    this.images = images;
    while (this.count < images.length) this.gallery.append(this.thumbnail(this.count++));
    this.gallery.hidden = !images.length;
  }

  thumbnail(index) {
    const button = document.createElement("button");
    const img = document.createElement("img");
    button.type = "button";
    button.setAttribute("aria-label", `Picture ${index + 1}`);
    img.alt = "";
    img.src = jobs.imageUrl(this.job, index);
    img.onerror = () => {
      button.classList.add("missing");
      button.setAttribute("aria-label", `Picture ${index + 1}, could not be loaded`);
    };
    button.append(img);
    button.onclick = () => this.select(index);
    return button;
  }

  select(index) {
    this.selected = index;
    this.stage.dataset.seed = this.images[index].seed;
    [...this.gallery.children].forEach((child, k) => child.setAttribute("aria-current", String(k === index)));
    const url = jobs.imageUrl(this.job, index);
    this.stage.querySelector(".empty").hidden = true;
    this.painter.show(url, {
      alt: `Picture ${index + 1}`,
      onPainted: () => {
        this.enlarge.hidden = false;
        this.stage.querySelector(".trouble").hidden = true;
      },
      onMissing: () => this.showMissing(),
    });
    this.details.querySelector(".download").href = url;
    this.details.hidden = false;
    this.showInfotext(index);
  }

  showMissing() {
    this.painter.clear();
    const hint = "Its file may have been moved or deleted from the outputs folder.";
    this.complain("This picture could not be loaded.", hint);
  }

  complain(message, hint) {
    const trouble = this.stage.querySelector(".trouble");
    trouble.querySelector("strong").textContent = message;
    trouble.querySelector("span").textContent = hint ?? "";
    trouble.hidden = false;
    this.enlarge.hidden = true;
  }

  async showInfotext(index) {
    const target = this.details.querySelector(".infotext");
    const job = this.job;
    try {
      const text = await jobs.infotext(job, index);
      if (job !== this.job || index !== this.selected) return;
      target.textContent = text;
      this.painter.img.alt = text.split("\n")[0].slice(0, 200) || `Picture ${index + 1}`;
    } catch {
      target.textContent = "";
    }
  }

  bindDetails() {
    const copy = this.details.querySelector(".copy");
    copy.onclick = async () => {
      copy.textContent = (await copyText(this.details.querySelector(".infotext"))) ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (copy.textContent = "Copy parameters"), 1500);
    };
    this.details.querySelector(".send").onclick = () =>
      this.trigger("select", { job: this.job, index: this.selected });
  }

  bindLightbox() {
    const find = (selector) => this.lightbox.querySelector(selector);
    const turn = (by) => {
      this.select((this.selected + by + this.count) % this.count);
      this.fillLightbox();
    };
    this.enlarge.onclick = () => this.openLightbox();
    this.painter.img.onclick = () => this.enlarge.hidden || this.openLightbox();
    find(".previous").onclick = () => turn(-1);
    find(".next").onclick = () => turn(1);
    find(".close").onclick = () => this.lightbox.close();
    this.lightbox.onclick = (event) => event.target === this.lightbox && this.lightbox.close();
    this.lightbox.onkeydown = (event) => {
      if (event.key === "ArrowLeft") turn(-1);
      if (event.key === "ArrowRight") turn(1);
    };
  }

  openLightbox() {
    this.fillLightbox();
    this.lightbox.showModal();
  }

  fillLightbox() {
    const img = this.lightbox.querySelector("img");
    const gone = this.lightbox.querySelector(".gone");
    img.hidden = gone.hidden = true;
    img.onload = () => (img.hidden = false);
    img.onerror = () => (gone.hidden = false);
    img.src = jobs.imageUrl(this.job, this.selected);
    img.alt = this.painter.img.alt;
    for (const name of [".previous", ".next"]) this.lightbox.querySelector(name).hidden = this.count < 2;
  }
}

// The clipboard needs a secure context; over plain http in a local network the text is selected instead.
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}
