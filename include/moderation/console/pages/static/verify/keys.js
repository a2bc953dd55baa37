// @ts-check
// Keys that each person sets for themselves: kept in this browser, changed in the list that `?` shows.
import { say, typing } from "../console.js";

/** @typedef {{name: string, told: string, key: string, act: () => void, group?: string}} Action */

const KEPT = "moderation-verify-keys";

/** @returns {Record<string, string>} */
function kept() {
  try { return JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {}; } catch { return {}; }
}

/** @param {KeyboardEvent} event */
export const digit = (event) => /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1] ?? null;

const NAMES = /** @type {Record<string, string>} */ ({ " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Enter: "Enter", Backspace: "⌫" });
/** @param {string} key */
export const shown = (key) => (key.startsWith("Shift+") ? `⇧${NAMES[key.slice(6)] ?? key.slice(6)}` : NAMES[key] ?? key);
/** A key with Shift, where the key itself does not tell.
 * @param {KeyboardEvent} event */
const named = (event) => (event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key);

const FIXED = new Set(["?", "v", "Tab", "Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process"]);

export class Keys {
  /** @param {Action[]} actions */
  constructor(actions) {
    this.actions = actions;
    /** @type {Map<string, string>} */
    this.keyOf = new Map();
    this.load();
    /** @type {string|null} */
    this.changing = null;
    document.addEventListener("keydown", (event) => this.pressed(event), true);
    document.getElementById("keys-reset")?.addEventListener("click", () => { localStorage.removeItem(KEPT); this.load(); this.draw(); say("All keys are as at first."); });
    document.getElementById("own-keys")?.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button[data-action]") : null;
      if (!(button instanceof HTMLElement)) return;
      this.changing = button.dataset.action ?? null;
      this.draw();
      say("Press the new key, or Esc.");
    });
    document.getElementById("keys-dialog")?.addEventListener("close", () => { this.changing = null; });
    this.draw();
  }

  load() {
    const own = kept();
    this.keyOf = new Map(this.actions.map((action) => [action.name, typeof own[action.name] === "string" ? /** @type {string} */ (own[action.name]) : action.key]));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (this.changing !== null) { this.set(event); return; }
    if (typing(event) || event.isComposing) return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    // An image of the grid is chosen by Space; Enter is the page's own there.
    if (target?.closest("button:not(.pick), a, summary") && (event.key === "Enter" || event.key === " ")) return;
    const action = this.actions.find((one) => this.keyOf.get(one.name) === named(event));
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || event.key.includes("Arrow")) action.act();
  }

  /** @param {KeyboardEvent} event */
  set(event) {
    if (["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const name = /** @type {string} */ (this.changing);
    this.changing = null;
    if (event.key === "Escape") { this.draw(name); return; }
    if (FIXED.has(event.key) || digit(event) !== null) { this.draw(name); say("This key has its own meaning everywhere; choose another."); return; }
    const key = named(event);
    const other = this.actions.find((one) => one.name !== name && this.keyOf.get(one.name) === key);
    if (other) this.keyOf.set(other.name, this.keyOf.get(name) ?? other.key);
    this.keyOf.set(name, key);
    // What another mode set stays as it is.
    localStorage.setItem(KEPT, JSON.stringify({ ...kept(), ...Object.fromEntries(this.keyOf) }));
    this.draw(name);
    say(other ? `Set. “${other.told}” has the key ${shown(this.keyOf.get(other.name) ?? "")} now.` : "Set.");
  }

  /** @param {string} [focus] the action whose button is to have the focus */
  draw(focus) {
    const place = document.getElementById("own-keys");
    if (place) {
      place.replaceChildren(...this.actions.map((action) => {
        const row = document.createElement("div");
        const term = document.createElement("dt");
        const button = document.createElement("button");
        button.type = "button";
        button.className = "key";
        button.dataset.action = action.name;
        button.textContent = this.changing === action.name ? "press a key" : shown(this.keyOf.get(action.name) ?? "");
        button.setAttribute("aria-label", `${action.told}: ${button.textContent}; change`);
        term.append(button);
        const told = document.createElement("dd");
        told.textContent = action.told;
        row.append(term, told);
        return row;
      }));
      const wanted = focus ?? this.changing;
      if (wanted !== null) /** @type {HTMLElement|null} */ (place.querySelector(`[data-action="${wanted}"]`))?.focus();
    }
    for (const entry of document.querySelectorAll("[data-key]")) {
      entry.textContent = shown(this.keyOf.get(entry.getAttribute("data-key") ?? "") ?? "");
    }
  }

  /** Buttons with ``data-act`` do what the key of that name does. */
  buttons() {
    document.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button[data-act]") : null;
      if (!(button instanceof HTMLElement)) return;
      this.actions.find((one) => one.name === button.dataset.act)?.act();
    });
  }
}
