import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Announcer } from "../src/render/announcer";
import { render } from "../src/render/index";
import { FakeModel, FakeTimers, newPage, picture, storedObject, taskGroup } from "./support";

let page: Document;

beforeEach(() => {
  page = newPage();
});

function shown(view: unknown): { model: FakeModel; root: HTMLElement; end: () => void } {
  const model = new FakeModel(view);
  const end = render({ model, el: page.body });
  return { model, root: page.body, end };
}

function find(root: HTMLElement, selector: string): HTMLElement {
  const node = root.querySelector<HTMLElement>(selector);
  assert.ok(node, `nothing matches ${selector}`);
  return node;
}

function texts(root: HTMLElement, selector: string): string[] {
  return [...root.querySelectorAll(selector)].map((node) => node.textContent ?? "");
}

test("the first line tells which cell, its state as sign and word, and the rest in words", () => {
  const { root } = shown(picture());

  assert.deepEqual(texts(root, ".jray-title"), ["In[5]"]);
  assert.equal(find(root, ".jray-headline").textContent, "●running on w2 for 3 s");
  assert.equal(find(root, ".jray-state-word").textContent, "running");
});

test("a headline that does not begin with the state follows it", () => {
  const { root } = shown(picture({ state: "queued", headline: "it needs 2 CPU" }));

  assert.equal(find(root, ".jray-headline").textContent, "○queued · it needs 2 CPU");
});

test("a dashboard has no state of its own", () => {
  const { root } = shown(picture({ kind: "dashboard", title: "jray", state: "", headline: "8 tasks" }));

  assert.equal(find(root, ".jray-headline").textContent, "8 tasks");
  assert.equal(root.querySelector("details"), null);
});

test("resources, store and workers are bars with words", () => {
  const { root, model } = shown(picture());
  assert.deepEqual(texts(root, ".jray-meters li"), [
    "CPU1 of 2",
    "store45.0 MiB of 2.0 GiB",
    "workers1 of 2 busy",
  ]);
  assert.equal(find(root, ".jray-meter-fill").style.width, "50%");

  model.show(picture({ store: { limit: null, used: 2048, on_disk: 1024 }, resources: [] }));
  assert.deepEqual(texts(root, ".jray-meters li"), ["store2.0 KiB, 1.0 KiB on disk", "workers1 of 2 busy"]);
});

test("tasks are a table with a caption, one row for each function, in words and as a bar", () => {
  const note = "queued: it needs 2 CPU; free now: 1 CPU";
  const { root } = shown(
    picture({ tasks: [taskGroup("score", { running: 1, finished: 3, failed: 0 }, note)] }),
  );
  const table = find(root, ".jray-tasks");

  assert.deepEqual(texts(table, "caption"), ["Tasks"]);
  assert.deepEqual(texts(table, "tbody th[scope=row]"), ["score"]);
  assert.deepEqual(texts(table, "td:last-child > div"), ["3 finished, 1 running", note]);
  const segments = [...table.querySelectorAll<HTMLElement>(".jray-bar > span")];
  assert.deepEqual(
    segments.map((segment) => [segment.className, segment.style.flexGrow]),
    [
      ["jray-is-good", "3"],
      ["jray-is-busy", "1"],
    ],
  );
});

test("objects are a table with short ids, states in words, sizes and where they come from", () => {
  const id = "01abcdef01abcdef";
  const { root } = shown(
    picture({
      objects: [storedObject(id, { name: "forest", state: "pending", words: "waiting for x", size: null })],
    }),
  );

  assert.deepEqual(texts(root, ".jray-objects tbody tr > *"), [
    "01abcdef…",
    "forest",
    "◌waiting for x",
    "ndarray",
    "",
    "In[5]",
  ]);
  assert.equal(find(root, ".jray-objects tbody th").title, id);
});

test("a pending object says its state when nothing says more, and other states are always said", () => {
  const { root } = shown(
    picture({
      objects: [
        storedObject("01", { state: "pending", words: "" }),
        storedObject("02", { state: "spilled", words: "on disk" }),
      ],
    }),
  );

  assert.deepEqual(texts(root, ".jray-objects td:nth-child(3)"), ["◌pending", "▤spilled · on disk"]);
});

test("a table without rows is not shown, and objects that are not listed are counted", () => {
  const { root } = shown(picture({ kind: "dashboard", tasks: [], objects: [], more_objects: 12 }));

  assert.equal(find(root, ".jray-tasks").hidden, true);
  assert.equal(find(root, ".jray-objects").hidden, true);
  assert.deepEqual(texts(root, ".jray-body > p:not([hidden])"), ["no tasks yet", "and 12 more objects"]);
});

test("names of users are never read as HTML", () => {
  const evil = "<img src=x onerror=alert(1)>";
  const { root } = shown(
    picture({
      title: evil,
      headline: evil,
      tasks: [taskGroup(evil, { [evil]: 1 }, evil)],
      objects: [storedObject(evil, { name: evil, words: evil, type: evil })],
    }),
  );

  assert.equal(root.querySelector("img"), null);
  assert.deepEqual(texts(root, ".jray-title"), [evil]);
});

test("a new picture changes the rows that are there and keeps their nodes", () => {
  const group = (name: string) => taskGroup(name, { running: 1 });
  const { root, model } = shown(picture({ tasks: [group("a"), group("b"), group("c")] }));
  const rows = [...root.querySelectorAll(".jray-tasks tbody tr")];

  model.show(picture({ tasks: [group("c"), group("new"), taskGroup("b", { finished: 1 })] }));

  assert.deepEqual(texts(root, ".jray-tasks tbody th"), ["c", "new", "b"]);
  const now = [...root.querySelectorAll(".jray-tasks tbody tr")];
  assert.equal(now[0], rows[2]);
  assert.equal(now[2], rows[1]);
  assert.equal(rows[0]?.isConnected, false);
});

test("two rows of one key are two rows", () => {
  const { root } = shown(picture({ tasks: [taskGroup("f", { running: 1 }), taskGroup("f", { failed: 2 })] }));

  assert.deepEqual(texts(root, ".jray-tasks td:last-child"), ["1 running", "2 failed"]);
});

test("an equal picture touches nothing", async () => {
  const { root, model } = shown(picture());
  const changes: MutationRecord[] = [];
  const { MutationObserver } = page.defaultView as unknown as {
    MutationObserver: typeof globalThis.MutationObserver;
  };
  const observer = new MutationObserver((records) => changes.push(...records));
  observer.observe(root, { subtree: true, childList: true, characterData: true });

  model.show(picture());
  await Promise.resolve(); // observers are told in a microtask

  assert.deepEqual([...changes, ...observer.takeRecords()], []);
});

test("a cell's tables are open while it runs and folded when it is over", () => {
  const { root, model } = shown(picture());
  const fold = find(root, "details") as HTMLDetailsElement;
  assert.equal(fold.open, true);
  assert.equal(find(root, "summary").textContent, "4 finished, 1 running, 3 queued · 1 object");

  model.show(picture({ state: "finished", headline: "finished in 4 s" }));
  assert.equal(fold.open, false);
});

test("tables that the user opened stay open, and those that the user closed stay closed", () => {
  const { root, model } = shown(picture());
  const fold = find(root, "details") as HTMLDetailsElement;

  find(root, "summary").click();
  assert.equal(fold.open, false);
  model.show(picture({ at: 13 }));
  assert.equal(fold.open, false);
  find(root, "summary").click();
  model.show(picture({ state: "finished" }));
  assert.equal(fold.open, true);
});

test("the last picture of an ended runtime says so", () => {
  const { root, model } = shown(picture());
  assert.equal(find(root, ".jray-ended").hidden, true);

  model.show(picture({ closed: true }));
  assert.equal(find(root, ".jray-ended").hidden, false);
  assert.ok(find(root, ".jray").classList.contains("jray-closed"));
  assert.equal((find(root, "details") as HTMLDetailsElement).open, false);
});

test("a view whose kernel was restarted is grey and says so instead of its state", () => {
  const { root, model } = shown(picture());

  model.loseKernel();

  assert.equal(find(root, ".jray-headline").textContent, "the kernel was restarted or has ended");
  assert.ok(find(root, ".jray").classList.contains("jray-closed"));
  assert.deepEqual(texts(root, ".jray-tasks tbody th"), ["score"], "the newest picture stays");
});

test("a last picture says after a restart what it said before", () => {
  const { root, model } = shown(picture({ closed: true }));

  model.loseKernel();

  assert.equal(find(root, ".jray-headline").textContent, "●running on w2 for 3 s");
});

test("what is no picture is one line that says so, until a right one comes", () => {
  const { root, model } = shown({ version: 99 });
  const problem = find(root, ".jray-problem");
  assert.match(problem.textContent ?? "", /^This picture of jray can't be drawn: it is of version 99,/);
  assert.equal(problem.hidden, false);
  assert.equal(find(root, ".jray-header").hidden, true);

  model.show(picture());
  assert.equal(problem.hidden, true);
  assert.equal(find(root, ".jray-header").hidden, false);
});

test("screen readers hear of a cell's state, and not of the seconds that go by", () => {
  const { root, model } = shown(picture());
  const status = find(root, "[role=status][aria-live=polite]");

  model.show(picture({ headline: "running on w2 for 4 s" }));

  assert.equal(status.textContent, "In[5] running");
});

test("screen readers hear something at most once a second, and only the newest", (t) => {
  const timers = new FakeTimers();
  t.after(() => timers.uninstall());
  const announcer = new Announcer();

  for (const text of ["queued", "running", "finished"]) announcer.say(text);
  assert.equal(announcer.node.textContent, "queued");
  assert.deepEqual(timers.waiting, [1000]);

  timers.fire();
  assert.equal(announcer.node.textContent, "finished");
});

test("nothing is left when it is over", () => {
  const { root, model, end } = shown(picture());

  end();
  model.show(picture({ state: "finished" }));

  assert.equal(root.childElementCount, 0);
  assert.equal(model.listeners, 0);
});
