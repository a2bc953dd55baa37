// @ts-check
// What a person says of an image that they met by looking around: it trains adapters, and enters no rate.
import { say, sight } from "../console.js";
import { change } from "./marks.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Item} Item */

/** @param {HTMLElement} one with the addresses @param {HTMLElement} panel what stands beside the image */
export function judging(one, panel) {
  const address = one.dataset.answers;
  /** @type {Row[]} */
  let rows = [];
  const outbox = address ? new Outbox(address, one.dataset.person ?? "", (told) => {
    const place = document.getElementById("judged");
    if (place && said) place.textContent = told.refused.at(-1)?.why ?? (told.waiting ? told.trouble || "…" : "saved");
  }) : null;
  let said = false;
  /** @param {string} verdict @param {string|null} label */
  const is = (verdict, label) => rows.some((row) => row.verdict === verdict && row.label === label);

  function draw() {
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (panel.querySelectorAll("[data-judge]"))) {
      button.setAttribute("aria-pressed", String(is(button.dataset.judge ?? "", button.dataset.label ?? null)));
    }
  }

  function shown() {
    rows = JSON.parse(document.getElementById("mine")?.textContent ?? "[]");
    said = false;
    draw();
  }

  /** @param {Omit<Row, "ids">[]} wanted */
  function set(wanted) {
    if (!outbox) { say("You may look; to verify, another role is needed."); return; }
    const more = wanted.some((one) => one.verdict !== "severe" && !is(one.verdict, one.label));
    const place = document.getElementById("judged");
    if (more && place && sight(/** @type {HTMLImageElement|null} */ (document.getElementById("large"))) === "none") {
      place.textContent = "There is no image to look at.";
      return;
    }
    const n = Number(document.getElementById("here")?.dataset.n);
    const item = /** @type {Item} */ (/** @type {unknown} */ ({ item: "", queue: "", load: one.dataset.load, n }));
    const made = change(item, rows, wanted, "done", Date.now());
    if (!made.answer.rows.length) return;
    rows = made.rows;
    said = true;
    void outbox.put([made.answer]);
    draw();
  }

  /** @param {string} verdict @param {string|null} label @returns {Omit<Row, "ids">} */
  const row = (verdict, label) => ({ subject: label === null ? "image" : "label", label, verdict, note: null });
  /** One kind of row in place of what was said of the same, or without it.
   * @param {string} verdict @param {string|null} label */
  function turn(verdict, label) {
    const same = (/** @type {Row} */ one) => one.label === label && (label !== null || (one.verdict === "severe") === (verdict === "severe"));
    set([...rows.filter((one) => !same(one)), ...(is(verdict, label) ? [] : [row(verdict, label)])]);
  }

  panel.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-judge]") : null;
    if (button instanceof HTMLElement) turn(button.dataset.judge ?? "", button.dataset.label ?? null);
  });
  const labels = (/** @type {string} */ which) => /** @type {HTMLElement[]} */ ([...panel.querySelectorAll(`.labels li${which} [data-judge="present"]`)]).map((button) => button.dataset.label ?? "");
  shown();
  return {
    shown,
    right() {
      const all = labels(":not(.under)");
      if (!all.length) { turn("nothing", null); return; }
      set([...rows.filter((one) => one.label === null || !all.includes(one.label)), ...all.map((label) => row("present", label))]);
      say("Said to be right.");
    },
    wrong() {
      const near = document.activeElement?.closest(".labels li")?.querySelector("[data-judge]")?.getAttribute("data-label");
      const label = near ?? labels(":not(.under)").at(-1);
      if (label) { turn("absent", label); say(`${label}: wrong`); }
    },
    back() { set([]); say("Taken back."); },
  };
}
