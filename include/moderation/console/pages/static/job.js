// @ts-check
// A job: filters without a reload, and a grid of any length of which only what is in sight exists.
import { localTimes, say, typing } from "./console.js";

/** @typedef {{n: number, name: string, short: string, copies: number, label: string|null, confidence: string|null, code: string|null, status: string, hidden: string, gone: boolean}} Tile */

const GAP = 10;
const CAPTION = 54;
const MOST_HEIGHT = 12_000_000; // Browsers give up on taller elements.
const SETTLE = 140;

const job = /** @type {HTMLElement} */ (document.getElementById("job"));
const side = /** @type {HTMLElement} */ (document.getElementById("side"));
const grid = /** @type {HTMLElement} */ (document.getElementById("grid"));
const none = /** @type {HTMLElement} */ (document.getElementById("none"));
const base = /** @type {string} */ (job.dataset.job);

const state = () => /** @type {HTMLElement} */ (document.getElementById("state"));

const PAGE = Number(grid.dataset.page);

let query = state().dataset.query ?? "";
/** @type {Map<string, string>} what is wanted otherwise than it is shown; empty where a value is to go */
const pending = new Map();
let step = false; // whether what is wanted becomes a new step of the history
let total = Number(grid.dataset.total);
/** @returns {Map<number, Promise<Tile[]>>} the first page, which comes with the selection */
const given = () => new Map([[0, Promise.resolve(JSON.parse(document.getElementById("tiles")?.textContent ?? "[]"))]]);
let pages = given();
/** @type {Map<number, HTMLLIElement>} */
const placed = new Map();
let focused = 0;
let asked = 0;

/** @param {string} path @param {string} text */
const address = (path, text) => `${base}${path}${text ? `?${text}` : ""}`;

/** @param {number} number @returns {Promise<Tile[]>} */
function tilesOf(number) {
  const known = pages.get(number);
  if (known) return known;
  const wanted = query;
  const found = fetch(address("/tiles", [wanted, `offset=${number * PAGE}&limit=${PAGE}`].filter(Boolean).join("&")), { headers: { Accept: "application/json" } })
    .then(async (answer) => {
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error ?? `answer ${answer.status}`);
      return /** @type {Tile[]} */ (body.tiles);
    });
  found.catch((error) => { pages.delete(number); say(`Images cannot be listed now: ${error.message}`); });
  pages.set(number, found);
  if (pages.size > 40) pages.delete(/** @type {number} */ (pages.keys().next().value));
  return found;
}

function measures() {
  const width = grid.clientWidth;
  const least = window.innerWidth <= 860 ? 136 : 164;
  const columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  const wide = Math.floor((width - GAP * (columns - 1)) / columns);
  const high = 124 + CAPTION;
  const rows = Math.ceil(total / columns);
  const full = rows * (high + GAP);
  return { columns, wide, high, rows, full, height: Math.min(full, MOST_HEIGHT) };
}

/** How far the grid's own rows are scrolled, and back.
 * @param {ReturnType<typeof measures>} m */
function scrolled(m) {
  const top = Math.max(0, -grid.getBoundingClientRect().top);
  const range = m.height - window.innerHeight;
  return m.full === m.height || range <= 0 ? top : (top / range) * (m.full - window.innerHeight);
}

/** @param {HTMLLIElement} entry @param {Tile} tile @param {number} place */
function fill(entry, tile, place) {
  const link = document.createElement("a");
  link.className = "tile";
  link.href = address(`/images/${tile.n}`, query);
  link.dataset.place = String(place);
  const image = document.createElement("img");
  image.alt = "";
  image.decoding = "async";
  image.loading = "lazy"; // Else the page counts as loading, and a browser draws its sign of that all the time.
  image.src = address(`/images/${tile.n}/tile`, "") + tile.hidden;
  link.append(image);
  if (tile.copies > 1) link.append(span("copies", `×${tile.copies}`));
  if (tile.gone) link.append(span("gone", "gone"));
  const told = document.createElement("b");
  told.textContent = tile.label ?? tile.code ?? (tile.status === "moderated" ? "nothing found" : tile.status);
  const cap = span("cap", "");
  cap.append(told, tile.confidence ? ` ${tile.confidence}` : "");
  link.append(cap, span("name", tile.short));
  link.title = tile.name;
  entry.replaceChildren(link);
}

/** @param {string} kind @param {string} text */
function span(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** @param {HTMLLIElement} entry @param {number} place */
function remove(entry, place) {
  entry.querySelector("img")?.removeAttribute("src"); // Without a source the browser asks no longer for it.
  entry.remove();
  placed.delete(place);
}

function draw() {
  const m = measures();
  grid.classList.add("placed");
  grid.style.height = `${m.height}px`;
  const top = scrolled(m);
  const shift = Math.max(0, -grid.getBoundingClientRect().top) - top;
  const first = Math.max(0, Math.floor(top / (m.high + GAP)) - 2) * m.columns;
  const last = Math.min(total, (Math.ceil((top + window.innerHeight) / (m.high + GAP)) + 2) * m.columns);
  for (const [place, entry] of placed) {
    if ((place < first || place >= last) && !entry.contains(document.activeElement)) remove(entry, place);
  }
  for (let place = first; place < last; place += 1) put(place, m, shift);
}

/** @param {HTMLLIElement} entry @param {number} place */
function keep(entry, place) {
  entry.setAttribute("aria-setsize", String(total));
  entry.setAttribute("aria-posinset", String(place + 1));
  placed.set(place, entry);
  return entry;
}

/** @param {number} place @param {ReturnType<typeof measures>} m @param {number} shift */
function put(place, m, shift) {
  let entry = placed.get(place);
  if (!entry) {
    entry = keep(document.createElement("li"), place);
    grid.append(entry);
    const made = entry;
    const then = query;
    tilesOf(Math.floor(place / PAGE)).then((tiles) => {
      const tile = tiles[place % PAGE];
      if (tile && then === query && placed.get(place) === made) {
        fill(made, tile, place);
        if (waiting === place) { waiting = -1; focusOn(place); }
      }
    }, () => { placed.delete(place); made.remove(); });
  }
  const x = (place % m.columns) * (m.wide + GAP);
  const y = Math.floor(place / m.columns) * (m.high + GAP) + shift;
  entry.style.transform = `translate(${x}px, ${y}px)`;
  entry.style.width = `${m.wide}px`;
  entry.style.height = `${m.high}px`;
}

let waiting = -1;
/** @param {number} place */
function focusOn(place) {
  focused = Math.min(Math.max(place, 0), total - 1);
  if (focused < 0) return;
  const m = measures();
  const y = Math.floor(focused / m.columns) * (m.high + GAP);
  const top = scrolled(m);
  if (y < top || y + m.high > top + window.innerHeight - 70) {
    const wanted = Math.max(0, y - 70);
    const own = m.full === m.height ? wanted : (wanted / (m.full - window.innerHeight)) * (m.height - window.innerHeight);
    window.scrollTo({ top: own + grid.getBoundingClientRect().top + window.scrollY });
    draw();
  }
  const link = placed.get(focused)?.querySelector("a");
  if (link) link.focus({ preventScroll: true }); else waiting = focused;
}

function wanted() {
  const made = new URLSearchParams(query);
  for (const [name, value] of pending) if (value) made.set(name, value); else made.delete(name);
  return made.toString();
}

const FIELDS = ["at", "q"];
/** Want what a link leads to, and of what was changed in fields what it leaves as it is shown.
 * @param {string} selection */
function want(selection) {
  const [then, now] = [new URLSearchParams(selection), new URLSearchParams(query)];
  for (const name of new Set([...then.keys(), ...now.keys(), ...pending.keys()])) {
    if (then.get(name) !== now.get(name)) pending.set(name, then.get(name) ?? "");
    else if (!FIELDS.includes(name)) pending.delete(name);
  }
}

/** Show what is wanted.
 * @param {boolean} keep whether the address is to become a new step of the history */
async function go(keep) {
  clearTimeout(settle);
  const turn = ++asked;
  step ||= keep;
  const answer = await fetch(address("", [wanted(), "part=side"].filter(Boolean).join("&")), { headers: { Accept: "text/html" } }).catch(() => null);
  const text = answer?.ok ? await answer.text().catch(() => null) : null;
  if (turn !== asked) return; // Shown now, it would put back what was changed meanwhile.
  pending.clear();
  const kept = step;
  step = false;
  if (text === null) { say("The server cannot be asked now; try again in a moment."); return; }
  const had = document.activeElement instanceof HTMLElement ? document.activeElement.id : "";
  const open = [...side.querySelectorAll("details")].map((part) => part.open);
  const scroll = side.scrollTop;
  side.innerHTML = text;
  side.querySelectorAll("details").forEach((part, number) => { part.open = open[number] ?? part.open; });
  side.scrollTop = scroll;
  localTimes(side);
  if (had && side.querySelector(`#${CSS.escape(had)}`)) document.getElementById(had)?.focus({ preventScroll: true });
  query = state().dataset.query ?? "";
  if (kept) history.pushState(null, "", address("", query)); else history.replaceState(null, "", address("", query));
  total = Number(state().dataset.contents);
  pages = given();
  for (const [place, entry] of placed) remove(entry, place);
  grid.replaceChildren();
  none.hidden = total > 0;
  focused = 0;
  draw();
  say(`${total} images`);
}

/** @param {string} href */
const queryOf = (href) => new URL(href, location.href).search.slice(1);

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-go]") : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  want(queryOf(link.href));
  void go(true);
});

let settle = 0;
let held = false;
/** Ask for the selection with one value changed, once nothing has changed for a while and the slider is let go.
 * @param {string} name @param {string} value @param {number} after */
function soon(name, value, after) {
  pending.set(name, value);
  asked += 1;
  clearTimeout(settle);
  settle = window.setTimeout(() => { if (held) soon(name, value, after); else void go(false); }, after);
}
side.addEventListener("pointerdown", (event) => { held = event.target instanceof HTMLInputElement && event.target.type === "range"; });
for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => { held = false; });

/** Counts at a threshold, before the server has been asked.
 * @param {number} at */
function told(at) {
  const { ladder, moderated, asked: least } = state().dataset;
  const flagged = JSON.parse(ladder ?? "[]")[at] ?? 0;
  const put = (/** @type {string} */ id, /** @type {string} */ text) => { const place = document.getElementById(id); if (place) place.textContent = text; };
  put("at-told", String(at));
  put("count-flagged", flagged.toLocaleString("en-US"));
  put("count-unflagged", (Number(moderated) - flagged).toLocaleString("en-US"));
  const below = document.getElementById("below");
  if (below) below.hidden = at >= Number(least);
}

side.addEventListener("input", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement)) return;
  if (field.id === "at") { told(Number(field.value)); soon("at", field.value, SETTLE); }
  if (field.id === "q") soon("q", field.value, 2 * SETTLE);
});
side.addEventListener("submit", (event) => { event.preventDefault(); focusOn(0); });

/** @param {number} by */
function move(by) {
  const slider = /** @type {HTMLInputElement} */ (document.getElementById("at"));
  slider.value = String(Number(slider.value) + by);
  told(Number(slider.value));
  soon("at", slider.value, SETTLE);
}

/** @type {Record<string, () => void>} */
const keys = {
  ArrowRight: () => focusOn(focused + 1),
  ArrowLeft: () => focusOn(focused - 1),
  ArrowDown: () => focusOn(focused + measures().columns),
  ArrowUp: () => focusOn(focused - measures().columns),
  g: () => focusOn(focused),
  "[": () => move(-1),
  "]": () => move(1),
  "{": () => move(-5),
  "}": () => move(5),
  f: () => document.getElementById("show-flagged")?.click(),
  u: () => document.getElementById("show-unflagged")?.click(),
  a: () => document.getElementById("show-all")?.click(),
  "/": () => document.getElementById("q")?.focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.activeElement?.id === "q") { focusOn(0); return; }
  const onSlider = event.target instanceof HTMLInputElement && event.target.type === "range";
  if (typing(event) || (onSlider && event.key.startsWith("Arrow"))) return;
  const act = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
  if (act) { event.preventDefault(); act(); }
});
grid.addEventListener("focusin", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a.tile") : null;
  if (link instanceof HTMLElement) focused = Number(link.dataset.place);
});
let due = false;
const redraw = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; draw(); }); } };
window.addEventListener("scroll", redraw, { passive: true });
window.addEventListener("resize", redraw);
window.addEventListener("popstate", () => { pending.clear(); step = false; want(location.search.slice(1)); void go(false); });
if (window.innerWidth <= 860) side.querySelectorAll("details.filters").forEach((part) => part.removeAttribute("open"));
[...grid.querySelectorAll("li")].forEach(keep);
draw();
