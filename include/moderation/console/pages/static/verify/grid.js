// @ts-check
// Grid: many images at once. What is not right gets a mark, one key says that the rest is right.
import { say, sight } from "../console.js";
import { Keys, digit } from "./keys.js";
import { asked, blank, mark } from "./marks.js";
import { element, progress, put } from "./panel.js";
import { draw as drawRecent } from "./recent.js";
import { Work } from "./work.js";

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {"wrong"|"unsure"|"skip"|"closer"} Kind */

const MOST_ROWS = 9, MOST_COLUMNS = 10, GAP = 8, CAPTION = 26;
const SIZES = [104, 132, 164, 208, 264];
const KEPT = "moderation-verify-size";
const SIGNS = /** @type {Record<string, string>} */ ({ wrong: "✕", unsure: "?", skip: "skip", closer: "look closer" });

const place = /** @type {HTMLElement} */ (document.getElementById("verify"));
const sheet = /** @type {HTMLElement} */ (document.getElementById("sheet"));
const label = place.dataset.label || null;
let size = Math.min(Math.max(Number(localStorage.getItem(KEPT) ?? 1), 0), SIZES.length - 1);
let at = 0, from = 0;
/** @type {string|null} */
let row = null;
/** @type {Map<string, Kind>} */
const marks = new Map();
/** Those that are set aside stay this person's: Focus begins with them. @type {Set<string>} */
const aside = new Set();

function shape() {
  const side = window.innerWidth <= 860 ? Math.min(SIZES[size] ?? 164, 132) : SIZES[size] ?? 164;
  const columns = Math.min(MOST_COLUMNS, Math.max(2, Math.floor((sheet.clientWidth + GAP) / (side + GAP))));
  const wide = Math.floor((sheet.clientWidth - GAP * (columns - 1)) / columns);
  const high = Math.round(Math.min(wide, side) * 0.8) + CAPTION;
  const room = window.innerHeight - sheet.getBoundingClientRect().top - window.scrollY - (window.innerWidth <= 860 ? 150 : 132);
  const rows = Math.min(MOST_ROWS, Math.max(2, Math.floor((room + GAP) / (high + GAP))));
  return { columns, rows, high, many: columns * rows };
}

const open = () => work.items.filter((item) => !aside.has(item.item));
/** @type {Item[]} */
let page = [];

/** @param {Item[]} items */
function pictures(items) {
  for (const item of items.slice(0, 2 * shape().many)) { const image = new Image(); image.src = item.tile; }
}

function draw() {
  const { columns, high, many } = shape();
  const focused = sheet.contains(document.activeElement);
  const before = page;
  page = open().slice(0, many);
  if (page[0] !== before[0]) { at = 0; from = 0; row = null; }
  at = Math.min(at, Math.max(0, page.length - 1));
  from = Math.min(from, Math.max(0, page.length - 1));
  sheet.style.setProperty("--columns", String(columns));
  sheet.style.setProperty("--high", `${high - CAPTION}px`);
  const had = new Map([...sheet.children].map((entry) => [/** @type {HTMLElement} */ (entry).dataset.item, /** @type {HTMLElement} */ (entry)]));
  sheet.replaceChildren(...page.map((item, number) => tile(had.get(item.item) ?? made(item), item, number, columns)));
  place.classList.toggle("empty", !page.length);
  const end = document.getElementById("end");
  if (end) end.hidden = page.length > 0 || !work.end;
  progress(work);
  const wrong = page.filter((item) => marks.has(item.item) || seen(item) === "none").length;
  put("rest-told", wrong ? `The other ${page.length - wrong} are right` : `All ${page.length} are right`);
  for (const name of ["aside", "end-aside"]) put(name, aside.size ? `${aside.size} set aside for a closer look` : "");
  put("end-title", aside.size ? "What is left is set aside" : "Nothing waits for you here");
  for (const name of ["closer", "end-closer"]) document.getElementById(name)?.toggleAttribute("hidden", !aside.size);
  drawRecent(work.latest(10), (decision) => work.reopen(decision));
  if (focused || document.activeElement === document.body) focus();
}

/** @param {Item} item */
const seen = (item) => sight(/** @type {HTMLImageElement|null} */ (sheet.querySelector(`[data-item="${CSS.escape(item.item)}"] img`)));

/** @param {Item} item */
function made(item) {
  const entry = element("li", "", "");
  entry.dataset.item = item.item;
  const button = /** @type {HTMLButtonElement} */ (element("button", "pick", ""));
  button.type = "button";
  const image = document.createElement("img");
  image.alt = "";
  image.decoding = "async";
  image.src = item.tile;
  image.draggable = false;
  const told = () => { if (seen(item) === "none") draw(); };
  image.addEventListener("load", told, { once: true });
  image.addEventListener("error", told, { once: true });
  button.append(image, element("span", "spot", ""), element("span", "sign", ""));
  if (item.copies > 1) button.append(element("span", "copies", `×${item.copies}`));
  button.append(element("span", "cap", ""));
  entry.append(button);
  return entry;
}

/** What is said of it while it is not decided. @param {Item} item */
function caption(item) {
  if (seen(item) === "none") return "not shown";
  if (item.label !== null) return item.confidence ?? (item.blind ? "blind" : null) ?? "not listed";
  const labels = asked(item);
  return labels.length ? `${labels.at(-1)?.name}` : item.blind ? "blind" : "nothing found";
}

/** @param {HTMLElement} entry @param {Item} item @param {number} number @param {number} columns */
function tile(entry, item, number, columns) {
  const button = /** @type {HTMLButtonElement} */ (entry.firstElementChild);
  const kind = marks.get(item.item);
  const line = Math.floor(number / columns) + 1, column = (number % columns) + 1;
  const chosen = number >= Math.min(at, from) && number <= Math.max(at, from);
  button.dataset.at = String(number);
  button.className = ["pick", kind ?? "", chosen ? "chosen" : "", row === String(line) ? "row" : ""].filter(Boolean).join(" ");
  button.tabIndex = number === at ? 0 : -1;
  button.setAttribute("aria-pressed", String(kind !== undefined));
  button.setAttribute("aria-label", `${line} ${column % 10}: ${caption(item)}, ${item.name}${kind ? `, ${SIGNS[kind] === "✕" ? "wrong" : SIGNS[kind] === "?" ? "unsure" : SIGNS[kind]}` : ""}`);
  const text = (/** @type {string} */ name, /** @type {string} */ told) => { const part = button.querySelector(name); if (part && part.textContent !== told) part.textContent = told; };
  text(".spot", `${line}${column % 10}`);
  text(".sign", kind ? SIGNS[kind] ?? "" : "");
  text(".cap", caption(item));
  return entry;
}

function focus() { /** @type {HTMLElement|null} */ (sheet.querySelector(`[data-at="${at}"]`))?.focus({ preventScroll: false }); }

/** @param {Item[]} items */
function anew(items) {
  for (const item of items) if (seen(item) === "none") sheet.querySelector(`[data-item="${CSS.escape(item.item)}"]`)?.remove();
  draw();
}

const work = new Work(place, { few: () => 2 * shape().many + aside.size, many: () => 2 * shape().many + aside.size, changed: draw, pictures, anew });

/** @param {number} to @param {boolean} range */
function move(to, range) {
  at = Math.min(Math.max(to, 0), Math.max(0, page.length - 1));
  if (!range) from = at;
  row = null;
  draw();
  focus();
}

const chosen = () => page.slice(Math.min(at, from), Math.max(at, from) + 1);

/** @param {Kind} kind @param {Item[]} [those] */
function put_(kind, those = chosen()) {
  const all = those.every((item) => marks.get(item.item) === kind);
  const before = those.map((item) => /** @type {const} */ ([item.item, marks.get(item.item)]));
  for (const item of those) if (all) marks.delete(item.item); else marks.set(item.item, kind);
  steps.push(() => { for (const [item, had] of before) if (had) marks.set(item, had); else marks.delete(item); });
  from = at;
  draw();
  say(`${those.length} ${all ? "without a mark" : SIGNS[kind] === "✕" ? "wrong" : SIGNS[kind]}`);
}
/** Marks of this page that are not sent: undo takes the last of them first. @type {(() => void)[]} */
let steps = [];

/** In a queue about one label that is what is wrong. Elsewhere it must be said what is: the image is set aside. */
const wrong = () => /** @type {Kind} */ (label === null ? "closer" : "wrong");

/** @param {Item} item @param {Kind|undefined} kind @returns {Draft} */
function draft(item, kind) {
  const made = blank();
  const name = asked(item)[0];
  if (kind === "wrong" && name) mark(item, made, name.path, "absent");
  if (kind === "unsure") { if (label !== null && name) mark(item, made, name.path, "unsure"); else made.whole = "unsure"; }
  return made;
}

function rest() {
  if (!page.length) return;
  const open = page.filter((item) => marks.get(item.item) === "closer" || (item.blind && item.label === null && !marks.has(item.item)));
  for (const item of open) aside.add(item.item);
  // Nobody has said of an image that they did not see that it is right.
  const coming = page.filter((item) => !marks.has(item.item) && seen(item) === "coming");
  const unseen = new Set(page.filter((item) => seen(item) === "none"));
  const those = page.filter((item) => !aside.has(item.item) && !coming.includes(item)).map((item) => {
    const kind = marks.get(item.item) ?? (unseen.has(item) ? "skip" : undefined);
    return { item, draft: draft(item, kind), state: /** @type {"done"|"skipped"} */ (kind === "skip" ? "skipped" : "done"), unseen: kind === "skip" && unseen.has(item) };
  });
  for (const item of page) marks.delete(item.item);
  steps = [];
  if (open.length) say(`${open.length} are set aside for a closer look.`);
  if (unseen.size || coming.length) say(`${unseen.size} without an image are skipped; ${coming.length} are still to come and stay.`);
  if (those.length) work.decide(those); else { draw(); void work.fill(); }
}

function undo() {
  const step = steps.pop();
  if (step) { step(); draw(); return; }
  const last = work.steps.at(-1);
  if (!work.undo() || !last) return;
  for (const { item, draft, state } of last) {
    aside.delete(item.item);
    const said = Object.values(draft.marks);
    if (state === "skipped") marks.set(item.item, "skip");
    else if (said.includes("absent")) marks.set(item.item, "wrong");
    else if (said.includes("unsure") || draft.whole === "unsure") marks.set(item.item, "unsure");
  }
  draw();
  focus();
}

function severe() {
  const those = chosen().map((item) => ({ item: Object.assign(item, { hidden: true }), draft: { ...draft(item, undefined), severe: true } }));
  if (those.length) work.decide(those);
}

/** @param {number} by */
function resize(by) {
  size = Math.min(Math.max(size + by, 0), SIZES.length - 1);
  localStorage.setItem(KEPT, String(size));
  draw();
  void work.fill();
}

function go(/** @type {string|undefined} */ address) { void work.outbox.settle(3000).then(() => { location.href = /** @type {string} */ (address); }); }

const keys = new Keys([
  { name: "rest", key: "Enter", told: "The rest of this page is right; next page", act: rest },
  { name: "wrong", key: "x", told: label === null ? "Not right: set aside for a closer look" : "Wrong", act: () => put_(wrong()) },
  { name: "unsure", key: "u", told: "Unsure", act: () => put_("unsure") },
  { name: "skip", key: "s", told: "Skip: somebody else may take it", act: () => put_("skip") },
  { name: "severe", key: "S", told: "Severe: hidden at once from all but operators", act: severe },
  { name: "undo", key: "z", told: "Take the last step back", act: undo },
  { name: "left", key: "ArrowLeft", told: "Move", act: () => move(at - 1, false) },
  { name: "right-one", key: "ArrowRight", told: "Move", act: () => move(at + 1, false) },
  { name: "up", key: "ArrowUp", told: "Move", act: () => move(at - shape().columns, false) },
  { name: "down", key: "ArrowDown", told: "Move", act: () => move(at + shape().columns, false) },
  { name: "to-left", key: "Shift+ArrowLeft", told: "Choose a range", act: () => move(at - 1, true) },
  { name: "to-right", key: "Shift+ArrowRight", told: "Choose a range", act: () => move(at + 1, true) },
  { name: "to-up", key: "Shift+ArrowUp", told: "Choose a range", act: () => move(at - shape().columns, true) },
  { name: "to-down", key: "Shift+ArrowDown", told: "Choose a range", act: () => move(at + shape().columns, true) },
  { name: "larger", key: "+", told: "Larger images", act: () => resize(1) },
  { name: "smaller", key: "-", told: "Smaller images", act: () => resize(-1) },
  { name: "focus", key: "g", told: "One at a time: focus", act: () => go(place.dataset.other) },
  { name: "stop", key: "Escape", told: "Stop here; it goes on where you were", act: () => { if (row !== null) { row = null; draw(); } else void work.release().then(() => go(place.dataset.summary)); } },
]);
keys.buttons();

/** A row and a column, as they stand on each image: two digits mark it. */
document.addEventListener("keydown", (event) => {
  const number = digit(event);
  const target = event.target instanceof Element ? event.target : null;
  if (number === null || event.ctrlKey || event.metaKey || event.altKey || event.repeat || target?.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  const { columns } = shape();
  if (row === null) { row = number; draw(); return; }
  const column = number === "0" ? 10 : Number(number);
  const to = (Number(row) - 1) * columns + column - 1;
  row = null;
  const item = column <= columns ? page[to] : undefined;
  if (!item) { draw(); return; }
  at = to;
  if (!event.shiftKey) from = to;
  put_(wrong());
  focus();
});
sheet.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-at]") : null;
  if (!(button instanceof HTMLElement)) return;
  at = Number(button.dataset.at);
  if (event.shiftKey) { draw(); return; }
  from = at;
  put_(wrong());
});
sheet.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
let due = 0;
addEventListener("resize", () => { clearTimeout(due); due = window.setTimeout(() => { draw(); void work.fill(); }, 150); });
draw();
void work.fill();
