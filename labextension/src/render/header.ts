/** The first line: which cell, its state, and one line in words. */

import type { View } from "../protocol";
import { element, setText } from "./dom";
import { StateInWords } from "./state";

export class Header {
  readonly #title = element("span", "jray-title");
  readonly #state = new StateInWords("jray-headline");
  readonly #ended = element("span", "jray-ended", "runtime ended");
  readonly node = element("div", "jray-header", this.#title, this.#state.node, this.#ended);

  update(view: View): void {
    setText(this.#title, view.title);
    this.#state.update(view.state, view.headline);
    this.#ended.hidden = !view.isClosed;
  }
}
