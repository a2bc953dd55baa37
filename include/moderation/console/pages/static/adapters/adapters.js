// @ts-check
// The pages of adapters: dialogs before what counts, the price of a promotion, and how far trainings are.
import { WRITE_HEADER, latest, say } from "../console.js";

const here = /** @type {HTMLElement} */ (document.getElementById("adapters"));
const POLL = 10_000;

/** @param {string} address @param {unknown} body @param {HTMLElement|null} trouble */
async function write(address, body, trouble) {
  if (trouble) trouble.hidden = true;
  const answer = await fetch(address, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) return told;
  if (trouble) { trouble.textContent = told?.error ?? "The server cannot be asked now; try again in a moment."; trouble.hidden = false; }
  return null;
}

/** @param {HTMLFormElement} form */
function fields(form) {
  /** @type {Record<string, unknown>} */
  const told = { arn: form.dataset.arn };
  for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input[name]"))) {
    told[field.name] = field.type === "checkbox" ? field.checked : field.type === "number" ? Number(field.value) : field.value;
  }
  return told;
}

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("dialog form[data-write]"))) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    button.disabled = true;
    const done = await write(form.dataset.write ?? "", fields(form), form.querySelector("[role=alert]"));
    button.disabled = false;
    if (done) { say("Done."); location.reload(); }
  });
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  if (button.dataset.dialog) {
    /** @type {HTMLDialogElement} */ (document.getElementById(button.dataset.dialog)).showModal();
    if (button.dataset.dialog === "promote") void older();
  }
  if ("close" in button.dataset) button.closest("dialog")?.close();
  if (button.dataset.lack) {
    button.disabled = true;
    const wanted = { lack: button.dataset.lack, labels: [button.dataset.label] };
    void write(here.dataset.queue ?? "", wanted, document.getElementById("trouble")).then((made) => { button.disabled = false; if (made) location.href = made.address; });
  }
  if (button.dataset.write) {
    button.disabled = true;
    void write(button.dataset.write, { arn: button.dataset.arn }, document.getElementById("trouble")).then((done) => { button.disabled = false; if (done) location.reload(); });
  }
});

const share = /** @type {HTMLInputElement|null} */ (document.querySelector("[data-older]"));
let settle = 0;
const asking = latest();
async function older() {
  const isLast = asking();
  const place = document.getElementById("older");
  if (!share || !place) return;
  const answer = await fetch(`${share.dataset.older}?${new URLSearchParams({ share: share.value || "0" })}`, { headers: { Accept: "application/json" } }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (isLast()) place.textContent = told?.told ?? told?.error ?? "The price cannot be told now.";
}
share?.addEventListener("input", () => { clearTimeout(settle); settle = window.setTimeout(() => void older(), 300); });

const train = /** @type {HTMLFormElement|null} */ (document.getElementById("train"));
train?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const labels = [.../** @type {NodeListOf<HTMLInputElement>} */ (train.querySelectorAll("input[name=labels]:checked"))].map((field) => field.value);
  const trouble = /** @type {HTMLElement} */ (document.getElementById("trouble"));
  if (!labels.length) { trouble.textContent = "Choose a label to train."; trouble.hidden = false; return; }
  const go = /** @type {HTMLButtonElement} */ (document.getElementById("go"));
  go.disabled = true;
  const field = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (document.getElementById(id)).value;
  const told = await write(train.dataset.start ?? "", { labels, project: field("project"), max_cost_usd: Number(field("most")) }, trouble);
  go.disabled = false;
  if (!told) return;
  const place = /** @type {HTMLElement} */ (document.getElementById("done"));
  place.hidden = false;
  if (told.command) {
    const text = document.createElement("pre");
    text.tabIndex = 0;
    text.textContent = told.command;
    place.replaceChildren("Run this in a terminal:", text);
    text.focus();
  } else place.replaceChildren(`The run ${told.name} is started: it makes the training set, and asks there before it is promoted.`);
  say("Done.");
});

/** @type {string[]} */
const arns = JSON.parse(here.dataset.arns ?? "[]");
/** @type {Map<string, string>} */
const before = new Map();
async function far() {
  const answer = await fetch(`${here.dataset.far}?${new URLSearchParams(arns.map((arn) => ["arn", arn]))}`, { headers: { Accept: "application/json" } }).catch(() => null);
  const told = /** @type {Record<string, {status: string, told: string}>|null} */ (answer?.ok ? await answer.json().catch(() => null) : null);
  for (const [arn, one] of Object.entries(told ?? {})) {
    for (const place of document.querySelectorAll("[data-told]")) if (place instanceof HTMLElement && place.dataset.told === arn) place.textContent = one.told;
    if (before.has(arn) && before.get(arn) !== one.status && one.status && !document.querySelector("dialog[open]")) location.reload();
    before.set(arn, one.status);
  }
}
if (arns.length) { void far(); setInterval(() => void far(), POLL); }
