/** Numbers in words, as `%jray status` says them. */

const UNITS = ["KiB", "MiB", "GiB", "TiB"] as const;

/** `512 B`, `40.0 MiB`. */
export function bytes(size: number): string {
  if (size < 1024) return `${Math.round(size)} B`;
  let amount = size / 1024;
  let unit: string = UNITS[0];
  for (const larger of UNITS.slice(1)) {
    if (amount < 1024) break;
    amount /= 1024;
    unit = larger;
  }
  return `${amount.toFixed(1)} ${unit}`;
}

/** `2`, `0.5`: at most four digits after the point, since Ray's resources have no finer parts. */
export function amount(value: number): string {
  return String(Math.round(value * 10_000) / 10_000);
}

/** How much of a resource is in use: `1 of 2`, and bytes where the resource is memory. */
export function usage(name: string, used: number, total: number): string {
  const say = isMemory(name) ? bytes : amount;
  return `${say(used)} of ${say(total)}`;
}

/** The share between 0 and 1, also where there is nothing to share. */
export function share(part: number, whole: number): number {
  return whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
}

/** `4 finished, 1 running, 3 queued`, in the order given; zeros are left out. */
export function counts(tally: Iterable<readonly [string, number]>): string {
  return [...tally]
    .filter(([, number]) => number > 0)
    .map(([state, number]) => `${number} ${state}`)
    .join(", ");
}

/** The first digits of an id, enough to tell two of them apart at a glance. */
export function shortId(id: string): string {
  return id.length > 12 ? `${id.slice(0, 8)}…` : id;
}

function isMemory(name: string): boolean {
  return name === "memory" || name === "object_store_memory";
}
