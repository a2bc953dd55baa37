// @ts-check
// What every page has: its keys, the person's view of images, and times in the person's zone.

export const WRITE_HEADER = { "X-Moderation-Console": "1" };

/** Tell a person who cannot see the page, and those who can by other means, what happened.
 * @param {string} text */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** Of what is asked one after another only the last answer counts: an earlier one may come after it.
 * @returns {() => () => boolean} called when something is asked; what it returns tells later whether it is the last */
export function latest() {
  let turn = 0;
  return () => { const mine = ++turn; return () => mine === turn; };
}

/** Whether keys are meant for what has the focus.
 * @param {KeyboardEvent} event */
export function typing(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  if (!(target instanceof HTMLElement)) return false;
  if (document.querySelector("dialog[open]")) return true;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
    || (target instanceof HTMLInputElement && target.type !== "checkbox" && target.type !== "range");
}

/** @type {Intl.DateTimeFormat|undefined} */
let clock; // It takes longer to make than all times of a page to write.

/** Times of the server are UTC; people read their own.
 * @param {ParentNode} within */
export function localTimes(within) {
  for (const entry of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(entry.getAttribute("datetime") ?? "");
    if (Number.isNaN(moment.valueOf())) continue;
    entry.setAttribute("title", entry.textContent ?? "");
    clock ??= new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    entry.textContent = clock.format(moment);
  }
}

const WIDEST = 1600;
/** Whether a person sees what is in an image: a drawing that says why there is none is wider than any of ours.
 * @param {HTMLImageElement|null|undefined} image @returns {"seen"|"coming"|"none"} */
export function sight(image) {
  if (!image?.complete) return "coming";
  return image.naturalWidth > 0 && image.naturalWidth <= WIDEST ? "seen" : "none";
}

/** @param {string} id */
function dialog(id) {
  return /** @type {HTMLDialogElement} */ (document.getElementById(id));
}

const looks = ["blur", "grey"];

function keepLooks() {
  const chosen = looks.filter((look) => /** @type {HTMLInputElement} */ (document.getElementById(`look-${look}`)).checked);
  for (const look of looks) document.documentElement.classList.toggle(look, chosen.includes(look));
  document.cookie = `moderation_look=${chosen.join(".")}; path=/; max-age=31536000; samesite=strict`;
}

for (const look of looks) document.getElementById(`look-${look}`)?.addEventListener("change", keepLooks);
document.getElementById("keys")?.addEventListener("click", () => dialog("keys-dialog").showModal());
document.getElementById("look")?.addEventListener("click", () => dialog("look-dialog").showModal());
document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "?") { event.preventDefault(); dialog("keys-dialog").showModal(); }
  if (event.key === "v") document.documentElement.classList.add("reveal");
});
document.addEventListener("keyup", (event) => {
  if (event.key === "v") document.documentElement.classList.remove("reveal");
});
window.addEventListener("blur", () => document.documentElement.classList.remove("reveal"));
// Pages of Airflow belong into its own window, which a page in its frame may not lead elsewhere by itself.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-out]") : null;
  if (!(link instanceof HTMLAnchorElement) || window === window.parent || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const outer = window.parent.document.createElement("a");
  outer.href = link.href;
  window.parent.document.body.append(outer);
  outer.click();
  outer.remove();
  event.preventDefault();
});
localTimes(document);
// In a frame the page has no keys before it has the focus.
if (window !== window.parent && document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
