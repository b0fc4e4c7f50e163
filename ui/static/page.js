// What belongs to the page as a whole: keyboard, title, theme, queue.

import { Queue } from "./queue.js";
import { bindWeights } from "./weights.js";

export function start({ element }) {
  bindKeys();
  bindTitle();
  bindTheme(element);
  bindWeights();
  new Queue(element);
}

const visible = (id) => {
  const button = document.getElementById(id);
  return button?.offsetParent ? button : null;
};
const action = (name) => visible(`txt2img_${name}`) ?? visible(`img2img_${name}`);

function bindKeys() {
  const shortcut = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return "generate";
    if (event.key === "Enter" && event.altKey) return "skip";
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) return "interrupt";
    return null;
  };
  addEventListener(
    "keydown",
    (event) => {
      const button = shortcut(event) && action(shortcut(event));
      if (!button) return;
      if (event.key === "Enter") event.preventDefault();
      if (event.key === "Enter") event.stopPropagation();
      button.click();
    },
    true,
  );
}

function bindTitle() {
  const name = "easel";
  document.title = name;
  document.documentElement.lang ||= "en";
  document.addEventListener("easel:progress", ({ detail }) => {
    if (detail.state === "running") document.title = `${detail.percent}% · ${name}`;
    else if (detail.state === "queued") document.title = `waiting · ${name}`;
    else document.title = detail.state === "done" && document.hidden ? `✓ done · ${name}` : name;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && document.title.startsWith("✓")) document.title = name;
  });
}

function bindTheme(element) {
  const toggle = element.querySelector(".theme");
  const isDark = () => document.body.classList.contains("dark");
  const label = () => toggle.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  toggle.onclick = () => {
    document.body.classList.toggle("dark");
    document.cookie = `easel-theme=${isDark() ? "dark" : "light"}; path=${location.pathname}; max-age=31536000; samesite=lax`;
    const url = new URL(location.href);
    url.searchParams.set("__theme", isDark() ? "dark" : "light");
    history.replaceState(history.state, "", url);
    label();
  };
  label();
}
