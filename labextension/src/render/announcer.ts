/** Tells screen readers what changed, at most once a second: pictures come ten times as often. */

import { element, setText } from "./dom";

const QUIET_MS = 1000;

export class Announcer {
  readonly node = element("div", "jray-spoken");
  #next = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.node.setAttribute("role", "status");
    this.node.setAttribute("aria-live", "polite");
  }

  /** Said at once, or when a second has gone by since the last time; only the newest text counts. */
  say(text: string): void {
    this.#next = text;
    if (this.#timer === undefined) this.#speak();
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  #speak(): void {
    this.#timer = undefined;
    if (this.node.textContent === this.#next) return;
    setText(this.node, this.#next);
    this.#timer = setTimeout(() => this.#speak(), QUIET_MS);
  }
}
