/** A page without a browser, a model without a kernel, and a picture to begin with. */

import { JSDOM } from "jsdom";
import type { IModel } from "../src/model";

/** What the kernel sends, as JSON; `changes` replace whole fields. */
export function picture(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    version: 1,
    kind: "cell",
    title: "In[5]",
    state: "running",
    headline: "running on w2 for 3 s",
    at: 12.5,
    resources: [{ name: "CPU", total: 2, used: 1 }],
    store: { limit: 2 ** 31, used: 45 * 2 ** 20, on_disk: 0 },
    workers: { total: 2, busy: 1 },
    tasks: [taskGroup("score", { running: 1, queued: 3, finished: 4, failed: 0 })],
    objects: [storedObject("01ab", { name: "forest", state: "pending", words: "waiting for x" })],
    more_objects: 0,
    closed: false,
    ...changes,
  };
}

export function taskGroup(name: string, counts: Record<string, number>, note = ""): Record<string, unknown> {
  return { name, counts, note };
}

export function storedObject(id: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id,
    name: "",
    state: "ready",
    words: "",
    size: 1536,
    type: "ndarray",
    made_by: "In[5]",
    ...changes,
  };
}

/** Makes `document` a new and empty page, and gives it back. */
export function newPage(): Document {
  const { window } = new JSDOM("<body></body>");
  Object.assign(globalThis, { window, document: window.document });
  Reflect.deleteProperty(globalThis, "IntersectionObserver");
  return window.document;
}

/** Timers that go off when the test says so. */
export class FakeTimers {
  readonly #real = globalThis.setTimeout;
  #pending: { callback: () => void; ms: number }[] = [];

  constructor() {
    const setTimeout = (callback: () => void, ms: number): number => this.#pending.push({ callback, ms });
    Object.assign(globalThis, { setTimeout });
  }

  /** How long each of them waits, in milliseconds. */
  get waiting(): number[] {
    return this.#pending.map(({ ms }) => ms);
  }

  fire(): void {
    for (const { callback } of this.#pending.splice(0)) callback();
  }

  uninstall(): void {
    Object.assign(globalThis, { setTimeout: this.#real });
  }
}

export class FakeModel implements IModel {
  readonly sent: unknown[] = [];
  /** Sending throws from now on, as on a line to a kernel that is gone. */
  isDead = false;
  readonly #listeners = new Map<string, Set<() => void>>();
  #view: unknown;

  constructor(view: unknown) {
    this.#view = view;
  }

  get(name: string): unknown {
    return name === "view" ? this.#view : undefined;
  }

  on(event: string, callback: () => void): void {
    this.#of(event).add(callback);
  }

  off(event: string, callback: () => void): void {
    this.#of(event).delete(callback);
  }

  send(content: unknown): void {
    if (this.isDead) throw new Error("Cannot send");
    this.sent.push(content);
  }

  set(): void {
    throw new Error("The renderer changes nothing.");
  }

  save_changes(): void {
    throw new Error("The renderer changes nothing.");
  }

  /** What the kernel's next picture does. */
  show(view: unknown): void {
    this.#view = view;
    this.#trigger("change:view");
  }

  /** What ipywidgets' manager does when the kernel is restarted. */
  loseKernel(): void {
    this.isDead = true;
    this.#trigger("comm_live_update");
  }

  get listeners(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** What was said to the kernel, without who said it. */
  get said(): string[] {
    return this.sent.map((message) => {
      const { op, count } = message as { op: string; count?: number };
      return count === undefined ? op : `${op} ${count}`;
    });
  }

  #trigger(event: string): void {
    for (const callback of [...this.#of(event)]) callback();
  }

  #of(event: string): Set<() => void> {
    const callbacks = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, callbacks);
    return callbacks;
  }
}
