// @ts-check
// A new queue: only the questions that its kind has.
import { WRITE_HEADER } from "../console.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("new-queue"));
const kind = () => /** @type {RadioNodeList} */ (form.elements.namedItem("kind")).value;

function fit() {
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-for]"))) part.hidden = !(part.dataset.for ?? "").split(" ").includes(kind());
}

form.addEventListener("change", fit);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const go = /** @type {HTMLButtonElement} */ (document.getElementById("go"));
  const trouble = /** @type {HTMLElement} */ (document.getElementById("trouble"));
  go.disabled = true;
  trouble.hidden = true;
  /** @type {Record<string, unknown>} */
  const wanted = { kind: kind(), query: form.dataset.query ?? "" };
  for (const field of form.querySelectorAll("input[name], select[name]")) {
    if (!(field instanceof HTMLInputElement || field instanceof HTMLSelectElement) || field.name === "kind" || field.disabled) continue;
    const part = field.closest("[data-for]");
    if (part instanceof HTMLElement && part.hidden) continue;
    if (field instanceof HTMLInputElement && field.type === "checkbox") wanted[field.name] = field.checked;
    else if (field instanceof HTMLInputElement && field.type === "number") wanted[field.name] = field.value === "" ? null : Number(field.value);
    else wanted[field.name] = field.value;
  }
  wanted.people = String(wanted.people ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  const answer = await fetch(/** @type {string} */ (form.dataset.make), { method: "POST", body: JSON.stringify(wanted), headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) { location.href = told.address; return; }
  trouble.textContent = told?.error ?? "The server cannot be asked now; try again in a moment.";
  trouble.hidden = false;
  go.disabled = false;
});
fit();
