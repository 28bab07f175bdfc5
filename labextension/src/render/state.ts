/** A state as sign and word, with what there is to say about it. */

import { lookOf } from "../states";
import { decoration, element, setClass, setText } from "./dom";

export class StateInWords {
  readonly node: HTMLElement;
  readonly #glyph = decoration("jray-glyph");
  readonly #word = element("span", "jray-state-word");
  readonly #rest = element("span", "jray-rest");

  constructor(className: string) {
    this.node = element("span", className, this.#glyph, this.#word, this.#rest);
  }

  /** `more` goes on after the word of the state; where it begins with that word, it is said once. */
  update(state: string, more: string, word = state): void {
    const look = lookOf(state);
    setText(this.#glyph, state === "" ? "" : look.glyph);
    setClass(this.#glyph, `jray-glyph jray-is-${look.colour}`);
    setText(this.#word, word);
    setText(this.#rest, continued(word, more));
  }
}

/** What follows the word of the state: ` on w2 for 3 s` for `running` and `running on w2 for 3 s`. */
export function continued(state: string, more: string): string {
  if (state === "" || more === "") return more;
  const rest = more.startsWith(state) ? more.slice(state.length) : null;
  return rest !== null && !/^\w/.test(rest) ? rest : ` · ${more}`;
}
