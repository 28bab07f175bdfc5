import assert from "node:assert/strict";
import { test } from "node:test";
import { amount, bytes, counts, share, shortId, usage } from "../src/format";
import { inOrder, isOver, lookOf } from "../src/states";

test("bytes are said as %jray status says them", () => {
  assert.deepEqual([0, 512, 1536, 40 * 2 ** 20, 3 * 2 ** 40, 5000 * 2 ** 40].map(bytes), [
    "0 B",
    "512 B",
    "1.5 KiB",
    "40.0 MiB",
    "3.0 TiB",
    "5000.0 TiB",
  ]);
});

test("amounts carry no noise of floating point", () => {
  assert.deepEqual([2, 0.5, 0.1 + 0.2].map(amount), ["2", "0.5", "0.3"]);
});

test("a resource is counted, memory is measured", () => {
  assert.equal(usage("CPU", 1, 2), "1 of 2");
  assert.equal(usage("memory", 2 ** 20, 2 ** 30), "1.0 MiB of 1.0 GiB");
});

test("a share stays between nothing and all", () => {
  assert.deepEqual([share(1, 2), share(3, 2), share(-1, 2), share(0, 0)], [0.5, 1, 0, 0]);
});

test("counts leave zeros out", () => {
  assert.equal(
    counts([["finished", 4] as const, ["failed", 0] as const, ["queued", 3] as const]),
    "4 finished, 3 queued",
  );
});

test("a long id is shortened, a short one is not", () => {
  assert.equal(shortId("0123456789abcdef"), "01234567…");
  assert.equal(shortId("0123456789"), "0123456789");
});

test("counts are told from what is done to what is to come, unknown states last", () => {
  const told = inOrder(
    new Map(Object.entries({ dreaming: 1, queued: 3, running: 1, failed: 2, waiting: 0 })),
  );
  assert.deepEqual(
    told.map(([state]) => state),
    ["failed", "running", "queued", "dreaming"],
  );
});

test("each state that ends a cell ends it, and every state has a sign", () => {
  assert.deepEqual(["finished", "failed", "running", "queued"].map(isOver), [true, true, false, false]);
  assert.notEqual(lookOf("finished").glyph, lookOf("failed").glyph);
  assert.equal(lookOf("dreaming").glyph, "•");
});
