// The queue: all jobs of the server, the waiting ones in order, with a way to cancel each.

import * as jobs from "./jobs.js";
import { duration, whatHappens } from "./words.js";

const REFRESH = 1000; // milliseconds between two looks while the panel is open
const SHOWN = 40; // jobs; finished ones beyond are in the history

export class Queue {
  constructor(element) {
    this.toggle = element.querySelector("button.queue");
    this.panel = element.querySelector(".easel-queue");
    this.part = (selector) => this.panel.querySelector(selector);
    this.prompts = new Map(); // job id -> promise of its prompt: asked for once, it never changes
    this.toggle.onclick = () => this.show(this.panel.hidden);
    this.part(".close").onclick = () => this.show(false);
    let last = "";
    document.addEventListener("easel:progress", ({ detail }) => {
      if (detail.state !== last) this.refresh();
      last = detail.state;
    });
    this.refresh();
  }

  show(isOpen) {
    this.panel.hidden = !isOpen;
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    clearInterval(this.timer);
    if (!isOpen) return;
    this.refresh();
    this.timer = setInterval(() => this.refresh(), REFRESH);
  }

  async refresh() {
    let found;
    try {
      found = await jobs.list();
    } catch {
      this.part(".summary").textContent = "the server does not answer";
      return;
    }
    const active = found.filter((job) => !jobs.isFinal(job.state));
    const count = this.toggle.querySelector(".count");
    count.hidden = !active.length;
    count.textContent = active.length;
    const running = active.filter((job) => job.state === "running").length;
    this.part(".summary").textContent = active.length ? `${running} running, ${active.length - running} waiting` : "";
    if (this.panel.hidden) return;
    this.part(".nothing").hidden = found.length > 0;
    this.fill(found.slice(0, SHOWN));
  }

  // Rows are kept and changed in place, so that focus and pictures stay where they are.
  fill(found) {
    const list = this.part(".jobs");
    const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
    const wanted = found.map((job) => {
      const row = rows.get(job.id) ?? this.newRow(job);
      this.update(row, job);
      return row;
    });
    const isSame = wanted.length === list.children.length && wanted.every((row, k) => list.children[k] === row);
    if (!isSame) list.replaceChildren(...wanted);
  }

  newRow(job) {
    const row = document.createElement("li");
    row.dataset.id = job.id;
    row.innerHTML =
      '<button type="button" class="show"><span class="thumb"><img alt="" hidden></span>' +
      '<span class="text"><span class="prompt"></span><span class="state"></span></span></button>' +
      '<button type="button" class="cancel">Cancel</button>';
    row.querySelector(".show").onclick = () => this.open(job);
    row.querySelector(".cancel").onclick = async () => {
      await jobs.cancel(job.id).catch(() => {}); // it has just ended: the next look shows how
      this.refresh();
    };
    this.promptOf(job.id).then((prompt) => (row.querySelector(".prompt").textContent = prompt || "(no prompt)"));
    return row;
  }

  promptOf(id) {
    if (!this.prompts.has(id)) {
      this.prompts.set(id, jobs.request(id).then((request) => request.prompt, () => ""));
    }
    return this.prompts.get(id);
  }

  update(row, job) {
    const isFinal = jobs.isFinal(job.state);
    row.dataset.state = job.state;
    const parts = [job.error ? job.error.message : whatHappens(job)];
    if (!isFinal && job.eta !== null) parts.push(`${duration(job.eta)} left`);
    if (job.state === "done") parts.push(duration(job.elapsed));
    row.querySelector(".state").textContent = parts.join(" · ");
    row.querySelector(".cancel").hidden = isFinal;
    const img = row.querySelector("img");
    const preview = job.preview_version ? jobs.previewUrl(job.id, job.preview_version) : "";
    const url = job.image_count ? jobs.imageUrl(job.id, 0) : job.state === "running" ? preview : "";
    if (url && img.src !== url) img.src = url;
    img.onload = () => (img.hidden = false);
    img.onerror = () => (img.hidden = true);
  }

  open(job) {
    const tab = [...document.querySelectorAll("button[role=tab]")].find((each) => each.textContent.trim() === job.type);
    tab?.click();
    document.dispatchEvent(new CustomEvent("easel:show", { detail: { tab: job.type, job: job.id } }));
  }
}
