// @ts-check
// The list of queues: by key; pause, people and disputes for operators. What an earlier page did not send goes out here.
import { WRITE_HEADER, say, typing } from "../console.js";
import { Outbox } from "./outbox.js";

const here = /** @type {HTMLElement} */ (document.getElementById("outbox-here"));
const warning = /** @type {HTMLElement|null} */ (document.getElementById("outbox"));
const outbox = new Outbox(/** @type {string} */ (here.dataset.answers), here.dataset.person ?? "", (told) => {
  if (!warning) return;
  const text = told.refused.length ? `${told.refused.length} decisions were not taken: ${told.refused.at(-1)?.why}` : told.waiting ? `${told.waiting} decisions of yours are still to be sent. ${told.trouble}` : "";
  if (had && !told.waiting && !told.refused.length) location.reload();
  had = told.waiting > 0;
  warning.textContent = text;
  warning.hidden = !text;
});
let had = false;
void outbox.kept;

/** @param {string} address @param {unknown} body */
async function write(address, body) {
  const answer = await fetch(address, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) return told;
  const place = document.getElementById("trouble");
  if (place) { place.textContent = told?.error ?? "The server cannot be asked now; try again in a moment."; place.hidden = false; }
  return null;
}

const links = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll(".queue .does a.action:first-child, .queue h2 a")]
  .filter((link, _, all) => link.matches(".does a") || !all.some((other) => other !== link && other.matches(".does a") && other.closest(".queue") === link.closest(".queue"))));
document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "n") document.getElementById("new")?.click();
  if (!["j", "k"].includes(event.key)) return;
  const all = links();
  const now = all.findIndex((link) => link === document.activeElement);
  all[Math.min(Math.max(now + (event.key === "j" ? 1 : -1), 0), all.length - 1)]?.focus();
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  if (button.dataset.set) void write(button.dataset.set, { to: button.dataset.to }).then((done) => { if (done) location.reload(); });
  if (button.dataset.again) void write(button.dataset.again, { what: button.dataset.what }).then((done) => { if (done) location.reload(); });
  if (button.dataset.make) void write(button.dataset.make, {}).then((done) => { if (done) location.href = done.address; });
  if (button.dataset.restrict) people(button.dataset.restrict, button.dataset.people ?? "");
});

/** @param {string} address @param {string} names */
function people(address, names) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("people-dialog"));
  const field = /** @type {HTMLInputElement} */ (document.getElementById("people"));
  const form = /** @type {HTMLFormElement} */ (document.getElementById("people-form"));
  field.value = names;
  form.onsubmit = (event) => {
    event.preventDefault();
    dialog.close();
    const told = field.value.split(",").map((name) => name.trim()).filter(Boolean);
    void write(address, { people: told }).then((done) => { if (done) { say("Kept."); location.reload(); } });
  };
  /** @type {HTMLElement} */ (document.getElementById("people-close")).onclick = () => dialog.close();
  dialog.showModal();
}
