// Ctrl+↑ and Ctrl+↓ in a prompt: more or less weight for the selection or the word at the cursor.

const STEP = 0.1;

export function bindWeights() {
  addEventListener("keydown", (event) => {
    const isArrow = event.key === "ArrowUp" || event.key === "ArrowDown";
    const box = event.target;
    if (!isArrow || !(event.ctrlKey || event.metaKey) || !box.closest?.(".easel-prompt")) return;
    event.preventDefault();
    const change = reweighted(box.value, box.selectionStart, box.selectionEnd, event.key === "ArrowUp" ? STEP : -STEP);
    if (!change) return;
    box.setSelectionRange(change.from, change.to);
    // Keeps the browser's own undo, where setting the value would lose it.
    if (!document.execCommand("insertText", false, change.text)) {
      box.setRangeText(change.text, change.from, change.to);
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
    box.setSelectionRange(change.start, change.end);
  });
}

// What to put where, and what is selected then; null where there is no word. Pure.
export function reweighted(text, start, end, delta) {
  const around = enclosing(text, start, end);
  if (around) {
    const weight = Math.round((around.weight + delta) * 100) / 100;
    const inner = text.slice(around.open + 1, around.colon);
    const isPlain = weight === 1;
    const replacement = isPlain ? inner : `(${inner}:${weight})`;
    const first = around.open + (isPlain ? 0 : 1);
    return { from: around.open, to: around.close + 1, text: replacement, start: first, end: first + inner.length };
  }
  if (start === end) [start, end] = wordAt(text, start);
  const inner = text.slice(start, end).trim();
  if (!inner) return null;
  const from = start + text.slice(start, end).indexOf(inner);
  const weight = Math.round((1 + delta) * 100) / 100;
  const replacement = `(${inner}:${weight})`;
  return { from, to: from + inner.length, text: replacement, start: from + 1, end: from + 1 + inner.length };
}

function enclosing(text, start, end) {
  for (const match of text.matchAll(/\(([^()]*):\s*([0-9]*\.?[0-9]+)\)/g)) {
    const open = match.index;
    const close = open + match[0].length - 1;
    if (open <= start && end <= close + 1 && start <= close) {
      return { open, close, colon: open + 1 + match[1].length, weight: Number(match[2]) };
    }
  }
  return null;
}

function wordAt(text, at) {
  const isBreak = (char) => char === undefined || /[\s,.()[\]{}:|<>]/.test(char);
  let [from, to] = [at, at];
  while (from > 0 && !isBreak(text[from - 1])) from--;
  while (to < text.length && !isBreak(text[to])) to++;
  return [from, to];
}
