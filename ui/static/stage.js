// The live stage: follows one job of the server and shows what happens to it. The page is only a view: the job
// lives on without it.

import * as jobs from "./jobs.js";
import { Painter } from "./painter.js";
import { Results } from "./results.js";
import { numbers, whatHappens } from "./words.js";

const PHONE = 860; // pixels; as in style.css

export function start({ element, props, trigger, watch }) {
  const stage = new Stage(element, trigger);
  watch("value", () => stage.obey(props.value));
  stage.obey(props.value, true);
}

class Stage {
  constructor(element, trigger) {
    this.root = element.querySelector(".easel-stage");
    this.tab = this.root.id.replace("_stage", "");
    this.part = (selector) => this.root.querySelector(selector);
    this.painter = new Painter(this.part(".frame img"));
    this.results = new Results(element, this.tab, this.painter, trigger);
    this.stopFollowing = () => {};
    this.state = "idle";
    this.bindActions();
  }

  bindActions() {
    const actions = {
      interrupt: () => this.command(() => jobs.stop(this.job, true)),
      skip: () => this.command(() => jobs.skip(this.job)),
    };
    for (const [name, action] of Object.entries(actions)) {
      document.addEventListener(`easel:${name}`, (event) => {
        if (event.detail === this.tab && this.root.isConnected) action();
      });
    }
    document.addEventListener("easel:show", ({ detail }) => {
      if (detail.tab === this.tab && detail.job !== this.job && this.root.isConnected) this.follow(detail.job);
    });
    this.part(".cancel").onclick = () => this.command(() => jobs.cancel(this.job));
  }

  // A job that ended in the meantime is no trouble: its final status says so itself.
  async command(send) {
    if (!this.job || jobs.isFinal(this.state)) return;
    try {
      await send();
    } catch (error) {
      this.say(`That did not reach the server (${error.message}).`);
    }
  }

  // What the server told this page to show: examples, an error before there was a job, or a job to follow.
  obey(order, isFirst = false) {
    if (!order) return;
    if (order.examples) this.showExamples(order.examples);
    if (order.error && !this.isBusy()) this.refuse(order.error);
    if (order.job && order.job !== this.job) this.follow(order.job, isFirst || order.restored);
    if (order.loaded) this.root.dataset.ready = "true";
  }

  // The request was not accepted: what the stage showed before has nothing to do with it.
  refuse(error) {
    this.job = null;
    this.results.clear();
    this.part(".status").hidden = true;
    this.showTrouble(error);
    this.say(error.message);
  }

  isBusy() {
    return this.state === "queued" || this.state === "running";
  }

  follow(id, isRestored) {
    this.stopFollowing();
    this.job = id;
    this.preview = 0;
    this.pace = { step: 0, time: 0, speed: 0 };
    this.setState("queued", 0);
    this.results.clear();
    this.painter.clear();
    this.part(".empty").hidden = true;
    this.part(".warnings").hidden = true;
    this.part(".status").hidden = false;
    this.stopFollowing = jobs.follow(id, (status) => this.show(status), (isGone) => this.lost(isGone));
    if (!isRestored && innerWidth <= PHONE) this.root.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  show(status) {
    const changed = status.state !== this.state || status.phase !== this.phase;
    this.phase = status.phase;
    this.measure(status);
    const what = whatHappens(status);
    this.part(".what").textContent = what;
    this.part(".numbers").textContent = numbers(status, this.pace.speed);
    this.part(".cancel").hidden = status.state !== "queued";
    this.showProgress(status);
    this.showWarnings(status.warnings ?? []);
    this.setState(status.state, this.totalSteps(status));
    this.results.grow(this.job, status.images);
    if (jobs.isFinal(status.state)) this.finish(status);
    else if (status.preview_version > this.preview) {
      this.preview = status.preview_version;
      this.paint(jobs.previewUrl(this.job, this.preview), "Preview of the picture being made");
    }
    if (changed) this.announce(status, what);
  }

  totalSteps(status) {
    return status.step ? (status.batch - 1) * status.steps + status.step : 0;
  }

  // Steps per second from the time between messages, smoothed.
  measure(status) {
    const now = performance.now();
    const step = this.totalSteps(status);
    const fresh = step - this.pace.step;
    if (fresh > 0 && this.pace.time && this.pace.step) {
      const speed = (1000 * fresh) / Math.max(1, now - this.pace.time);
      this.pace.speed = this.pace.speed ? 0.8 * this.pace.speed + 0.2 * speed : speed;
    }
    if (fresh > 0) Object.assign(this.pace, { step, time: now });
  }

  showProgress(status) {
    const bar = this.part(".progress");
    const loading = status.phase === "loading model" ? status.phase_fraction : null;
    const percent = Math.round(100 * (loading ?? status.progress ?? 0));
    bar.hidden = jobs.isFinal(status.state);
    bar.setAttribute("aria-valuenow", percent);
    bar.firstElementChild.style.width = `${percent}%`;
    const detail = { tab: this.tab, state: status.state, percent };
    document.dispatchEvent(new CustomEvent("easel:progress", { detail }));
  }

  finish(status) {
    if (status.error) this.showTrouble(status.error);
    else if (status.image_count) this.results.select(0);
    else if (!this.preview) this.idle();
    this.updateQueue();
  }

  idle() {
    this.painter.clear();
    this.part(".empty").hidden = false;
  }

  paint(url, alt) {
    this.part(".empty").hidden = true;
    this.painter.show(url, { alt });
  }

  announce(status, what) {
    this.say(status.error ? `${what}. ${status.error.message}` : what);
    this.updateQueue();
  }

  say(sentence) {
    this.part(".announcer").textContent = sentence;
  }

  showTrouble({ message, hint }) {
    this.setState("error", 0);
    this.painter.clear();
    this.part(".empty").hidden = true;
    this.results.complain(message, hint);
    document.dispatchEvent(new CustomEvent("easel:progress", { detail: { tab: this.tab, state: "error" } }));
  }

  showWarnings(warnings) {
    const list = this.part(".warnings");
    list.hidden = !warnings.length;
    list.replaceChildren(...warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  lost(isGone) {
    if (!isGone) {
      this.part(".numbers").textContent = "connection lost, trying again";
      return;
    }
    this.job = null;
    this.part(".progress").hidden = true;
    this.showTrouble({
      message: "This job is no longer known.",
      hint: "The server was restarted in the meantime. Pictures finished before are in the outputs folder.",
    });
  }

  setState(state, step) {
    this.state = state;
    this.root.dataset.state = state;
    this.root.dataset.step = step;
    const actions = document.getElementById(`${this.tab}_actions`);
    if (actions) actions.dataset.busy = this.isBusy();
    if (state !== "error") this.part(".trouble").hidden = true;
  }

  async updateQueue() {
    const badge = this.part(".queue-badge");
    try {
      const states = (await jobs.list()).map((job) => job.state);
      const running = states.filter((state) => state === "running").length;
      const waiting = states.filter((state) => state === "queued").length;
      badge.hidden = running + waiting < 2;
      badge.textContent = `${running} running, ${waiting} waiting`;
    } catch {
      badge.hidden = true; // only a help
    }
  }

  showExamples(examples) {
    const chips = examples.map((text) => {
      const chip = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      chip.onclick = () => this.fillPrompt(text);
      return chip;
    });
    this.part(".chips").replaceChildren(...chips);
  }

  fillPrompt(text) {
    const prompt = document.querySelector(`#${this.tab}_prompt textarea`);
    prompt.value = text;
    prompt.dispatchEvent(new Event("input", { bubbles: true }));
    prompt.focus();
  }
}
