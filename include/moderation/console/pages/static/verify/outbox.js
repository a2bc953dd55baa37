// @ts-check
// Decisions on their way: on this disk before they are sent, and until the server says that it has them.
import { WRITE_HEADER } from "../console.js";

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {{waiting: number, refused: {id: string, why: string}[], trouble: string}} Told */

const SOON = 250, LATEST = 20_000, MOST = 200;

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) => new Promise((found, failed) => {
  request.onsuccess = () => found(request.result);
  request.onerror = () => failed(request.error);
});

/** @returns {Promise<IDBDatabase>} */
function opened() {
  const request = indexedDB.open("moderation-verify", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("answers", { keyPath: "id" });
  return done(request);
}

/** The answers of one person in this browser. Where the browser keeps nothing they are in memory, and the page says so. */
export class Outbox {
  /** @param {string} address where answers go @param {string} person @param {(told: Told) => void} told */
  constructor(address, person, told) {
    this.address = address;
    this.person = person;
    this.told = told;
    /** @type {Map<string, Answer>} */
    this.waiting = new Map();
    /** @type {{id: string, why: string}[]} */
    this.refused = [];
    this.trouble = "";
    this.sending = false;
    this.wait = SOON;
    this.timer = 0;
    /** @type {Promise<IDBDatabase|null>} */
    this.base = opened().catch(() => { this.trouble = "This browser keeps nothing: leave the page only when all is sent."; return null; });
    this.kept = this.read();
    addEventListener("online", () => { this.wait = SOON; this.soon(); });
    addEventListener("beforeunload", (event) => { if (this.waiting.size && this.trouble) event.preventDefault(); });
    addEventListener("pagehide", () => this.leave());
  }

  /** What an earlier page left behind goes out first. */
  async read() {
    const base = await this.base;
    if (!base) return;
    /** @type {{id: string, person: string, order: number, answer: Answer}[]} */
    const all = await done(base.transaction("answers").objectStore("answers").getAll());
    const own = all.filter((one) => one.person === this.person).sort((a, b) => a.order - b.order);
    const now = [...this.waiting.values()];
    this.waiting = new Map([...own.map((one) => one.answer), ...now].map((answer) => [answer.id, answer]));
    if (this.waiting.size) this.soon();
    this.tell();
  }

  /** @param {Answer[]} answers */
  put(answers) {
    for (const answer of answers) this.waiting.set(answer.id, answer);
    this.soon();
    this.tell();
    return this.keep(answers);
  }

  /** @param {Answer[]} answers */
  async keep(answers) {
    const base = await this.base;
    if (!base) return;
    const writing = base.transaction("answers", "readwrite", { durability: "strict" });
    const order = Date.now();
    answers.forEach((answer, place) => writing.objectStore("answers").put({ id: answer.id, person: this.person, order: order + place / 10_000, answer }));
    await new Promise((kept) => { writing.oncomplete = kept; writing.onerror = kept; writing.onabort = kept; });
  }

  /** @param {string[]} ids */
  async forget(ids) {
    for (const id of ids) this.waiting.delete(id);
    const base = await this.base;
    if (!base || !ids.length) return;
    const writing = base.transaction("answers", "readwrite");
    for (const id of ids) writing.objectStore("answers").delete(id);
    await new Promise((kept) => { writing.oncomplete = kept; writing.onerror = kept; writing.onabort = kept; });
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.send(), this.wait);
  }

  /** @param {Answer[]} answers @param {boolean} [leaving] */
  post(answers, leaving = false) {
    const body = JSON.stringify({ now: Date.now(), answers });
    return fetch(this.address, { method: "POST", body, keepalive: leaving, headers: { "Content-Type": "application/json", Accept: "application/json", ...WRITE_HEADER } });
  }

  async send() {
    if (this.sending) return;
    await this.kept;
    const batch = [...this.waiting.values()].slice(0, MOST);
    if (!batch.length) return;
    this.sending = true;
    const answer = await this.post(batch).catch(() => null);
    const body = await answer?.json().catch(() => null);
    this.sending = false;
    if (answer?.ok && body) {
      this.refused.push(...body.refused);
      await this.forget([...body.taken, ...body.refused.map((/** @type {{id: string}} */ one) => one.id)]);
      this.trouble = "";
      this.wait = SOON;
    } else {
      this.trouble = answer ? `Not sent yet: ${body?.error ?? `the server answered ${answer.status}`}` : "No connection: decisions are kept in this browser and sent when it is back.";
      this.wait = Math.min(LATEST, this.wait * 2);
    }
    this.tell();
    if (this.waiting.size) this.soon();
  }

  /** The last moment of a page: small enough to go with it; what does not arrive is still on the disk. */
  leave() {
    const rest = [...this.waiting.values()].slice(0, 60);
    if (rest.length) void this.post(rest, true).catch(() => undefined);
  }

  /** All is sent, or the time is over.
   * @param {number} longest milliseconds */
  async settle(longest) {
    const until = Date.now() + longest;
    while (this.waiting.size && Date.now() < until) {
      await this.send();
      if (this.waiting.size) await new Promise((go) => setTimeout(go, 100));
    }
    return !this.waiting.size;
  }

  /** Items that the server may not know yet to be decided or skipped. */
  decided() { return [...this.waiting.values()].filter((one) => one.state !== "open").map((one) => one.item); }

  /** Images that the server does not know yet to be decided, less those that go back. */
  unfinished() {
    let sum = 0;
    for (const { state } of this.waiting.values()) sum += state === "open" ? -1 : state === "done" ? 1 : 0;
    return sum;
  }

  tell() { this.told({ waiting: this.waiting.size, refused: this.refused, trouble: this.trouble }); }
}
