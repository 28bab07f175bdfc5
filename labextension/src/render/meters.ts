/** A line of small bars with words: CPUs and other resources, the store, the workers. */

import { bytes, share, usage } from "../format";
import type { Resource, Store, View, Workers } from "../protocol";
import { decoration, element, type IRow, Rows, setText } from "./dom";

interface Meter {
  readonly name: string;
  readonly words: string;
  readonly share: number;
}

export class Meters {
  readonly node = element("ul", "jray-meters");
  readonly #rows = new Rows<Meter>(
    this.node,
    (meter) => meter.name,
    () => new MeterRow(),
  );

  update(view: View): void {
    this.#rows.update([...view.resources.map(ofResource), ofStore(view.store), ofWorkers(view.workers)]);
  }
}

class MeterRow implements IRow<Meter> {
  readonly #name = element("span", "jray-meter-name");
  readonly #fill = element("span", "jray-meter-fill");
  readonly #words = element("span", "jray-meter-words");
  readonly node = element("li", "", this.#name, decoration("jray-meter", this.#fill), this.#words);

  update(meter: Meter): void {
    setText(this.#name, meter.name);
    setText(this.#words, meter.words);
    this.#fill.style.width = `${Math.round(100 * meter.share)}%`;
  }
}

function ofResource({ name, used, total }: Resource): Meter {
  return { name, words: usage(name, used, total), share: share(used, total) };
}

function ofStore({ limit, used, onDisk }: Store): Meter {
  const there = limit === null ? bytes(used) : `${bytes(used)} of ${bytes(limit)}`;
  const disk = onDisk > 0 ? `, ${bytes(onDisk)} on disk` : "";
  return { name: "store", words: there + disk, share: share(used, limit ?? 0) };
}

function ofWorkers({ busy, total }: Workers): Meter {
  return { name: "workers", words: `${busy} of ${total} busy`, share: share(busy, total) };
}
