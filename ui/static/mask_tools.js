// Brush, eraser and their buttons: turns pointer and keys into deeds of a Mask. `onChange` runs after each.

import { Mask, maskFromFile } from "./mask.js";

export class MaskTools {
  constructor(root, onChange, onProblem) {
    this.root = root;
    this.part = (selector) => root.querySelector(selector);
    this.canvas = this.part("canvas");
    this.mask = new Mask(this.canvas);
    this.onChange = onChange;
    this.onProblem = onProblem;
    this.isErasing = false;
    this.bindButtons();
    this.bindPointer();
    this.bindKeys();
  }

  // A new picture, and with it an empty mask.
  reset(width, height) {
    this.mask.reset(width, height);
    this.open(false);
  }

  open(isOpen) {
    this.canvas.hidden = this.part(".brush").hidden = !isOpen;
    this.part("[data-action=mask]").setAttribute("aria-pressed", String(isOpen));
  }

  toggle() {
    this.open(this.canvas.hidden);
  }

  bindButtons() {
    const acts = {
      paint: () => this.choose(false),
      erase: () => this.choose(true),
      undo: () => this.change(() => this.mask.undo()),
      redo: () => this.change(() => this.mask.redo()),
      invert: () => this.change(() => this.mask.add({ kind: "invert" })),
      clear: () => this.change(() => this.mask.add({ kind: "clear" })),
    };
    for (const [name, act] of Object.entries(acts)) this.part(`[data-mask=${name}]`).onclick = act;
    const file = this.part(".brush input[type=file]");
    file.onchange = () => this.load(file);
    this.acts = acts;
  }

  choose(isErasing) {
    this.isErasing = isErasing;
    this.part("[data-mask=paint]").setAttribute("aria-pressed", String(!isErasing));
    this.part("[data-mask=erase]").setAttribute("aria-pressed", String(isErasing));
  }

  change(act) {
    act();
    this.onChange();
  }

  async load(input) {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    try {
      const picture = await maskFromFile(file, this.canvas.width, this.canvas.height);
      this.change(() => this.mask.add({ kind: "picture", picture }));
    } catch {
      this.onProblem(`${file.name} could not be used as a mask.`);
    }
  }

  bindPointer() {
    const canvas = this.canvas;
    let stroke = null;
    canvas.onpointerdown = (event) => {
      if (event.button > 0) return;
      canvas.setPointerCapture(event.pointerId);
      stroke = { kind: "stroke", points: [this.place(event)], size: this.size(), isErasing: this.isErasing };
      this.mask.apply(stroke);
    };
    canvas.onpointermove = (event) => {
      if (!stroke) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length ? moves : [event]) {
        const from = stroke.points.at(-1);
        stroke.points.push(this.place(move));
        this.mask.apply({ ...stroke, points: [from, stroke.points.at(-1)] });
      }
    };
    canvas.onpointerup = canvas.onpointercancel = () => {
      if (!stroke) return;
      const finished = stroke;
      stroke = null;
      this.change(() => this.mask.add(finished));
    };
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  // The brush looks equally large on every picture.
  size() {
    const scale = this.canvas.width / this.canvas.getBoundingClientRect().width;
    return Number(this.part(".brush input[type=range]").value) * scale;
  }

  bindKeys() {
    this.root.addEventListener("keydown", (event) => {
      if (this.canvas.hidden || event.target.matches("input")) return;
      const key = event.key.toLowerCase();
      const isCommand = event.ctrlKey || event.metaKey;
      const range = this.part(".brush input[type=range]");
      if (isCommand && key === "z") this.acts[event.shiftKey ? "redo" : "undo"]();
      else if (isCommand && key === "y") this.acts.redo();
      else if (key === "b") this.choose(false);
      else if (key === "e") this.choose(true);
      else if (key === "[") range.value = Number(range.value) - 4;
      else if (key === "]") range.value = Number(range.value) + 4;
      else return;
      event.preventDefault();
    });
  }
}
