// All saved pictures, newest first, some at a time.

const PAGE = 60;
const address = (path) => new URL(`api/v1/history${path}`, document.baseURI).href;

export function start({ element, trigger }) {
  const history = new History(element, trigger);
  document.addEventListener("easel:history", () => {
    if (element.isConnected) history.load(0); // the tab was opened
  });
  history.load(0);
}

class History {
  constructor(element, trigger) {
    this.root = element.querySelector(".easel-history");
    this.part = (selector) => this.root.querySelector(selector);
    this.view = this.part("dialog");
    this.trigger = trigger;
    this.images = [];
    this.part(".more").onclick = () => this.load(this.images.length);
    this.bindView();
  }

  // The pictures after the first `before` ones; what was shown stays until they are here.
  async load(before) {
    const mine = (this.asked = (this.asked ?? 0) + 1);
    let page;
    try {
      const response = await fetch(address(`?limit=${PAGE}&offset=${before}`));
      if (!response.ok) throw new Error(response.statusText);
      page = await response.json();
    } catch {
      this.part(".count").textContent = "The history could not be read. Is the server still running?";
      return;
    }
    if (mine !== this.asked) return; // a newer look is under way
    if (before === 0) {
      this.images = [];
      this.part(".pictures").replaceChildren();
    }
    this.images.push(...page.images);
    this.part(".pictures").append(...page.images.map((image, k) => this.tile(image, before + k)));
    this.part(".count").textContent = page.total ? `${page.total} ${page.total === 1 ? "picture" : "pictures"}` : "";
    this.part(".nothing").hidden = page.total > 0;
    this.part(".more").hidden = this.images.length >= page.total || !page.images.length;
  }

  tile(image, index) {
    const button = Object.assign(document.createElement("button"), { type: "button", title: image.prompt });
    const img = Object.assign(document.createElement("img"), { alt: image.prompt.slice(0, 200), loading: "lazy" });
    img.onerror = () => button.classList.add("missing");
    img.src = new URL(image.url, document.baseURI).href;
    button.append(img);
    button.onclick = () => this.open(index);
    return button;
  }

  bindView() {
    const part = (selector) => this.view.querySelector(selector);
    part(".previous").onclick = () => this.open(this.index - 1);
    part(".next").onclick = () => this.open(this.index + 1);
    part(".close").onclick = () => this.view.close();
    this.view.onkeydown = (event) => {
      if (event.key === "ArrowLeft") this.open(this.index - 1);
      if (event.key === "ArrowRight") this.open(this.index + 1);
    };
    for (const button of this.view.querySelectorAll("[data-send]")) {
      button.onclick = () => {
        this.view.close();
        this.trigger("select", { image: this.shown.id, tab: button.dataset.send });
      };
    }
  }

  open(index) {
    const image = this.images[index];
    if (!image) return;
    this.index = index;
    this.shown = image; // the list may be read anew while it is open
    const url = new URL(image.url, document.baseURI).href;
    const img = this.view.querySelector("img");
    img.src = url;
    img.alt = image.prompt.slice(0, 200);
    this.view.querySelector(".infotext").textContent = image.infotext;
    this.view.querySelector(".download").href = url;
    this.view.querySelector(".previous").hidden = index === 0;
    this.view.querySelector(".next").hidden = index === this.images.length - 1;
    if (!this.view.open) this.view.showModal();
  }
}
