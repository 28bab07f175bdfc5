import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { render } from "../src/render/index";
import { FakeModel, newPage, picture } from "./support";

let page: Document;

/** An observer that sees what the test says. */
class FakeObserver {
  static last: FakeObserver | undefined;
  isObserving = false;
  readonly #report: (entries: { isIntersecting: boolean }[]) => void;

  constructor(report: (entries: { isIntersecting: boolean }[]) => void) {
    this.#report = report;
    FakeObserver.last = this;
  }

  observe(): void {
    this.isObserving = true;
  }

  disconnect(): void {
    this.isObserving = false;
  }

  sees(...isIntersecting: boolean[]): void {
    this.#report(isIntersecting.map((each) => ({ isIntersecting: each })));
  }
}

beforeEach(() => {
  page = newPage();
  Object.assign(globalThis, { IntersectionObserver: FakeObserver });
});

function rendered(view: unknown = picture()): { model: FakeModel; observer: FakeObserver; end: () => void } {
  const model = new FakeModel(view);
  const end = render({ model, el: page.body });
  assert.ok(FakeObserver.last);
  return { model, observer: FakeObserver.last, end };
}

function setHidden(isHidden: boolean): void {
  Object.defineProperty(page, "visibilityState", {
    value: isHidden ? "hidden" : "visible",
    configurable: true,
  });
  const { Event } = page.defaultView as unknown as { Event: typeof globalThis.Event };
  page.dispatchEvent(new Event("visibilitychange"));
}

test("the kernel is told when it comes into sight and when it leaves, and only then", () => {
  const { model, observer } = rendered();
  assert.deepEqual(model.said, []);

  observer.sees(true);
  observer.sees(true);
  observer.sees(false);
  observer.sees(false, true);

  assert.deepEqual(model.said, ["seen", "unseen", "seen"]);
});

test("a page in the background is seen by nobody", () => {
  const { model, observer } = rendered();
  observer.sees(true);

  setHidden(true);
  observer.sees(false);
  setHidden(false);
  observer.sees(true);

  assert.deepEqual(model.said, ["seen", "unseen", "seen"]);
});

test("a widget that is scrolled away from the beginning says so at once", () => {
  const { model, observer } = rendered();

  observer.sees(false);

  assert.deepEqual(model.said, ["unseen"]);
});

test("where the browser can't tell, it counts as seen", () => {
  Reflect.deleteProperty(globalThis, "IntersectionObserver");
  const model = new FakeModel(picture());

  render({ model, el: page.body });

  assert.deepEqual(model.said, ["seen"]);
});

test("its end is told once, and nobody listens any longer", () => {
  const { model, observer, end } = rendered();
  observer.sees(true);

  end();
  setHidden(true);
  setHidden(false);

  assert.deepEqual(model.said, ["seen", "unseen"]);
  assert.equal(observer.isObserving, false);
});

test("the end of what nobody saw is not told again", () => {
  const { model, observer, end } = rendered();
  observer.sees(false);

  end();

  assert.deepEqual(model.said, ["unseen"]);
});

test("every 50th picture is acknowledged with how many have come", () => {
  const { model } = rendered();

  for (let n = 1; n <= 101; n += 1) model.show(picture({ at: n }));

  assert.deepEqual(model.said, ["ack 50", "ack 100"]);
});

test("pictures that can't be drawn count too", () => {
  const { model } = rendered({});

  for (let n = 1; n <= 50; n += 1) model.show(null);

  assert.deepEqual(model.said, ["ack 50"]);
});

test("all messages of one place carry its name, and another place has another", () => {
  const one = rendered();
  one.observer.sees(true);
  one.observer.sees(false);
  const other = rendered();
  other.observer.sees(true);
  const viewers = [...one.model.sent, ...other.model.sent].map(
    (message) => (message as { viewer: string }).viewer,
  );

  assert.equal(viewers[0], viewers[1]);
  assert.notEqual(viewers[0], viewers[2]);
});

test("a kernel that was restarted is told nothing", () => {
  const { model, observer, end } = rendered();
  observer.sees(true);

  model.loseKernel();
  model.isDead = false;
  observer.sees(false);
  end();

  assert.deepEqual(model.said, ["seen"]);
});

test("a message that can't be sent shows that the kernel is gone, and is the last one", () => {
  const { model, observer } = rendered();
  model.isDead = true;

  observer.sees(true);
  model.isDead = false;
  observer.sees(false);

  assert.deepEqual(model.said, []);
  assert.equal(page.querySelector(".jray-headline")?.textContent, "the kernel was restarted or has ended");
});

test("a runtime that has ended is told nothing", () => {
  const { model, observer, end } = rendered(picture({ closed: true }));

  observer.sees(true);
  end();

  assert.deepEqual(model.said, []);
});
