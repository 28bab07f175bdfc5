/** The states of tasks, objects and cells: each has a word, a sign and a colour, so that nothing is told by colour alone. */

interface Look {
  readonly glyph: string;
  /** The end of a CSS class, `jray-is-…`, that gives the colour. */
  readonly colour: "good" | "bad" | "busy" | "held" | "idle";
}

const GOOD = { glyph: "✓", colour: "good" } as const;
const BAD = { glyph: "✗", colour: "bad" } as const;
const BUSY = { glyph: "●", colour: "busy" } as const;
const HELD = { glyph: "◐", colour: "held" } as const;
const IDLE = { glyph: "○", colour: "idle" } as const;

/** In the order in which bars and words show them: what is done, what is going on, what is to come. */
const LOOKS: ReadonlyMap<string, Look> = new Map<string, Look>([
  ["finished", GOOD],
  ["ready", GOOD],
  ["failed", BAD],
  ["lost", BAD],
  ["running", BUSY],
  ["blocked", HELD],
  ["resuming", HELD],
  ["queued", IDLE],
  ["waiting", { glyph: "◌", colour: "idle" }],
  ["submitted", { glyph: "◌", colour: "idle" }],
  ["pending", { glyph: "◌", colour: "idle" }],
  ["cancelled", { glyph: "⊘", colour: "idle" }],
  ["spilled", { glyph: "▤", colour: "held" }],
  ["freed", { glyph: "–", colour: "idle" }],
]);
const ORDER = [...LOOKS.keys()];

/** States in which a cell will change no more. */
const OVER: ReadonlySet<string> = new Set(["finished", "failed", "cancelled", "lost"]);

export function lookOf(state: string): Look {
  return LOOKS.get(state) ?? { glyph: "•", colour: "idle" };
}

export function isOver(state: string): boolean {
  return OVER.has(state);
}

/** Counts that are not zero, in the order of the table above; states that it doesn't know come last. */
export function inOrder(counts: ReadonlyMap<string, number>): (readonly [string, number])[] {
  const place = (state: string): number => {
    const index = ORDER.indexOf(state);
    return index < 0 ? ORDER.length : index;
  };
  return [...counts].filter(([, number]) => number > 0).sort(([a], [b]) => place(a) - place(b));
}
