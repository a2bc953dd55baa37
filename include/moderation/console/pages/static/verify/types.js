// @ts-check
// What the pages of Verify speak of. Nothing here runs.

/** A label of an answer, or of the taxonomy where a person added it.
 * @typedef {{name: string, level: number, path: string, confidence: string|null, flagged: boolean, defined: string}} Label */

/** @typedef {"present"|"absent"|"unsure"} Mark */

/** One image to decide on. `label` is the one that is asked about; null where all of it is.
 * @typedef {{item: string, queue: string, load: string, n: number, view: string, tile: string, page: string, name: string,
 *   copies: number, label: string|null, confidence: string|null, labels: Label[], kind: string|null, blind: boolean,
 *   hidden: boolean, opinions: Opinion[]}} Item */

/** What somebody said of the label of a dispute.
 * @typedef {{who: string, said: Mark, note: string|null}} Opinion */

/** A row of the log as a person set it; `ids` are its verdicts, the newest last.
 * @typedef {{ids: string[], subject: "label"|"content_type"|"image", label: string|null, verdict: string, note: string|null}} Row */

/** What a person has said of an image so far. `marks` goes by a label's path.
 * @typedef {{marks: Record<string, Mark>, missed: Label[], kind: string|null, note: string, severe: boolean, whole: "unsure"|"nothing"|null}} Draft */

/** A decision: an image, what was said, and the rows that stand for it in the log.
 * @typedef {{item: Item, draft: Draft, rows: Row[], state: "done"|"skipped"|"open", at: number}} Decision */

/** What is sent: verdicts of one image, and what becomes of its place in the queue. `unseen`: skipped, for there was
 * no image to look at.
 * @typedef {{id: string, item: string|null, queue: string|null, load: string, n: number, state: "done"|"skipped"|"open", unseen: boolean, at: number,
 *   rows: {id: string, subject: string, label: string|null, verdict: string, note: string|null, replaces: string|null}[]}} Answer */

export {};
