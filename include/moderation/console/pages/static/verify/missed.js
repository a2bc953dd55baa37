// @ts-check
// What the answer lacks: found by typing in the taxonomy, or by a digit among the ten most used.

/** @typedef {import("./types.js").Label} Label */

const KEPT = "moderation-verify-used";
const MOST = 9;

/** @returns {Record<string, number>} */
function counts() {
  try { return JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {}; } catch { return {}; }
}

/** @param {string} name */
export function used(name) {
  const all = counts();
  all[name] = (all[name] ?? 0) + 1;
  localStorage.setItem(KEPT, JSON.stringify(all));
}

/** The ten labels that this person adds most, then those that people here marked most.
 * Fixed for as long as the page is open: a digit must not change its meaning under the hand.
 * @param {Label[]} labels @param {string[]} usual */
export function ten(labels, usual) {
  const all = counts();
  const rank = (/** @type {Label} */ label) => usual.includes(label.name) ? usual.indexOf(label.name) : usual.length;
  return labels.toSorted((a, b) => (all[b.name] ?? 0) - (all[a.name] ?? 0) || rank(a) - rank(b)).slice(0, 10);
}

/** How well a label fits what was typed: less is better, Infinity is not at all.
 * @param {Label} label @param {string[]} words */
function fit(label, words) {
  const name = label.name.toLowerCase();
  const path = label.path.toLowerCase();
  let sum = 0;
  for (const word of words) {
    if (name.startsWith(word)) sum += 0;
    else if (name.split(/[\s/&]+/).some((part) => part.startsWith(word))) sum += 1;
    else if (name.includes(word)) sum += 3;
    else if (path.includes(word)) sum += 6;
    else return Infinity;
  }
  return sum;
}

export class Missed {
  /** @param {Label[]} labels @param {(label: Label) => void} chosen @param {() => void} left the focus goes back to the image */
  constructor(labels, chosen, left) {
    this.labels = labels;
    this.chosen = chosen;
    this.left = left;
    this.field = /** @type {HTMLInputElement} */ (document.getElementById("missed"));
    this.list = /** @type {HTMLElement} */ (document.getElementById("missed-list"));
    /** @type {Label[]} */
    this.found = [];
    this.at = 0;
    this.field.addEventListener("input", () => this.search());
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.list.addEventListener("pointerdown", (event) => {
      const entry = event.target instanceof Element ? event.target.closest("li") : null;
      if (!(entry instanceof HTMLElement)) return;
      event.preventDefault();
      this.take(Number(entry.dataset.at));
    });
  }

  open() { this.field.focus(); this.field.select(); this.search(); }

  search() {
    const words = this.field.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = words.length
      ? this.labels.map((label) => ({ label, fit: fit(label, words) })).filter((one) => one.fit < Infinity).sort((a, b) => a.fit - b.fit).slice(0, MOST).map((one) => one.label)
      : [];
    this.at = 0;
    this.draw();
  }

  draw() {
    this.list.replaceChildren(...this.found.map((label, place) => {
      const entry = document.createElement("li");
      entry.id = `missed-${place}`;
      entry.role = "option";
      entry.dataset.at = String(place);
      entry.setAttribute("aria-selected", String(place === this.at));
      const name = document.createElement("b");
      name.textContent = label.name;
      const path = document.createElement("span");
      path.textContent = label.path.split(" › ").slice(0, -1).join(" › ");
      entry.append(name, path);
      return entry;
    }));
    this.list.hidden = !this.found.length;
    this.field.setAttribute("aria-expanded", String(this.found.length > 0));
    if (this.found.length) this.field.setAttribute("aria-activedescendant", `missed-${this.at}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.found.length) { this.at = (this.at + step + this.found.length) % this.found.length; this.draw(); }
    else if (event.key === "Enter") this.take(this.at);
    else if (event.key === "Escape") { this.close(); this.left(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} place */
  take(place) {
    const label = this.found[place];
    this.close();
    if (label) { used(label.name); this.chosen(label); }
    this.left();
  }

  close() { this.field.value = ""; this.found = []; this.draw(); }
}
