/**
 * The one renderer, for the widget under a cell and for every other place that can offer a model.
 *
 * It draws the trait `view`, and tells the kernel whether anybody looks (`seen`, `unseen`) and, from time to time, how many
 * pictures have arrived (`ack`): the kernel stops drawing for a page that has gone away without a word.
 *
 * A kernel can go away without a word as well. When it is restarted, ipywidgets' manager takes the line to it (the "comm") from
 * the model and triggers `comm_live_update`; a line that has ended otherwise throws at the next message.
 */

import type { IModel } from "../model";
import type { Message } from "../protocol";
import { Attention } from "./attention";
import { Face } from "./face";

const ACK_EVERY = 50;
/** Comes only with the end: the line is live before `render` is called, and never again. */
const LINE_ENDED = "comm_live_update";

/** Draws the model's view into `el` and keeps it up to date, until the function that it returns is called. */
export function render({ model, el }: { readonly model: IModel; readonly el: HTMLElement }): () => void {
  const viewer = Math.random().toString(16).slice(2, 10);
  const face = new Face();
  let isLive = face.draw(model.get("view"));
  let received = 0;

  const tell = (message: Message): void => {
    if (!isLive) return;
    try {
      model.send(message);
    } catch {
      onLineEnded();
    }
  };
  const onLineEnded = (): void => {
    isLive = false;
    face.lose();
  };
  const onView = (): void => {
    received += 1;
    isLive = face.draw(model.get("view"));
    if (received % ACK_EVERY === 0) tell({ op: "ack", viewer, count: received });
  };

  el.append(face.node);
  model.on("change:view", onView);
  model.on(LINE_ENDED, onLineEnded);
  const attention = new Attention(face.node, (isSeen) => tell({ op: isSeen ? "seen" : "unseen", viewer }));
  return () => {
    model.off("change:view", onView);
    model.off(LINE_ENDED, onLineEnded);
    attention.dispose();
    face.dispose();
  };
}
