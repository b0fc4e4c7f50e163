// The picture that img2img starts from, and the mask over it. The file is uploaded once, untouched; what travels with a request is its
// path on the server.

import { MaskTools } from "./mask_tools.js";

export function start({ element, props, trigger, watch, upload }) {
  const canvas = new Canvas(element, props, upload, trigger);
  watch("value", () => canvas.obey(props.value));
  canvas.obey(props.value);
}

class Canvas {
  constructor(element, props, upload, trigger) {
    this.root = element.querySelector(".easel-canvas");
    this.part = (selector) => this.root.querySelector(selector);
    this.props = props;
    this.upload = upload;
    this.trigger = trigger;
    this.tools = new MaskTools(this.root, () => this.sendMask(), (sentence) => this.complain(sentence));
    this.bind();
  }

  bind() {
    const input = this.part(".drop input");
    input.onchange = () => this.load(input.files[0]);
    if (input.files.length) this.load(input.files[0]); // chosen before this script had arrived
    this.root.ondragover = (event) => event.preventDefault();
    this.root.ondrop = (event) => {
      event.preventDefault();
      this.load(event.dataTransfer.files[0]);
    };
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
      if (file && this.root.offsetParent) this.load(file);
    });
    this.part("[data-action=remove]").onclick = () => this.remove();
    this.part("[data-action=size]").onclick = () => this.useItsSize();
    this.part("[data-action=mask]").onclick = () => this.tools.toggle();
  }

  async load(file) {
    if (!file) return;
    this.setState("loading");
    try {
      const url = URL.createObjectURL(file);
      await this.show(url);
      const { path } = await this.upload(file);
      this.commit({ image: path });
    } catch (error) {
      this.remove();
      this.complain(`${file.name || "This file"} could not be used as a picture (${error.message || "unknown format"}).`);
    }
  }

  // A value from the server: a picture sent here from elsewhere, or none.
  async obey(value) {
    if (!value?.image) {
      if (this.path) this.remove();
      return;
    }
    if (value.image === this.path) return;
    try {
      await this.show(new URL(`gradio_api/file=${value.image}`, document.baseURI).href);
      this.commit(value);
    } catch {
      this.complain("The picture is no longer on the server.");
    }
  }

  async show(url) {
    const img = this.part(".sheet img");
    img.src = url;
    await img.decode();
    this.part(".problem").hidden = true;
    this.part(".drop").hidden = true;
    this.part(".sheet").hidden = this.part(".tools").hidden = false;
    this.tools.reset(img.naturalWidth, img.naturalHeight);
    this.part(".size").textContent = `${img.naturalWidth} × ${img.naturalHeight}`;
  }

  commit(value) {
    const { naturalWidth: width, naturalHeight: height } = this.part(".sheet img");
    this.path = value.image;
    this.props.value = { ...value, width, height };
    this.trigger("change");
    this.setState("ready");
  }

  // Rounds to what latents can be and keeps the proportions within the sliders.
  useItsSize() {
    const { naturalWidth, naturalHeight } = this.part(".sheet img");
    const field = (name) => document.querySelector(`#img2img_${name} input[type=number]`);
    const shrink = Math.min(1, Number(field("width").max) / Math.max(naturalWidth, naturalHeight));
    for (const [name, side] of [["width", naturalWidth], ["height", naturalHeight]]) {
      const input = field(name);
      input.value = Math.max(Number(input.min), Math.round((side * shrink) / 8) * 8);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  // After each stroke; of several that overlap only the newest counts.
  async sendMask() {
    const mine = (this.maskVersion = (this.maskVersion ?? 0) + 1);
    const { mask: _, ...value } = this.props.value;
    this.setState("masking");
    try {
      const mask = this.tools.mask.isEmpty ? null : (await this.upload(await this.tools.mask.export())).path;
      if (mine !== this.maskVersion) return;
      this.commit(mask ? { ...value, mask } : value);
    } catch (error) {
      this.complain(`The mask did not reach the server (${error.message}).`);
    }
  }

  remove() {
    this.path = null;
    this.part(".drop input").value = "";
    this.part(".drop").hidden = false;
    this.part(".sheet").hidden = this.part(".tools").hidden = true;
    this.tools.open(false);
    this.part(".sheet img").removeAttribute("src");
    this.props.value = null;
    this.trigger("change");
    this.setState("empty");
  }

  complain(sentence) {
    const problem = this.part(".problem");
    problem.textContent = sentence;
    problem.hidden = false;
  }

  setState(state) {
    this.root.dataset.state = state;
  }
}
