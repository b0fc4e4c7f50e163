// Puts pictures into one <img>, each only once it is decoded: no flicker, and never older than the newest wish.

export class Painter {
  constructor(img) {
    this.img = img;
    this.busy = false;
    this.next = null;
  }

  // `onPainted` / `onMissing` tell how it went; a wish overtaken by a newer one tells nothing.
  show(url, { alt = "", onPainted, onMissing } = {}) {
    this.next = { url, alt, onPainted, onMissing };
    if (!this.busy) this.work();
  }

  clear() {
    this.next = null;
    this.epoch = (this.epoch ?? 0) + 1;
    this.img.hidden = true;
    this.img.removeAttribute("src");
  }

  async work() {
    this.busy = true;
    while (this.next) {
      const { url, alt, onPainted, onMissing } = this.next;
      const epoch = this.epoch;
      this.next = null;
      const loaded = new Image();
      loaded.src = url;
      let failed = false;
      try {
        await loaded.decode();
      } catch {
        failed = true;
      }
      if (epoch !== this.epoch) continue;
      if (failed) {
        if (!this.next) onMissing?.();
        continue;
      }
      this.img.src = url;
      this.img.alt = alt;
      this.img.hidden = false;
      onPainted?.();
    }
    this.busy = false;
  }
}
