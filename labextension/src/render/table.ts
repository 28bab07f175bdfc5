/** A table with a caption, which is hidden while it has no rows. */

import { element, type IRow, Rows } from "./dom";

export class Table<Item> {
  readonly node: HTMLTableElement;
  readonly #rows: Rows<Item>;

  constructor(
    className: string,
    caption: string,
    columns: readonly string[],
    keyOf: (item: Item) => string,
    make: () => IRow<Item>,
  ) {
    const body = element("tbody", "");
    const head = element("thead", "", element("tr", "", ...columns.map(columnHeader)));
    this.node = element("table", className, element("caption", "", caption), head, body);
    this.#rows = new Rows(body, keyOf, make);
  }

  update(items: readonly Item[]): void {
    this.#rows.update(items);
    this.node.hidden = items.length === 0;
  }
}

function columnHeader(name: string): HTMLTableCellElement {
  const cell = element("th", "", name);
  cell.scope = "col";
  return cell;
}
