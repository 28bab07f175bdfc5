/**
 * What the kernel says (the trait `view`: one picture of a cell or of the whole runtime) and what we answer.
 *
 * The kernel and this page can be of different versions, or a notebook can hold a picture of long ago. So what arrives is
 * `unknown` until `readView` has looked at every part of it.
 */

export const VERSION = 1;

export interface View {
  readonly kind: "cell" | "dashboard";
  readonly title: string;
  /** One word for the whole; empty for the dashboard. */
  readonly state: string;
  readonly headline: string;
  readonly resources: readonly Resource[];
  readonly store: Store;
  readonly workers: Workers;
  readonly tasks: readonly TaskGroup[];
  readonly objects: readonly StoredObject[];
  readonly moreObjects: number;
  /** The runtime has ended: this is the last picture. */
  readonly isClosed: boolean;
}

export interface Resource {
  readonly name: string;
  readonly total: number;
  readonly used: number;
}

export interface Store {
  /** Bytes; null when nothing limits it. */
  readonly limit: number | null;
  readonly used: number;
  readonly onDisk: number;
}

export interface Workers {
  readonly total: number;
  readonly busy: number;
}

/** The tasks of one function. */
export interface TaskGroup {
  readonly name: string;
  readonly counts: ReadonlyMap<string, number>;
  readonly note: string;
}

export interface StoredObject {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly words: string;
  /** Bytes; null while nobody knows. */
  readonly size: number | null;
  readonly type: string;
  readonly madeBy: string;
}

/** What we tell the kernel. `viewer` tells two places apart that show the same widget. */
export type Message =
  | { readonly op: "seen"; readonly viewer: string }
  | { readonly op: "unseen"; readonly viewer: string }
  | { readonly op: "ack"; readonly viewer: string; readonly count: number };

/** A picture that can't be drawn; the message says which part of it and why. */
export class MalformedView extends Error {}

/** The picture in what the kernel sent. Unknown parts are ignored; missing or wrong ones raise MalformedView. */
export function readView(value: unknown): View {
  const view = new Part("the view", value);
  const version = view.number("version");
  if (version !== VERSION) {
    throw new MalformedView(`it is of version ${version}, and this page reads version ${VERSION}`);
  }
  const kind = view.text("kind");
  if (kind !== "cell" && kind !== "dashboard") {
    throw new MalformedView(`its kind is neither cell nor dashboard`);
  }
  return {
    kind,
    title: view.text("title"),
    state: view.text("state"),
    headline: view.text("headline"),
    resources: view.list("resources").map(readResource),
    store: readStore(view.part("store")),
    workers: readWorkers(view.part("workers")),
    tasks: view.list("tasks").map(readTaskGroup),
    objects: view.list("objects").map(readObject),
    moreObjects: view.number("more_objects"),
    isClosed: view.boolean("closed"),
  };
}

function readResource(part: Part): Resource {
  return { name: part.text("name"), total: part.number("total"), used: part.number("used") };
}

function readStore(part: Part): Store {
  return { limit: part.maybeNumber("limit"), used: part.number("used"), onDisk: part.number("on_disk") };
}

function readWorkers(part: Part): Workers {
  return { total: part.number("total"), busy: part.number("busy") };
}

function readTaskGroup(part: Part): TaskGroup {
  return { name: part.text("name"), counts: part.part("counts").numbers(), note: part.maybeText("note") };
}

function readObject(part: Part): StoredObject {
  return {
    id: part.text("id"),
    name: part.maybeText("name"),
    state: part.text("state"),
    words: part.maybeText("words"),
    size: part.maybeNumber("size"),
    type: part.maybeText("type"),
    madeBy: part.maybeText("made_by"),
  };
}

/** One JSON object on its way in; `path` says in an error where in the picture it lies. */
class Part {
  readonly #path: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(path: string, value: unknown) {
    if (!isRecord(value)) {
      throw new MalformedView(`${path} is ${nameOf(value)} and not an object`);
    }
    this.#path = path;
    this.#fields = value;
  }

  text(name: string): string {
    return this.#read(name, isText, "a text");
  }

  /** Empty when the kernel has nothing to say. */
  maybeText(name: string): string {
    return this.#isAbsent(name) ? "" : this.text(name);
  }

  number(name: string): number {
    return this.#read(name, isNumber, "a number");
  }

  maybeNumber(name: string): number | null {
    return this.#isAbsent(name) ? null : this.number(name);
  }

  boolean(name: string): boolean {
    return this.#read(name, isBoolean, "true or false");
  }

  part(name: string): Part {
    return new Part(name, this.#fields[name]);
  }

  list(name: string): Part[] {
    return this.#read(name, Array.isArray, "a list").map(
      (item, index) => new Part(`${name}[${index}]`, item),
    );
  }

  /** All fields, which must be numbers. */
  numbers(): ReadonlyMap<string, number> {
    return new Map(Object.keys(this.#fields).map((name) => [name, this.number(name)]));
  }

  #isAbsent(name: string): boolean {
    return this.#fields[name] === undefined || this.#fields[name] === null;
  }

  #read<T>(name: string, isRight: (value: unknown) => value is T, what: string): T {
    const value = this.#fields[name];
    if (!isRight(value)) {
      throw new MalformedView(`${name} in ${this.#path} is ${nameOf(value)} and not ${what}`);
    }
    return value;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function nameOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return `of type ${typeof value}`;
}
