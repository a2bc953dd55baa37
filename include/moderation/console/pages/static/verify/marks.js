// @ts-check
// What a person's marks mean: what follows from each, and the rows that say it in the log.

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Label} Label */
/** @typedef {import("./types.js").Mark} Mark */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").Decision} Decision */

const SIGN = " › ";

/** @returns {Draft} */
export const blank = () => ({ marks: {}, missed: [], kind: null, note: "", severe: false, whole: null });

/** @param {string} path @param {string} above */
const below = (path, above) => path.startsWith(above + SIGN);

/** The labels that are asked about: the one of the queue, or all that are flagged.
 * @param {Item} item @returns {Label[]} */
export function asked(item) {
  if (item.label === null) return item.labels.filter((label) => label.flagged);
  const own = item.labels.filter((label) => label.name === item.label);
  return own.length ? own : [{ name: item.label, level: 0, path: item.label, confidence: item.confidence, flagged: false, defined: "" }];
}

/** Mark a label. Present holds for all above it, absent for all below.
 * @param {Item} item @param {Draft} draft @param {string} path @param {Mark|null} mark */
export function mark(item, draft, path, mark) {
  draft.whole = null;
  if (mark === null) { delete draft.marks[path]; return; }
  draft.marks[path] = mark;
  for (const other of item.labels) {
    if (mark === "present" && below(path, other.path)) draft.marks[other.path] = "present";
    if (mark === "absent" && below(other.path, path)) draft.marks[other.path] = "absent";
  }
  if (mark === "absent") draft.missed = draft.missed.filter((label) => !below(label.path, path));
}

/** Add a label that the answer lacks; or take it back.
 * @param {Item} item @param {Draft} draft @param {Label} label */
export function miss(item, draft, label) {
  draft.whole = null;
  const listed = item.labels.find((one) => one.name === label.name);
  if (listed) { mark(item, draft, listed.path, draft.marks[listed.path] === "present" ? null : "present"); return; }
  const known = draft.missed.some((one) => one.name === label.name);
  draft.missed = known ? draft.missed.filter((one) => one.name !== label.name) : [...draft.missed, label];
  if (!known) for (const other of item.labels) if (below(label.path, other.path)) draft.marks[other.path] = "present";
}

/** What stays unsaid once the person goes on: each label asked about that has no mark is right.
 * @param {Item} item @param {Draft} draft @returns {Draft} */
export function settled(item, draft) {
  const made = structuredClone(draft);
  // Who hides an image at once has not looked at the rest of it.
  if (made.whole || made.severe) return made;
  // From the deepest up: a label that is wrong may leave the one above it right.
  if (!item.blind || item.label !== null) {
    for (const label of asked(item)) if (!(label.path in made.marks)) made.marks[label.path] = "present";
  }
  return made;
}

/** The rows that say it.
 * @param {Item} item @param {Draft} draft @returns {Omit<Row, "ids">[]} */
export function rowsOf(item, draft) {
  /** @type {Omit<Row, "ids">[]} */
  const rows = [];
  /** @param {Row["subject"]} subject @param {string|null} label @param {string} verdict */
  const row = (subject, label, verdict) => rows.push({ subject, label, verdict, note: null });
  if (draft.whole === "unsure") row("image", null, "unsure");
  else if (draft.whole === "nothing") {
    for (const label of asked(item)) row("label", label.name, "absent");
    row("image", null, "nothing");
  } else {
    const named = new Map(asked(item).map((label) => [label.path, label.name]));
    for (const label of item.labels) named.set(label.path, label.name);
    for (const [path, verdict] of Object.entries(draft.marks)) row("label", named.get(path) ?? path, verdict);
    for (const label of draft.missed) row("label", label.name, "present");
    if (draft.kind !== null && item.kind !== null) {
      row("content_type", item.kind, draft.kind === item.kind ? "present" : "absent");
      if (draft.kind !== item.kind && draft.kind !== "other") row("content_type", draft.kind, "present");
    }
    if (item.label === null && !draft.severe) {
      const some = rows.some((one) => one.subject === "label" && one.verdict !== "absent");
      row("image", null, some ? "complete" : "nothing");
    }
  }
  if (draft.severe) row("image", null, "severe");
  const first = rows[0];
  if (draft.note && first) first.note = draft.note;
  else if (draft.note) rows.push({ subject: "image", label: null, verdict: "note", note: draft.note });
  return rows;
}

/** What a draft looked like, from its rows in the log.
 * @param {Item} item @param {Row[]} rows @param {(name: string) => Label|undefined} known @returns {Draft} */
export function draftOf(item, rows, known) {
  const draft = blank();
  for (const row of rows) {
    if (row.note) draft.note = row.note;
    if (row.subject === "image" && row.verdict === "severe") draft.severe = true;
    if (row.subject === "image" && row.verdict === "unsure") draft.whole = "unsure";
    if (row.subject === "image" && row.verdict === "nothing" && item.labels.some((label) => label.flagged)) draft.whole = "nothing";
    if (row.subject === "content_type" && row.label !== null) {
      if (row.verdict === "present") draft.kind = row.label;
      else draft.kind ??= "other";
    }
    if (row.subject !== "label" || row.label === null) continue;
    const listed = [...item.labels, ...asked(item)].find((label) => label.name === row.label);
    const added = listed ? undefined : known(row.label);
    if (listed) draft.marks[listed.path] = /** @type {Mark} */ (row.verdict);
    else if (added && row.verdict === "present") draft.missed.push(added);
  }
  return draft;
}

/** @param {Omit<Row, "ids">} row */
const keyOf = (row) => (row.subject === "image" && row.verdict === "severe" ? "severe" : `${row.subject} ${row.label ?? ""}`);

export const newId = () => crypto.randomUUID().replaceAll("-", "");

/** The answer that turns what stands in the log into what is wanted, and the rows that stand then.
 * Who takes a row back takes all of its verdicts back: else the one before would count again.
 * @param {Item} item @param {Row[]} had @param {Omit<Row, "ids">[]} wanted @param {Answer["state"]} state @param {number} at
 * @returns {{answer: Answer, rows: Row[]}} */
export function change(item, had, wanted, state, at) {
  const before = new Map(had.map((row) => [keyOf(row), row]));
  /** @type {Answer["rows"]} */
  const sent = [];
  /** @type {Row[]} */
  const rows = [];
  for (const row of wanted) {
    const known = before.get(keyOf(row));
    before.delete(keyOf(row));
    if (known && known.verdict === row.verdict && known.note === row.note) { rows.push(known); continue; }
    const id = newId();
    sent.push({ ...row, id, replaces: known?.ids.at(-1) ?? null });
    rows.push({ ...row, ids: [...(known?.ids ?? []), id] });
  }
  for (const row of before.values()) {
    for (const id of row.ids.toReversed()) {
      sent.push({ id: newId(), subject: row.subject, label: row.label, verdict: "withdrawn", note: null, replaces: id });
    }
  }
  const { queue, load, n } = item;
  return { answer: { id: newId(), item: item.item || null, queue: queue || null, load, n, state, unseen: false, at, rows: sent }, rows };
}
