/** Draws one picture after the other into the same nodes. */

import { MalformedView, readView, type View } from "../protocol";
import { lookOf } from "../states";
import { Announcer } from "./announcer";
import { Body, FoldingBody, type IBody } from "./body";
import { element, setClass, setText } from "./dom";
import { Header } from "./header";

const LOST = "the kernel was restarted or has ended";

export class Face {
  readonly #header = new Header();
  readonly #problem = element("p", "jray-problem");
  readonly #announcer = new Announcer();
  readonly node = element("div", "jray", this.#problem, this.#header.node, this.#announcer.node);
  #kind: View["kind"] | undefined;
  /** What is drawn, if it can be. */
  #view: View | undefined;
  #body: IBody = new Body();

  constructor() {
    this.node.setAttribute("role", "group");
    this.node.append(this.#body.node);
  }

  /** Draws what the kernel sent; false when it says that no other picture will come. */
  draw(value: unknown): boolean {
    try {
      const view = readView(value);
      this.#show(view);
      return !view.isClosed;
    } catch (error) {
      if (!(error instanceof MalformedView)) throw error;
      this.#complain(error.message);
      return true;
    }
  }

  /** The kernel has gone without a last picture: the newest one stays, and says so. */
  lose(): void {
    if (this.#view === undefined || this.#view.isClosed) return;
    this.#show({ ...this.#view, state: "", headline: LOST, isClosed: true });
  }

  dispose(): void {
    this.#announcer.dispose();
    this.node.remove();
  }

  #show(view: View): void {
    this.#view = view;
    this.#takeBody(view.kind);
    this.#header.update(view);
    this.#body.update(view);
    this.#announcer.say(spoken(view));
    this.node.setAttribute("aria-label", `jray, ${view.title}`);
    setClass(this.node, `jray jray-is-${lookOf(view.state).colour}${view.isClosed ? " jray-closed" : ""}`);
    this.#setProblem("");
  }

  #complain(why: string): void {
    this.#view = undefined;
    setClass(this.node, "jray");
    this.#setProblem(
      `This picture of jray can't be drawn: ${why}. The page and the kernel probably have different versions of jray. ` +
        "Restart the kernel, reload the page, and run the cell again.",
    );
  }

  #setProblem(text: string): void {
    setText(this.#problem, text);
    this.#problem.hidden = text === "";
    this.#header.node.hidden = text !== "";
    this.#body.node.hidden = text !== "";
  }

  #takeBody(kind: View["kind"]): void {
    if (kind === this.#kind) return;
    const body = kind === "cell" ? new FoldingBody() : new Body();
    this.#body.node.replaceWith(body.node);
    this.#body = body;
    this.#kind = kind;
  }
}

/** A cell's headline counts seconds: only the change of its state is worth an interruption. */
function spoken(view: View): string {
  return view.state === "" ? view.headline : `${view.title} ${view.state}`;
}
