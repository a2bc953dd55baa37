// @ts-check
// Jobs by key, and how far the runs are that are under way.
import { localTimes, say, typing } from "./console.js";

const links = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("table.jobs tbody a")]);
document.addEventListener("keydown", (event) => {
  if (typing(event) || !["j", "k"].includes(event.key)) return;
  const all = links();
  const now = all.findIndex((link) => link === document.activeElement);
  const next = all[Math.min(Math.max(now + (event.key === "j" ? 1 : -1), 0), all.length - 1)];
  next?.focus();
  event.preventDefault();
});

/** What takes a moment over a long history is counted after the page is there, the newest jobs first.
 * @param {"flagged"|"verified"} what @param {number} atOnce jobs asked for together */
async function counted(what, atOnce) {
  const table = /** @type {HTMLElement|null} */ (document.querySelector(`table[data-${what}]`));
  const cells = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(`td[data-${what}]`)]);
  for (let from = 0; table && from < cells.length; from += atOnce) {
    const some = cells.slice(from, from + atOnce);
    const query = new URLSearchParams(some.map((cell) => ["load", cell.dataset[what] ?? ""]));
    const answer = await fetch(`${table.dataset[what]}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
    const found = answer?.ok ? await answer.json() : {};
    for (const cell of some) cell.textContent = found[cell.dataset[what] ?? ""]?.toLocaleString("en-US") ?? "–";
  }
}
const FEW = 10;
const counts = () => { void counted("flagged", FEW); void counted("verified", FEW); };
/** Name, backend and model of each job stand with its plan and its parts, and come after the page. */
async function described() {
  const table = /** @type {HTMLElement|null} */ (document.querySelector("table[data-described]"));
  const cells = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("td[data-name], td[data-backend], td[data-model]")]);
  if (!table || !cells.length) return;
  const query = new URLSearchParams(cells.flatMap((cell) => cell.dataset.name ? [["load", cell.dataset.name]] : []));
  const answer = await fetch(`${table.dataset.described}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
  const found = answer?.ok ? await answer.json() : {};
  for (const cell of cells) {
    for (const what of ["name", "backend", "model"]) {
      const of = cell.dataset[what];
      if (of) cell.textContent = found[of]?.[what] || "–";
    }
  }
}
counts();
void described();

/** @typedef {{load_id: string, name: string, about: string, source: string, state: string, images: number, answered: number,
 *   manifests: number, ended: number}} Run */
const EVERY = 3_000, AT_MOST = 30_000;
const section = /** @type {HTMLElement} */ (document.getElementById("under-way"));
const list = /** @type {HTMLElement} */ (section.querySelector("ul"));
const cards = () => /** @type {HTMLElement[]} */ ([...list.children]);
const warning = /** @type {HTMLElement} */ (document.getElementById("trouble"));
let behind = !warning.hidden;
let wait = EVERY;
let timer = 0;

/** Text is written only where it is another: what is read out or chosen stays.
 * @param {HTMLElement} card @param {Run} run */
function fill(card, run) {
  card.dataset.run = run.load_id;
  for (const name of /** @type {const} */ (["name", "about", "source", "state", "answered", "images", "ended", "manifests"])) {
    const place = card.querySelector(`[data-${name}]`);
    const text = run[name].toLocaleString("en-US");
    if (place && place.textContent !== text) place.textContent = text;
  }
  const bar = /** @type {HTMLProgressElement} */ (card.querySelector("progress"));
  bar.max = Math.max(run.images, 1);
  bar.value = run.answered;
}

/** @param {Run[]} runs */
async function draw(runs) {
  const known = new Map(cards().map((card) => [card.dataset.run, card]));
  const blank = /** @type {HTMLTemplateElement} */ (section.querySelector("template"));
  for (const run of runs) {
    let card = known.get(run.load_id);
    known.delete(run.load_id);
    if (!card) {
      card = /** @type {HTMLElement} */ (/** @type {Element} */ (blank.content.firstElementChild).cloneNode(true));
      list.append(card);
    }
    fill(card, run);
  }
  section.hidden = !list.children.length;
  if (!known.size) return;
  // What is no longer under way is published, or given up: the page's own list tells.
  if (!await published()) return;
  for (const card of known.values()) card.remove();
  section.hidden = !list.children.length;
  say("A run has ended.");
}

/** Bring the list of published jobs up to date, and the focus back to where it was in it. */
async function published() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("published");
  const place = document.getElementById("published");
  if (!fresh || !place) return false;
  const focus = document.activeElement instanceof HTMLAnchorElement ? document.activeElement.href : "";
  place.replaceWith(document.adoptNode(fresh));
  localTimes(fresh);
  links().find((link) => link.href === focus)?.focus();
  counts();
  void described();
  return true;
}

async function look() {
  const answer = await fetch(/** @type {string} */ (section.dataset.from), { headers: { Accept: "application/json" } }).catch(() => null);
  /** @type {{runs: Run[], trouble: string}} */
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  const trouble = found ? found.trouble : "This cannot be asked now.";
  warning.textContent = trouble ? `${trouble} It is asked again by itself; the figures are the last known.` : "";
  warning.hidden = !trouble;
  wait = trouble ? Math.min(wait * 2, AT_MOST) : EVERY;
  if (!found || trouble) return;
  await draw(found.runs);
  if (behind) behind = !await published();
}

/** Asks again while something is under way, or could not be told, and the page is looked at. */
function watch() {
  clearTimeout(timer);
  if (document.hidden || !(cards().length || behind)) return;
  timer = setTimeout(() => void look().finally(watch), wait);
}
document.addEventListener("visibilitychange", () => { wait = EVERY; watch(); });
watch();
