/** All below the first line: meters and tables. Under a cell they fold away when the cell is done. */

import { counts } from "../format";
import type { View } from "../protocol";
import { inOrder, isOver } from "../states";
import { element, setText } from "./dom";
import { Meters } from "./meters";
import { ObjectTable } from "./objects";
import { TaskTable } from "./tasks";

export interface IBody {
  readonly node: HTMLElement;
  update(view: View): void;
}

/** For the dashboard: always open. */
export class Body implements IBody {
  readonly #meters = new Meters();
  readonly #tasks = new TaskTable();
  readonly #objects = new ObjectTable();
  readonly #nothing = element("p", "jray-note", "no tasks yet");
  readonly #more = element("p", "jray-note");
  readonly node = element(
    "div",
    "jray-body",
    this.#meters.node,
    this.#nothing,
    this.#tasks.node,
    this.#objects.node,
    this.#more,
  );

  update(view: View): void {
    this.#meters.update(view);
    this.#tasks.update(view.tasks);
    this.#objects.update(view.objects);
    this.#nothing.hidden = view.tasks.length > 0;
    this.#more.hidden = view.moreObjects === 0;
    setText(this.#more, `and ${view.moreObjects} more objects`);
  }
}

/** For a cell: open while it runs, folded when it is over, and from the first click on as the user wants it. */
export class FoldingBody implements IBody {
  readonly #body = new Body();
  readonly #summary = element("summary", "");
  readonly node = element("details", "jray-fold", this.#summary, this.#body.node);
  #isUsersChoice = false;

  constructor() {
    // A click, and not `toggle`: that one is also sent for what we do ourselves. Keys click a summary too.
    this.#summary.addEventListener("click", () => {
      this.#isUsersChoice = true;
    });
  }

  update(view: View): void {
    this.#body.update(view);
    setText(this.#summary, summaryOf(view));
    const isOpen = !isOver(view.state) && !view.isClosed;
    if (!this.#isUsersChoice && this.node.open !== isOpen) this.node.open = isOpen;
  }
}

/** `4 finished, 1 running · 3 objects`. */
function summaryOf(view: View): string {
  const sums = new Map<string, number>();
  for (const group of view.tasks) {
    for (const [state, number] of group.counts) sums.set(state, (sums.get(state) ?? 0) + number);
  }
  const objects = view.objects.length + view.moreObjects;
  const parts = [counts(inOrder(sums)), objects === 0 ? "" : `${objects} object${objects === 1 ? "" : "s"}`];
  return parts.filter((part) => part !== "").join(" · ") || "no tasks yet";
}
