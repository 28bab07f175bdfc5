import assert from "node:assert/strict";
import { test } from "node:test";
import { MalformedView, readView } from "../src/protocol";
import { picture, storedObject, taskGroup } from "./support";

function complaintAbout(view: unknown): string {
  try {
    readView(view);
  } catch (error) {
    if (error instanceof MalformedView) return error.message;
    throw error;
  }
  return assert.fail("It was read as if it were right.");
}

test("a picture is read with all its parts", () => {
  const view = readView(picture({ more_objects: 7, closed: true }));

  assert.equal(view.title, "In[5]");
  assert.deepEqual(view.resources, [{ name: "CPU", total: 2, used: 1 }]);
  assert.deepEqual(view.store, { limit: 2 ** 31, used: 45 * 2 ** 20, onDisk: 0 });
  assert.deepEqual(
    [...(view.tasks[0]?.counts ?? [])],
    [
      ["running", 1],
      ["queued", 3],
      ["finished", 4],
      ["failed", 0],
    ],
  );
  assert.equal(view.objects[0]?.madeBy, "In[5]");
  assert.deepEqual([view.moreObjects, view.isClosed], [7, true]);
});

test("what is not known yet may be missing, and what is new may be there", () => {
  const object = { id: "01", state: "pending", size: null, colour: "green" };
  const group = { name: "f", counts: {}, speed: 3 };
  const view = readView(
    picture({ objects: [object], tasks: [group], store: { limit: null, used: 0, on_disk: 0 } }),
  );

  assert.deepEqual(view.objects, [
    { id: "01", state: "pending", size: null, name: "", words: "", type: "", madeBy: "" },
  ]);
  assert.equal(view.tasks[0]?.note, "");
  assert.equal(view.store.limit, null);
});

test("what is no picture is refused with its place and what it is", () => {
  assert.equal(complaintAbout(null), "the view is null and not an object");
  assert.equal(complaintAbout([]), "the view is a list and not an object");
  assert.equal(complaintAbout({}), "version in the view is missing and not a number");
  assert.equal(
    complaintAbout(picture({ tasks: "many" })),
    "tasks in the view is of type string and not a list",
  );
  assert.equal(complaintAbout(picture({ tasks: [1] })), "tasks[0] is of type number and not an object");
  assert.equal(complaintAbout(picture({ store: null })), "store is null and not an object");
});

test("a wrong field inside a list is named with its row", () => {
  const objects = [storedObject("01"), storedObject("02", { size: "large" })];

  assert.equal(complaintAbout(picture({ objects })), "size in objects[1] is of type string and not a number");
});

test("numbers that are none are refused", () => {
  const tasks = [taskGroup("f", { running: Number.NaN })];

  assert.equal(complaintAbout(picture({ tasks })), "running in counts is of type number and not a number");
});

test("another version is named as the reason", () => {
  assert.equal(complaintAbout(picture({ version: 2 })), "it is of version 2, and this page reads version 1");
  assert.equal(complaintAbout(picture({ kind: "panel" })), "its kind is neither cell nor dashboard");
});
