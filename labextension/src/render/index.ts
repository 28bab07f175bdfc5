/**
 * The one renderer, for the widget under a cell and for every other place that can offer a model.
 *
 * It draws the trait `view`, and tells the kernel whether anybody looks (`seen`, `unseen`) and, from time to time, how many
 * pictures have arrived (`ack`): the kernel stops drawing for a page that has gone away without a word.
 */

import type { IModel } from "../model";
import type { Message } from "../protocol";
import { Attention } from "./attention";
import { Face } from "./face";

const ACK_EVERY = 50;

/** Draws the model's view into `el` and keeps it up to date, until the function that it returns is called. */
export function render({ model, el }: { readonly model: IModel; readonly el: HTMLElement }): () => void {
  const viewer = Math.random().toString(16).slice(2, 10);
  const face = new Face();
  let isLive = face.draw(model.get("view"));
  let received = 0;

  const tell = (message: Message): void => {
    if (isLive) model.send(message);
  };
  const onView = (): void => {
    received += 1;
    isLive = face.draw(model.get("view"));
    if (received % ACK_EVERY === 0) tell({ op: "ack", viewer, count: received });
  };

  el.append(face.node);
  model.on("change:view", onView);
  const attention = new Attention(face.node, (isSeen) => tell({ op: isSeen ? "seen" : "unseen", viewer }));
  return () => {
    model.off("change:view", onView);
    attention.dispose();
    face.dispose();
  };
}
