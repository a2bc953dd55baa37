// @ts-check
// The last ten decisions: in sight, and each can be opened and changed.

/** @typedef {import("./types.js").Decision} Decision */

const TOLD = /** @type {Record<string, string>} */ ({ nothing: "nothing there", unsure: "unsure", skipped: "skipped", severe: "severe", complete: "complete", note: "note" });

/** A decision in a few words, and how it went.
 * @param {Decision} decision @returns {{text: string, kind: "good"|"bad"|"doubt"|"none"}} */
export function inWords(decision) {
  if (decision.state === "skipped") return { text: "skipped", kind: "none" };
  if (decision.rows.some((row) => row.verdict === "severe")) return { text: "severe", kind: "bad" };
  const labels = decision.rows.filter((row) => row.subject === "label");
  const wrong = labels.filter((row) => row.verdict === "absent");
  const unsure = labels.filter((row) => row.verdict === "unsure");
  const present = labels.filter((row) => row.verdict === "present");
  if (wrong.length) return { text: `not ${wrong.at(-1)?.label}`, kind: "bad" };
  if (unsure.length) return { text: "unsure", kind: "doubt" };
  if (present.length) return { text: /** @type {string} */ (present.at(-1)?.label), kind: "good" };
  const image = decision.rows.find((row) => row.subject === "image");
  return { text: TOLD[image?.verdict ?? ""] ?? "–", kind: image?.verdict === "nothing" ? "good" : "doubt" };
}

/** @param {Decision[]} decisions @param {(decision: Decision) => void} open */
export function draw(decisions, open) {
  const place = document.getElementById("recent");
  if (!place) return;
  // Those that stay keep their picture: nothing flickers while somebody works.
  const had = new Map([...place.children].map((entry) => [/** @type {HTMLElement} */ (entry).dataset.item, /** @type {HTMLElement} */ (entry)]));
  const entries = decisions.map((decision) => {
    const known = had.get(decision.item.item);
    const entry = known ?? document.createElement("li");
    entry.dataset.item = decision.item.item;
    const { text, kind } = inWords(decision);
    const button = entry.querySelector("button") ?? document.createElement("button");
    if (!known) {
      button.type = "button";
      const image = document.createElement("img");
      image.alt = "";
      image.decoding = "async";
      image.src = decision.item.tile;
      button.append(image, document.createElement("span"));
      entry.append(button);
    }
    if (decision.item.hidden || text === "severe") button.querySelector("img")?.remove();
    button.className = `was ${kind}`;
    button.title = decision.item.name;
    const told = /** @type {HTMLElement} */ (button.querySelector("span"));
    if (told.textContent !== text) told.textContent = text;
    button.setAttribute("aria-label", `Change: ${text}, ${decision.item.name}`);
    button.onclick = () => open(decision);
    return entry;
  });
  place.replaceChildren(...entries);
}
