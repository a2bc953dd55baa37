// @ts-check
// What stands beside the image: labels with their marks, what was added, how far it is.

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Label} Label */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./work.js").Work} Work */

const SIGNS = /** @type {Record<string, string>} */ ({ present: "✓", absent: "✕", unsure: "?" });
const WORDS = /** @type {Record<string, string>} */ ({ present: "is there", absent: "is not there", unsure: "unsure" });

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} name @param {string} kind @param {string} text */
export function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

/** @param {string} id @param {string} text */
export function put(id, text) {
  const place = document.getElementById(id);
  if (place && place.textContent !== text) place.textContent = text;
}

/** @param {Label} label @param {number} place @param {{item: Item, draft: Draft, at: number}} state */
function row(label, place, { item, draft, at }) {
  const said = draft.marks[label.path];
  const entry = element("li", `mark l${item.label === null ? label.level : 1}`, "");
  if (said) entry.classList.add(said);
  if (!label.flagged && item.label !== label.name) entry.classList.add("under");
  entry.dataset.at = String(place);
  if (place === at) { entry.classList.add("cursor"); entry.setAttribute("aria-current", "true"); }
  const sign = element("span", "sign", said ? SIGNS[said] ?? "" : "");
  sign.setAttribute("aria-hidden", "true");
  const name = element("b", "", label.name);
  const told = element("span", "unseen", said ? `: ${WORDS[said]}` : "");
  const confidence = element("span", "n", label.confidence ?? "");
  const buttons = element("span", "choices", "");
  for (const verdict of ["present", "absent", "unsure"]) {
    const button = /** @type {HTMLButtonElement} */ (element("button", "", SIGNS[verdict] ?? ""));
    button.type = "button";
    button.dataset.mark = verdict;
    button.setAttribute("aria-label", `${label.name} ${WORDS[verdict]}`);
    button.setAttribute("aria-pressed", String(said === verdict));
    button.tabIndex = place === at ? 0 : -1;
    buttons.append(button);
  }
  entry.append(sign, name, told, confidence, buttons);
  if (place === at && label.defined) entry.append(element("p", "note", label.defined));
  return entry;
}

/** @param {import("./types.js").Opinion} told */
function opinion({ who, said, note }) {
  const entry = element("li", "", "");
  entry.append(element("b", "foreign", who), ` ${WORDS[said] ?? said}${note ? `: ${note}` : ""}`);
  return entry;
}

/** @param {{item: Item|null, draft: Draft, rows: Label[], at: number, work: Work}} state */
export function fill({ item, draft, rows, at, work }) {
  part("decide").hidden = !item;
  part("end").hidden = item !== null || !work.end;
  progress(work);
  if (!item) return;
  put("question", item.label ?? (rows.some((label) => label.flagged) ? "Is this right?" : item.blind ? "What is in it?" : "Nothing was found"));
  put("asks", item.label !== null ? "Is it there?" : item.blind ? "The answer is not shown: mark what you see." : rows.some((label) => label.flagged) ? "" : "Is there anything to flag?");
  part("opinions").replaceChildren(...item.opinions.map(opinion));
  put("name", item.name);
  part("name").setAttribute("href", item.page);
  put("copies", item.copies > 1 ? `×${item.copies}` : "");
  part("copies").hidden = item.copies < 2;
  part("again").hidden = !work.said.has(item.item);
  const focus = document.activeElement?.getAttribute("data-mark");
  part("marks").replaceChildren(...rows.map((label, place) => row(label, place, { item, draft, at })));
  if (focus) /** @type {HTMLElement|null} */ (part("marks").querySelector(`.cursor [data-mark="${focus}"]`))?.focus();
  part("added").replaceChildren(...draft.missed.map((label) => {
    const button = /** @type {HTMLButtonElement} */ (element("button", "added", `+ ${label.name}`));
    button.type = "button";
    button.dataset.name = label.name;
    button.title = label.path;
    button.setAttribute("aria-label", `${label.name} was added; take it away`);
    return button;
  }));
  for (const button of part("ten").children) {
    const name = button.getAttribute("data-name");
    const on = draft.missed.some((label) => label.name === name) || item.labels.some((label) => label.name === name && draft.marks[label.path] === "present");
    button.setAttribute("aria-pressed", String(on));
  }
  kind(item, draft);
}

/** @param {Item} item @param {Draft} draft */
function kind(item, draft) {
  const names = /** @type {Record<string, string>} */ (JSON.parse(part("kinds").textContent ?? "{}"));
  part("kind").hidden = item.kind === null;
  put("kind-told", item.kind === null ? "" : names[item.kind] ?? item.kind);
  const said = draft.kind === null ? "" : draft.kind === item.kind ? "right" : `no: ${names[draft.kind] ?? "another"}`;
  put("kind-said", said);
  part("kind").classList.toggle("present", draft.kind !== null && draft.kind === item.kind);
  part("kind").classList.toggle("absent", draft.kind !== null && draft.kind !== item.kind);
}

/** @param {Work} work */
export function progress(work) {
  const { total, today, unseen } = work.progress;
  const done = Math.min(total, Math.max(0, work.progress.done + work.since));
  put("done", done.toLocaleString("en-US"));
  put("total", total.toLocaleString("en-US"));
  put("unseen", unseen ? `· ${unseen.toLocaleString("en-US")} cannot be seen` : "");
  const bar = /** @type {HTMLProgressElement|null} */ (document.getElementById("bar"));
  if (bar) { bar.max = Math.max(total, 1); bar.value = done; }
  const left = work.left ?? { skipped: 0, others: 0 };
  part("left").hidden = !left.skipped && !left.others;
  put("left-skipped", left.skipped ? `You skipped ${left.skipped.toLocaleString("en-US")} that nobody has decided.` : "");
  part("left-again").hidden = !left.skipped;
  put("left-others", left.others ? `${left.others.toLocaleString("en-US")} ${left.others === 1 ? "waits" : "wait"} for somebody else.` : "");
  const hours = (Date.now() - work.began) / 3_600_000;
  put("pace", work.decided >= 10 && hours > 1 / 60 ? `${Math.round(work.decided / hours).toLocaleString("en-US")} an hour` : "");
  const cap = Number(document.getElementById("verify")?.dataset.cap ?? 0);
  const rest = document.getElementById("rest");
  const seen = Math.max(0, today + work.since);
  if (rest && cap > 0) {
    rest.hidden = seen < cap || Boolean(rest.dataset.closed);
    put("seen", seen.toLocaleString("en-US"));
  }
}
document.getElementById("rest-on")?.addEventListener("click", () => { const rest = part("rest"); rest.dataset.closed = "1"; rest.hidden = true; document.getElementById("stage")?.focus(); });
