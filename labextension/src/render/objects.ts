/** The table of objects: what a reference stands for, and where it is. */

import { bytes, shortId } from "../format";
import type { StoredObject } from "../protocol";
import { element, type IRow, setText } from "./dom";
import { StateInWords } from "./state";
import { Table } from "./table";

export class ObjectTable extends Table<StoredObject> {
  constructor() {
    super(
      "jray-objects",
      "Objects",
      ["Id", "Name", "State", "Type", "Size", "Made by"],
      (object) => object.id,
      () => new ObjectRow(),
    );
  }
}

class ObjectRow implements IRow<StoredObject> {
  readonly #id = element("th", "jray-id");
  readonly #name = element("td", "jray-name");
  readonly #state = new StateInWords("");
  readonly #type = element("td", "jray-type");
  readonly #size = element("td", "jray-size");
  readonly #madeBy = element("td", "jray-made-by");
  readonly node = element(
    "tr",
    "",
    this.#id,
    this.#name,
    element("td", "", this.#state.node),
    this.#type,
    this.#size,
    this.#madeBy,
  );

  constructor() {
    this.#id.scope = "row";
  }

  update(object: StoredObject): void {
    setText(this.#id, shortId(object.id));
    this.#id.title = object.id;
    setText(this.#name, object.name);
    this.#state.update(object.state, object.words, wordOf(object));
    setText(this.#type, object.type);
    setText(this.#size, object.size === null ? "" : bytes(object.size));
    setText(this.#madeBy, object.madeBy);
  }
}

/** What a pending object waits for says that it is pending: then the sign alone stands for the state. */
function wordOf({ state, words }: StoredObject): string {
  return state === "pending" && words !== "" ? "" : state;
}
