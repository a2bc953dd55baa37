// @ts-check
// The pages of archives: dialogs before what operators ask, and figures that move while the page is looked at.
import { WRITE_HEADER, localTimes, say } from "../console.js";

const EVERY = 5_000, AT_MOST = 60_000;

/** @param {string} address @param {unknown} body @param {HTMLElement|null} trouble */
async function write(address, body, trouble) {
  if (trouble) trouble.hidden = true;
  const answer = await fetch(address, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) return true;
  if (trouble) { trouble.textContent = told?.error ?? "The server cannot be asked now; try again in a moment."; trouble.hidden = false; }
  return false;
}

/** @param {ParentNode} place */
const fieldsOf = (place) => /** @type {HTMLInputElement[]} */ ([...place.querySelectorAll("input[type=number]")]);

/** What was changed in its fields; an empty one says that there is none. @param {HTMLFormElement} form */
function said(form) {
  const changed = fieldsOf(form).filter((field) => field.value !== field.defaultValue);
  return Object.fromEntries(changed.map((field) => [field.name, field.value ? Number(field.value) : null]));
}

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("dialog form[data-write]"))) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    button.disabled = true;
    const done = await write(form.dataset.write ?? "", said(form), form.querySelector("[role=alert]"));
    button.disabled = false;
    if (!done) return;
    form.closest("dialog")?.close();
    await draw();
    watch();
    say("Done.");
  });
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  if (button.dataset.dialog) /** @type {HTMLDialogElement} */ (document.getElementById(button.dataset.dialog)).showModal();
  if ("close" in button.dataset) button.closest("dialog")?.close();
  if (button.dataset.write) {
    button.disabled = true;
    void write(button.dataset.write, JSON.parse(button.dataset.body ?? "{}"), document.getElementById("trouble")).then(async (done) => {
      button.disabled = false;
      if (!done) return;
      await draw();
      watch();
      say("Done.");
    });
  }
});

/** What the element is called by which the focus is found again. @param {Element|null} element */
function called(element) {
  if (!element) return "";
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element instanceof HTMLAnchorElement) return `a[href="${CSS.escape(element.getAttribute("href") ?? "")}"]`;
  const label = element.getAttribute("aria-label");
  return label ? `[aria-label="${CSS.escape(label)}"]` : "";
}

let wait = EVERY;

/** The page as it is now in the place of what is shown; the focus, and what was scrolled, stay. */
async function draw() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  const place = document.getElementById("told");
  const whole = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  const found = whole?.getElementById("told");
  const warning = document.getElementById("trouble");
  if (!found || !place) {
    wait = Math.min(wait * 2, AT_MOST);
    if (warning) { warning.textContent = "This cannot be asked now. It is asked again by itself; the figures are the last known."; warning.hidden = false; }
    return;
  }
  if (wait !== EVERY && warning) warning.hidden = true;
  wait = EVERY;
  for (const dialog of /** @type {NodeListOf<HTMLDialogElement>} */ (document.querySelectorAll("dialog:not([open])"))) {
    const now = whole?.getElementById(dialog.id);
    const fields = fieldsOf(dialog);
    if (now) fieldsOf(now).forEach(({ defaultValue }, at) => { Object.assign(fields[at] ?? {}, { defaultValue, value: defaultValue }); });
  }
  const fresh = document.adoptNode(found);
  localTimes(fresh);
  if (fresh.outerHTML === place.outerHTML) return;
  const focus = place.contains(document.activeElement) || document.activeElement === document.body ? called(document.activeElement) : "";
  const left = [...place.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  place.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = left[at] ?? 0; });
  if (!focus) return;
  const again = fresh.querySelector(focus) ?? fresh.querySelector(".does button") ?? document.getElementById("main");
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

let timer = 0;
/** Asks again while something moves and the page is looked at. */
function watch() {
  clearTimeout(timer);
  const moves = "moves" in (document.getElementById("told")?.dataset ?? {}) || wait !== EVERY;
  if (document.hidden || !moves) return;
  timer = window.setTimeout(() => void (document.querySelector("dialog[open]") ? Promise.resolve() : draw()).finally(watch), wait);
}
document.addEventListener("visibilitychange", () => { wait = EVERY; watch(); });
watch();
