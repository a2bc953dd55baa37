// @ts-check
// An image: the next ones are loaded ahead, so that a key shows them at once; zoom, pan and turn.
import { localTimes, say, typing } from "./console.js";
import { staged } from "./stage.js";
import { judging } from "./verify/judge.js";

const one = /** @type {HTMLElement} */ (document.getElementById("one"));
const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));
const panel = /** @type {HTMLElement} */ (document.getElementById("panel"));
const base = /** @type {string} */ (one.dataset.job);
const query = one.dataset.query ?? "";

/** @typedef {{place: number|null, total: number, before: number[], after: number[]}} Way */
/** @type {Map<number, {panel: Promise<string>, image: HTMLImageElement}>} */
const ahead = new Map();
const MOST_AHEAD = 12;

const here = () => /** @type {HTMLElement} */ (document.getElementById("here"));
/** @returns {Way} */
const way = () => JSON.parse(here().dataset.way ?? "{}");
/** @param {number} n @param {string} more */
const address = (n, more = "") => {
  const told = [query, more].filter(Boolean).join("&");
  return `${base}/images/${n}${told ? `?${told}` : ""}`;
};

/** @param {number} n */
function load(n) {
  const known = ahead.get(n);
  if (known) { ahead.delete(n); ahead.set(n, known); return known; }
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.src = `${base}/images/${n}/view`;
  const text = fetch(address(n, "part=panel"), { headers: { Accept: "text/html" } })
    .then((answer) => { if (!answer.ok) throw new Error(`answer ${answer.status}`); return answer.text(); });
  text.catch(() => ahead.delete(n));
  const made = { panel: text, image };
  ahead.set(n, made);
  if (ahead.size > MOST_AHEAD) ahead.delete(/** @type {number} */ (ahead.keys().next().value));
  return made;
}

function loadAhead() {
  const { after, before } = way();
  for (const n of after) void load(n).image.decode?.().catch(() => undefined);
  const [nearest] = before;
  if (nearest !== undefined) load(nearest);
}

const painted = () => new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); });

let turn = 0;
/** What is looked at comes first: the next ones would take the processors' time from its frame.
 * @param {HTMLImageElement|null} image @param {number} mine */
async function thenAhead(image, mine) {
  await image?.decode?.().catch(() => undefined);
  await painted();
  if (mine === turn) loadAhead();
}

/** The tile that a browser still has from the grid stands for the image until that is there; none is asked for.
 * Not where the panel says that the image was hidden since.
 * @param {HTMLImageElement} image @param {number} n */
async function standIn(image, n) {
  if (image.complete || "hidden" in here().dataset) return;
  const tile = `${base}/images/${n}/tile`;
  const kept = await fetch(tile, { cache: "only-if-cached", mode: "same-origin" }).catch(() => null);
  if (!kept?.ok || image.complete) return;
  image.style.background = `url("${tile}") center / contain no-repeat`;
  for (const end of ["load", "error"]) image.addEventListener(end, () => { image.style.background = ""; });
}

/** @param {number|undefined} n @param {boolean} step whether it is a new step of the history */
async function show(n, step) {
  if (n === undefined) { say("There is no further image in this selection."); return; }
  const mine = ++turn;
  const found = load(n);
  const image = /** @type {HTMLImageElement} */ (found.image.cloneNode());
  image.id = "large";
  stage.replaceChildren(image);
  whole();
  try {
    const text = await found.panel;
    if (mine !== turn) return;
    panel.innerHTML = text;
    void standIn(image, n);
  } catch {
    say("The server cannot be asked now; try again in a moment.");
    return;
  }
  if (step) history.pushState(null, "", address(n));
  document.title = `${panel.querySelector("h1")?.textContent ?? ""} · Moderation`;
  localTimes(panel);
  judge.shown();
  void thenAhead(image, mine);
}

const { whole, zoom, pan, turn: quarter } = staged(stage);

async function copyLink() {
  const link = /** @type {HTMLAnchorElement|null} */ (document.getElementById("copy"));
  if (!link) return;
  try { await navigator.clipboard.writeText(link.href); say("The link is copied."); } catch { link.focus(); say("Copy the link from here."); }
}

const judge = judging(one, panel);

/** @type {Record<string, () => void>} */
const keys = {
  y: judge.right,
  x: judge.wrong,
  z: judge.back,
  ArrowRight: () => void show(way().after[0], true),
  j: () => void show(way().after[0], true),
  ArrowLeft: () => void show(way().before[0], true),
  k: () => void show(way().before[0], true),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(1 / 1.25),
  0: whole,
  w: () => pan(0, 60),
  s: () => pan(0, -60),
  a: () => pan(60, 0),
  d: () => pan(-60, 0),
  r: quarter,
  c: () => void copyLink(),
  Escape: () => { location.href = /** @type {HTMLAnchorElement} */ (document.getElementById("up")).href; },
};
document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const act = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
  if (act) { event.preventDefault(); act(); }
});
panel.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("#before, #after") : null;
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { before, after } = way();
  void show(link.id === "after" ? after[0] : before[0], true);
});
panel.addEventListener("toggle", async (event) => {
  const part = event.target;
  if (!(part instanceof HTMLDetailsElement) || part.id !== "answers" || !part.open || part.dataset.read) return;
  part.dataset.read = "1";
  const place = /** @type {HTMLElement} */ (part.querySelector("div"));
  place.textContent = "…";
  const answer = await fetch(/** @type {string} */ (part.dataset.from), { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) { place.innerHTML = await answer.text(); localTimes(place); }
  else { delete part.dataset.read; place.textContent = "This cannot be looked up now."; }
}, true);
/** The image of the page's address. */
function told() {
  const found = /\/images\/(\d+)$/.exec(location.pathname);
  return found ? Number(found[1]) : undefined;
}
window.addEventListener("popstate", () => { if (told() !== undefined) void show(told(), false); });
const first = /** @type {HTMLImageElement|null} */ (document.getElementById("large"));
const shown = told();
if (first && shown !== undefined) void standIn(first, shown);
void thenAhead(first, turn);
