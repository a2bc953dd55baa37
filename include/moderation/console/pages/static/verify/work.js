// @ts-check
// The work of one person at one queue: what comes next, what was decided, and the way back.
import { WRITE_HEADER, say } from "../console.js";
import { blank, change, draftOf, rowsOf, settled } from "./marks.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Label} Label */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").Decision} Decision */

const MOST_STEPS = 400;

/** @template T @param {string} id @returns {T} */
export const data = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

/** The marks again, but that it is severe: nothing on the page shows that, so who decides again says it again.
 * @param {Draft} draft @returns {Draft} */
const unveiled = (draft) => ({ ...structuredClone(draft), severe: false });

/** The same address, of which the browser keeps nothing.
 * @param {string} address */
const again = (address) => `${address}${address.includes("?") ? "&" : "?"}again=${Date.now()}`;

/** @param {Decision|{state?: Decision["state"]}|undefined} said */
const isDone = (said) => said !== undefined && (said.state ?? "done") === "done";

export class Work {
  /** @param {HTMLElement} place with the addresses
   * @param {{few: () => number, many: () => number, changed: () => void, pictures: (items: Item[]) => void, anew: (items: Item[]) => void}} told
   *   fewer items than `few` and as many as `many` are asked for; `anew` are such as could not be seen before */
  constructor(place, told) {
    this.address = place.dataset;
    this.told = told;
    this.skew = Number(place.dataset.now) - Date.now();
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, Draft>} */
    this.drafts = new Map();
    /** @type {Decision[][]} */
    this.steps = [];
    /** @type {Map<string, Decision>} */
    this.said = new Map();
    /** @type {{done: number, total: number, leased: number, unseen: number, today: number}} */
    this.progress = data("progress");
    /** What waits though this person gets none of it. @type {{some: boolean, skipped: number, others: number}|null} */
    this.left = null;
    this.decided = 0;
    /** Decisions that the figures of the server do not have yet. */
    this.since = 0;
    this.began = Date.now();
    this.end = false;
    this.asking = false;
    this.again = false;
    /** Items of which an answer that is awaited may say that they are open. @type {Set<string|null>} */
    this.sending = new Set();
    /** Called severe until the server knows that this was taken back: it does not show them before. @type {Set<Item>} */
    this.veiled = new Set();
    /** @type {Map<string, Label>} */
    this.taxonomy = new Map(/** @type {Label[]} */ (data("taxonomy")).map((label) => [label.name, label]));
    this.outbox = new Outbox(/** @type {string} */ (place.dataset.answers), place.dataset.person ?? "", (state) => this.sent(state));
    for (const { item, rows, state, at } of /** @type {{item: Item, rows: Row[], state: Decision["state"], at: number}[]} */ (data("recent-rows")).toReversed()) {
      this.remember([{ item, rows, state, at, draft: draftOf(item, rows, (name) => this.taxonomy.get(name)) }]);
    }
    document.getElementById("left-again")?.addEventListener("click", () => void this.lookAgain());
    setInterval(() => { if (!document.hidden && this.items.length) void this.ask(0); }, 1000 * Number(place.dataset.renew));
  }

  now() { return Date.now() + this.skew; }
  get current() { return this.items[0] ?? null; }

  /** @param {Item} item @returns {Draft} */
  draft(item) {
    let known = this.drafts.get(item.item);
    if (!known) { known = blank(); this.drafts.set(item.item, known); }
    return known;
  }

  /** Ask for more where there are few.
   * @returns {Promise<void>} */
  async fill() {
    if (this.items.length < this.told.few() && !this.end) await this.ask(this.told.many());
  }

  /** The next items; those that are here stay this person's. What is still on its way is not asked again.
   * @param {number} n */
  async ask(n) {
    if (this.asking) { this.again ||= n > 0; return; }
    this.asking = true;
    // What is on its way, or decided while this is asked, may come back with it, still held by this person.
    const sending = this.sending = new Set(this.outbox.decided());
    const holding = this.items.map((item) => item.item);
    const answer = await this.post(/** @type {string} */ (this.address.next), { n, holding }).catch(() => null);
    this.asking = false;
    const again = this.again;
    this.again = false;
    const body = await answer?.json().catch(() => null);
    if (!answer?.ok || !body) {
      const why = body?.error ?? "There is no connection now; what is here can be decided, the rest comes later.";
      this.say(why);
      if (n) setTimeout(() => void this.fill(), 3000);
      return;
    }
    this.progress = body.progress;
    this.left = body.left ?? null;
    this.since = this.outbox.unfinished();
    const lost = new Set(body.lost);
    const had = this.current;
    this.items = this.items.filter((item) => !lost.has(item.item));
    const known = new Set([...this.items.map((item) => item.item), ...sending, ...this.outbox.decided()]);
    const fresh = /** @type {Item[]} */ (body.items).filter((item, place, all) => !known.has(item.item) && all.findIndex((one) => one.item === item.item) === place);
    this.items.push(...fresh);
    this.say(body.paused ? body.paused : "");
    // What is on its way is still this person's for the server: the end is known when all has arrived.
    this.end = n > 0 && !fresh.length && !sending.size;
    if ((again || (n > 0 && !fresh.length && sending.size)) && !this.end) setTimeout(() => void this.fill(), 300);
    this.told.pictures(fresh);
    if (fresh.length || lost.size || had !== this.current || this.end) this.told.changed();
  }

  /** @param {string} address @param {unknown} body @param {boolean} [leaving] */
  post(address, body, leaving = false) {
    return fetch(address, { method: "POST", body: JSON.stringify(body), keepalive: leaving, headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } });
  }

  /** What this person skipped comes again, for them alone. */
  async lookAgain() {
    const answer = await this.post(/** @type {string} */ (this.address.again), { what: "skipped" }).catch(() => null);
    if (!answer?.ok) { this.say("The server cannot be asked now; try again in a moment."); return; }
    this.end = false;
    await this.fill();
  }

  /** Who stops lets the rest go; a page that is only closed keeps it until the lease ends, and goes on there. */
  async release() {
    const items = this.items.map((item) => item.item);
    if (items.length) await this.post(/** @type {string} */ (this.address.release), { items }, true).catch(() => undefined);
  }

  /** Decide on some images at once: one step, which one undo takes back.
   * @param {{item: Item, draft: Draft, state?: Decision["state"], unseen?: boolean}[]} those */
  decide(those) {
    const at = this.now();
    /** @type {Answer[]} */
    const answers = [];
    const step = those.map(({ item, draft, state = "done", unseen = false }, place) => {
      const had = this.said.get(item.item)?.rows ?? [];
      const wanted = state === "skipped" ? [{ subject: /** @type {const} */ ("image"), label: null, verdict: "skipped", note: draft.note || null }] : rowsOf(item, settled(item, draft));
      const { answer, rows } = change(item, had, wanted, state, at + place / 1000);
      answers.push({ ...answer, unseen });
      return { item, draft: structuredClone(draft), rows, state, at };
    });
    const gone = new Set(those.map(({ item }) => item.item));
    this.items = this.items.filter((item) => !gone.has(item.item));
    for (const item of gone) { this.drafts.delete(item); this.sending.add(item); }
    this.count(step.filter(isDone).length - step.filter(({ item }) => isDone(this.said.get(item.item))).length);
    this.remember(step);
    void this.outbox.put(answers);
    this.told.changed();
    void this.fill();
  }

  /** Images that are decided, or are no more; what is skipped or decided anew makes none.
   * @param {number} more */
  count(more) {
    this.decided = Math.max(0, this.decided + more);
    this.since += more;
  }

  /** @param {Decision[]} step */
  remember(step) {
    this.steps.push(step);
    if (this.steps.length > MOST_STEPS) this.steps.shift();
    for (const one of step) { this.said.delete(one.item.item); this.said.set(one.item.item, one); }
  }

  /** Take the last step back: its images stand first again, with the marks they had. */
  undo() {
    const step = this.steps.pop();
    if (!step) { say("There is nothing to take back."); return false; }
    this.count(-step.filter(isDone).length);
    const answers = step.map((one, place) => {
      const { answer } = change(one.item, one.rows, [], "open", this.now() + place / 1000);
      this.said.delete(one.item.item);
      this.drafts.set(one.item.item, unveiled(one.draft));
      if (one.rows.some((row) => row.verdict === "severe")) { one.item.hidden = false; this.veiled.add(one.item); }
      return answer;
    });
    const back = new Set(step.map((one) => one.item.item));
    // An image that was decided, reopened and decided again stands in two steps.
    this.steps = this.steps.map((earlier) => earlier.filter((one) => !back.has(one.item.item))).filter((earlier) => earlier.length);
    this.items = [...step.map((one) => one.item), ...this.items.filter((item) => !back.has(item.item))];
    this.end = false;
    void this.outbox.put(answers);
    this.told.pictures(step.map((one) => one.item));
    this.say("");
    this.told.changed();
    say(step.length === 1 ? "Taken back." : `${step.length} decisions taken back.`);
    return true;
  }

  /** Look at a decision again, to change it.
   * @param {Decision} decision */
  reopen(decision) {
    this.drafts.set(decision.item.item, unveiled(decision.draft));
    this.items = [decision.item, ...this.items.filter((item) => item.item !== decision.item.item)];
    this.told.pictures([decision.item]);
    this.told.changed();
  }

  /** The decisions of this person, the newest first.
   * @param {number} most */
  latest(most) { return [...this.said.values()].slice(-most).toReversed(); }

  /** @param {import("./outbox.js").Told} state */
  sent(state) {
    if (!state.waiting && this.veiled.size) {
      const items = [...this.veiled];
      this.veiled.clear();
      for (const item of items) { item.view = again(item.view); item.tile = again(item.tile); }
      this.told.anew(items);
    }
    const place = document.getElementById("sent");
    if (place) place.textContent = state.waiting ? `${state.waiting} to send` : "all saved";
    place?.classList.toggle("late", state.waiting > 0 && state.trouble !== "");
    const refused = state.refused.length ? `${state.refused.length} decisions were not taken: ${state.refused.at(-1)?.why}` : "";
    const warning = document.getElementById("outbox");
    if (warning) { const text = refused || state.trouble; if (warning.textContent !== text) warning.textContent = text; warning.hidden = !text; }
  }

  /** @param {string} text */
  say(text) {
    const place = document.getElementById("trouble");
    if (!place || place.textContent === text) return;
    place.textContent = text;
    place.hidden = !text;
  }
}
