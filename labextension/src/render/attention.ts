/**
 * Knows whether anybody can see an element: it is on the screen, and its page is not hidden.
 *
 * The kernel makes no pictures for what nobody sees. A cell that JupyterLab takes out of the page while it is scrolled away
 * counts as unseen: an observer reports elements that leave the document.
 */
export class Attention {
  readonly #tell: (isSeen: boolean) => void;
  readonly #observer: IntersectionObserver | undefined;
  /** Unknown until the observer has spoken, which it does for each new element. */
  #isOnScreen: boolean | undefined;
  #isSeen: boolean | undefined;

  /** `tell` is called with the first answer, and then at each change. */
  constructor(element: Element, tell: (isSeen: boolean) => void) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", this.#look);
    if (typeof IntersectionObserver === "undefined") {
      this.#setOnScreen(true);
    } else {
      this.#observer = new IntersectionObserver((entries) => {
        // More than one entry: it came and went since the last call. The last one is what holds.
        this.#setOnScreen(entries.at(-1)?.isIntersecting ?? false);
      });
      this.#observer.observe(element);
    }
  }

  /** From now on nobody sees it. */
  dispose(): void {
    document.removeEventListener("visibilitychange", this.#look);
    this.#observer?.disconnect();
    if (this.#isSeen === true) this.#setOnScreen(false);
  }

  #setOnScreen(isOnScreen: boolean): void {
    this.#isOnScreen = isOnScreen;
    this.#look();
  }

  readonly #look = (): void => {
    if (this.#isOnScreen === undefined) return;
    const isSeen = this.#isOnScreen && document.visibilityState !== "hidden";
    if (isSeen === this.#isSeen) return;
    this.#isSeen = isSeen;
    this.#tell(isSeen);
  };
}
