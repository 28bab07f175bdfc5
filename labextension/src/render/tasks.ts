/** The table of tasks: one row for each function, with a bar and the same in words. */

import { counts } from "../format";
import type { TaskGroup } from "../protocol";
import { inOrder, lookOf } from "../states";
import { decoration, element, type IRow, Rows, setClass, setText } from "./dom";
import { Table } from "./table";

export class TaskTable extends Table<TaskGroup> {
  constructor() {
    super(
      "jray-tasks",
      "Tasks",
      ["Function", "Progress", "State"],
      (group) => group.name,
      () => new TaskRow(),
    );
  }
}

class TaskRow implements IRow<TaskGroup> {
  readonly #name = element("th", "jray-name");
  readonly #bar = decoration("jray-bar");
  readonly #segments = new Rows<Segment>(
    this.#bar,
    ([state]) => state,
    () => new SegmentOfBar(),
  );
  readonly #counts = element("div", "");
  readonly #note = element("div", "jray-note");
  readonly node = element(
    "tr",
    "",
    this.#name,
    element("td", "jray-progress", this.#bar),
    element("td", "", this.#counts, this.#note),
  );

  constructor() {
    this.#name.scope = "row";
  }

  update(group: TaskGroup): void {
    const tally = inOrder(group.counts);
    setText(this.#name, group.name);
    setText(this.#counts, counts(tally));
    setText(this.#note, group.note);
    this.#note.hidden = group.note === "";
    this.#segments.update(tally);
  }
}

/** A state and how many tasks are in it. */
type Segment = readonly [string, number];

class SegmentOfBar implements IRow<Segment> {
  readonly node = element("span", "");

  update([state, number]: Segment): void {
    setClass(this.node, `jray-is-${lookOf(state).colour}`);
    this.node.style.flexGrow = String(number);
  }
}
