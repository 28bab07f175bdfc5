/**
 * Small steps on the DOM. All text goes through `textContent`: what users name their functions is never read as HTML.
 * Nothing is touched that would stay the same, so that a selection and the scroll position survive an update.
 */

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (className !== "") node.className = className;
  node.append(...children);
  return node;
}

/** Something that only repeats for the eye what is said in words beside it. */
export function decoration(className: string, ...children: (Node | string)[]): HTMLSpanElement {
  const node = element("span", className, ...children);
  node.setAttribute("aria-hidden", "true");
  return node;
}

export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node: Element, className: string): void {
  if (node.className !== className) node.className = className;
}

/** One line of a table or list, drawn again and again for the same thing. */
export interface IRow<Item> {
  readonly node: Element;
  update(item: Item): void;
}

/** Keeps the children of `parent` equal to a list of items: one row for each key, moved only if its place changed. */
export class Rows<Item> {
  readonly #parent: Element;
  readonly #keyOf: (item: Item) => string;
  readonly #make: () => IRow<Item>;
  #rows = new Map<string, IRow<Item>>();

  constructor(parent: Element, keyOf: (item: Item) => string, make: () => IRow<Item>) {
    this.#parent = parent;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  update(items: readonly Item[]): void {
    const old = this.#rows;
    this.#rows = new Map();
    for (const item of items) {
      const key = this.#freeKey(this.#keyOf(item));
      const row = old.get(key) ?? this.#make();
      old.delete(key);
      this.#rows.set(key, row);
      row.update(item);
    }
    for (const row of old.values()) row.node.remove();
    this.#arrange();
  }

  #arrange(): void {
    let next = this.#parent.firstElementChild;
    for (const { node } of this.#rows.values()) {
      if (node === next) next = node.nextElementSibling;
      else this.#parent.insertBefore(node, next);
    }
  }

  /** Two items of one key are two rows all the same. */
  #freeKey(key: string): string {
    let free = key;
    for (let n = 2; this.#rows.has(free); n += 1) free = `${key}\n${n}`;
    return free;
  }
}
