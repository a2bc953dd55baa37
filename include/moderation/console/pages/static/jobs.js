// @ts-check
// Jobs by key.
import { typing } from "./console.js";

const links = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("table.jobs tbody a")]);
document.addEventListener("keydown", (event) => {
  if (typing(event) || !["j", "k"].includes(event.key)) return;
  const all = links();
  const now = all.findIndex((link) => link === document.activeElement);
  const next = all[Math.min(Math.max(now + (event.key === "j" ? 1 : -1), 0), all.length - 1)];
  next?.focus();
  event.preventDefault();
});

/** Flagged images are counted after the page is there: a long history takes a moment. */
async function flagged() {
  const table = /** @type {HTMLElement|null} */ (document.querySelector("table[data-flagged]"));
  const cells = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("td[data-flagged]")]);
  if (!table || !cells.length) return;
  const query = new URLSearchParams(cells.map((cell) => ["load", cell.dataset.flagged ?? ""]));
  const answer = await fetch(`${table.dataset.flagged}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
  const found = answer?.ok ? await answer.json() : {};
  for (const cell of cells) cell.textContent = found[cell.dataset.flagged ?? ""]?.toLocaleString("en-US") ?? "–";
}
void flagged();
