// A mask drawn over a picture, at the picture's own resolution. Kept as a list of deeds, not of pixels: undo costs
// nothing, however large the picture is.

const COLOUR = "#ff5a2c";

export class Mask {
  constructor(canvas) {
    this.canvas = canvas;
    this.reset(1, 1);
  }

  reset(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.done = [];
    this.undone = [];
  }

  get isEmpty() {
    return !this.done.length || this.done.at(-1).kind === "clear";
  }

  add(deed) {
    this.done.push(deed);
    this.undone = [];
    this.apply(deed);
  }

  undo() {
    if (this.done.length) this.undone.push(this.done.pop());
    this.redraw();
  }

  redo() {
    if (!this.undone.length) return;
    this.done.push(this.undone.pop());
    this.redraw();
  }

  redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const deed of this.done) this.apply(deed);
  }

  get context() {
    return this.canvas.getContext("2d");
  }

  apply(deed) {
    const { width, height } = this.canvas;
    const context = this.context;
    context.save();
    if (deed.kind === "stroke") this.stroke(context, deed);
    else if (deed.kind === "clear") context.clearRect(0, 0, width, height);
    else if (deed.kind === "picture") context.drawImage(deed.picture, 0, 0, width, height);
    else {
      // invert: paint what was free, free what was painted
      context.globalCompositeOperation = "source-out";
      context.fillStyle = COLOUR;
      context.fillRect(0, 0, width, height);
    }
    context.restore();
  }

  stroke(context, { points, size, isErasing }) {
    context.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
    context.strokeStyle = COLOUR;
    context.lineWidth = size;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
    context.stroke();
  }

  // White where it was painted, black elsewhere: a PNG of a few kilobytes.
  async export() {
    const { width, height } = this.canvas;
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    return new File([await sheet.convertToBlob({ type: "image/png" })], "mask.png", { type: "image/png" });
  }
}

// The light parts of a picture file as a mask: what is white gets painted.
export async function maskFromFile(file, width, height) {
  const bitmap = await createImageBitmap(file);
  const sheet = new OffscreenCanvas(width, height);
  const context = sheet.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const data = pixels.data;
  const [red, green, blue] = [0xff, 0x5a, 0x2c];
  for (let k = 0; k < data.length; k += 4) {
    const lightness = (data[k] * 0.299 + data[k + 1] * 0.587 + data[k + 2] * 0.114) * (data[k + 3] / 255);
    data.set([red, green, blue, lightness > 127 ? 255 : 0], k);
  }
  context.putImageData(pixels, 0, 0);
  return sheet;
}
