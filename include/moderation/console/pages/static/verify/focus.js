// @ts-check
// Focus: one image, large, its labels beside it. One key where all is right; the next image is already there.
import { say, sight } from "../console.js";
import { staged } from "../stage.js";
import { Keys, digit } from "./keys.js";
import { asked, blank, mark, miss } from "./marks.js";
import { Missed, ten, used } from "./missed.js";
import { fill } from "./panel.js";
import { draw as drawRecent } from "./recent.js";
import { Work, data } from "./work.js";

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Label} Label */
/** @typedef {import("./types.js").Mark} Mark */
/** @typedef {import("./types.js").Draft} Draft */

const AHEAD = 4, FEW = 8, MANY = 16;

const place = /** @type {HTMLElement} */ (document.getElementById("verify"));
const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));
const note = /** @type {HTMLTextAreaElement} */ (document.getElementById("note"));
const view = staged(stage);
/** @type {Map<string, HTMLImageElement>} */
const pictures = new Map();
/** @type {Item|null} */
let showing = null;
let at = 0;

/** @param {Item} item */
function picture(item) {
  let image = pictures.get(item.item);
  if (!image) {
    image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = item.view;
    image.decode().catch(() => undefined);
    pictures.set(item.item, image);
  }
  return image;
}

/** The next images are loaded and decoded before they are asked for. */
function ahead() {
  for (const item of work.items.slice(0, AHEAD)) picture(item);
  const wanted = new Set(work.items.slice(0, 2 * AHEAD).map((item) => item.item));
  for (const one of pictures.keys()) if (!wanted.has(one) && pictures.size > 3 * AHEAD) pictures.delete(one);
}

/** All labels that can be marked: those asked about first.
 * @param {Item} item */
function rows(item) {
  const first = asked(item);
  return [...first, ...item.labels.filter((label) => !first.some((one) => one.path === label.path))];
}

/** The deepest label of the first branch: what is wrong there may be right above.
 * @param {Item} item */
function start(item) {
  const labels = asked(item);
  const leaf = labels.findIndex((label, number) => !labels[number + 1]?.path.startsWith(`${label.path} › `));
  return Math.max(0, leaf);
}

function show() {
  const item = work.current;
  if (item !== showing) {
    showing = item;
    view.whole();
    if (item) {
      const image = picture(item);
      image.id = "large";
      stage.replaceChildren(image);
      at = start(item);
      note.value = work.draft(item).note;
      note.parentElement?.toggleAttribute("hidden", !note.value);
    } else stage.replaceChildren();
  }
  place.classList.toggle("empty", !item);
  panel();
  // What stands beside can wait until the image is painted.
  requestAnimationFrame(() => setTimeout(() => { ahead(); drawRecent(work.latest(10), (decision) => work.reopen(decision)); }));
}

function panel() {
  const item = work.current;
  fill({ item, draft: item ? work.draft(item) : blank(), rows: item ? rows(item) : [], at, work });
}

/** @param {Item[]} items */
function anew(items) {
  for (const item of items) {
    const image = pictures.get(item.item);
    if (!image || sight(image) !== "none") continue;
    pictures.delete(item.item);
    if (item === showing) showing = null;
  }
  show();
}

const work = new Work(place, { few: () => FEW, many: () => MANY, changed: show, pictures: () => requestAnimationFrame(ahead), anew });

/** @param {(item: Item, draft: Draft) => void} act */
const onItem = (act) => () => { const item = work.current; if (item) act(item, work.draft(item)); };

/** What cannot be seen can be skipped or left unsure, and nothing else.
 * @param {(item: Item, draft: Draft) => void} act */
const onSeen = (act) => onItem((item, draft) => {
  if (sight(picture(item)) === "none") work.say("There is no image to look at: skip it, and the queue goes on without; or say that you are unsure."); else act(item, draft);
});

/** @param {Item} item @param {Draft} draft */
function right(item, draft) {
  if (item.blind && item.label === null && !draft.missed.length) { say("Mark what is there first; or say that there is nothing to flag."); return; }
  work.decide([{ item, draft }]);
}

/** Mark the label under the cursor; then the one above it, or the next that has no mark.
 * @param {Mark} verdict */
const marked = (verdict) => (verdict === "unsure" ? onItem : onSeen)((item, draft) => {
  const all = rows(item);
  const label = all[at];
  if (!label) {
    if (verdict === "unsure") { draft.whole = "unsure"; work.decide([{ item, draft }]); } else say("Nothing was predicted here: add what is missed, or say that there is nothing to flag.");
    return;
  }
  mark(item, draft, label.path, draft.marks[label.path] === verdict && item.label === null ? null : verdict);
  if (item.label !== null && label.name === item.label) { work.decide([{ item, draft }]); return; }
  const open = (/** @type {Label|undefined} */ one) => one !== undefined && one.flagged && !(one.path in draft.marks);
  const above = all.findIndex((one) => open(one) && label.path.startsWith(`${one.path} › `) && one.level === label.level - 1);
  const next = all.findIndex((one, number) => open(one) && !open(all[number + 1]?.path.startsWith(`${one.path} › `) ? all[number + 1] : undefined));
  if (label.path in draft.marks) at = above >= 0 ? above : next >= 0 ? next : at;
  panel();
  say(`${label.name}: ${draft.marks[label.path] ?? "no mark"}`);
});

/** @param {number} by */
const move = (by) => onItem((item) => { const most = rows(item).length - 1; at = Math.min(Math.max(at + by, 0), Math.max(most, 0)); panel(); });

/** @param {Label} label */
const add = (label) => onItem((item, draft) => { miss(item, draft, label); panel(); say(`${label.name}: ${draft.missed.includes(label) || draft.marks[label.path] ? "marked" : "taken away"}`); })();

const labels = /** @type {Label[]} */ (data("taxonomy"));
const digits = ten(labels, /** @type {string[]} */ (data("usual")));
const missed = new Missed(labels, add, () => stage.focus({ preventScroll: true }));
const kinds = Object.keys(/** @type {Record<string, string>} */ (data("kinds")));

function stop() {
  void work.outbox.settle(3000).then(() => work.release()).then(() => { location.href = /** @type {string} */ (place.dataset.summary); });
}

const keys = new Keys([
  { name: "right", key: "a", told: "What has no mark is right; next image", act: onSeen(right) },
  { name: "wrong", key: "x", told: "The label is wrong (the one above may be right)", act: marked("absent") },
  { name: "nothing", key: "n", told: "Nothing to flag; next image", act: onSeen((item, draft) => { draft.marks = {}; draft.missed = []; draft.whole = "nothing"; work.decide([{ item, draft }]); }) },
  { name: "unsure", key: "u", told: "Unsure of the label", act: marked("unsure") },
  { name: "unsure-all", key: "U", told: "Unsure of the whole image; next image", act: onItem((item, draft) => { draft.whole = "unsure"; work.decide([{ item, draft }]); }) },
  { name: "is", key: "e", told: "The label is there", act: marked("present") },
  { name: "skip", key: "s", told: "Skip: somebody else may take it", act: onItem((item, draft) => work.decide([{ item, draft, state: "skipped", unseen: sight(picture(item)) === "none" }])) },
  { name: "undo", key: "z", told: "Take the last step back", act: () => void work.undo() },
  { name: "back", key: "ArrowLeft", told: "Open the last decision again", act: () => { const last = work.latest(1)[0]; if (last) work.reopen(last); } },
  { name: "up", key: "ArrowUp", told: "Label above", act: move(-1) },
  { name: "down", key: "ArrowDown", told: "Label below", act: move(1) },
  { name: "missed", key: "/", told: "Add a label that is missed", act: () => { if (work.current) missed.open(); } },
  { name: "kind", key: "t", told: "Content type: right, or which one instead", act: onItem((item, draft) => {
    if (item.kind === null) return;
    const turn = [null, item.kind, ...kinds.filter((kind) => kind !== item.kind)];
    draft.kind = turn[(turn.indexOf(draft.kind) + 1) % turn.length] ?? null;
    panel();
  }) },
  { name: "note", key: "i", told: "Write a note", act: () => { note.parentElement?.removeAttribute("hidden"); note.focus(); } },
  { name: "severe", key: "S", told: "Severe: hidden at once from all but operators", act: onItem((item, draft) => { draft.severe = true; item.hidden = true; work.decide([{ item, draft }]); }) },
  { name: "turn", key: "r", told: "Turn by a quarter", act: view.turn },
  { name: "in", key: "+", told: "Zoom in", act: () => view.zoom(1.25) },
  { name: "out", key: "-", told: "Zoom out", act: () => view.zoom(1 / 1.25) },
  { name: "whole", key: "w", told: "The whole image", act: view.whole },
  { name: "grid", key: "g", told: "Many at once: grid", act: () => { location.href = /** @type {string} */ (place.dataset.other); } },
  { name: "stop", key: "Escape", told: "Stop here; it goes on where you were", act: stop },
]);
keys.buttons();
document.addEventListener("keydown", (event) => {
  const number = digit(event);
  const target = event.target instanceof Element ? event.target : null;
  if (number === null || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat || target?.closest("input, textarea, select, dialog")) return;
  const label = digits[(Number(number) + 9) % 10];
  if (!label) return;
  event.preventDefault();
  used(label.name);
  add(label);
});
note.addEventListener("input", onItem((_, draft) => { draft.note = note.value.slice(0, 2000); }));
note.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); event.stopPropagation(); stage.focus({ preventScroll: true }); }
});
document.getElementById("ten")?.append(...digits.map((label, number) => {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = label.name;
  const key = document.createElement("kbd");
  key.textContent = String((number + 1) % 10);
  const name = document.createElement("span");
  name.textContent = label.name;
  button.append(key, name);
  button.title = label.path;
  button.addEventListener("click", () => { used(label.name); add(label); });
  return button;
}));
document.getElementById("marks")?.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const row = target?.closest("[data-at]");
  if (!(row instanceof HTMLElement)) return;
  at = Number(row.dataset.at);
  const verdict = target?.closest("[data-mark]")?.getAttribute("data-mark");
  if (verdict) marked(/** @type {Mark} */ (verdict))(); else panel();
});
document.getElementById("added")?.addEventListener("click", onItem((item, draft) => {
  const name = document.activeElement?.getAttribute("data-name");
  const label = draft.missed.find((one) => one.name === name);
  if (label) { miss(item, draft, label); panel(); }
}));
show();
void work.fill();
