"""This process at the moment of a submission: what surrounds its tasks, and whether modules were reloaded since."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from jray.runtime.core.messages import ModulesChanged
from jray.runtime.engine import Engine
from jray.runtime.own_modules import OwnModules
from jray.runtime.surroundings import Seen, Surroundings, search_path


class Here:
    """Looked at from any thread that submits."""

    def __init__(self, engine: Engine) -> None:
        """For one runtime."""
        self.modules = OwnModules()  # the kernel's rooms put their own here, which has seen more
        self._engine = engine
        self.desk = engine.pool_desk
        self._last = self._take()
        self._looking = threading.RLock()
        self._is_looking = False  # garbage collection may run a finalizer in there that submits something

    def surroundings(self) -> Surroundings:
        """Of a task that is submitted now. What the scheduler must know of modules before it is told first."""
        if self.modules.may_have_news():
            self._look()
        seen, last = self._last
        if not seen.holds() or self.modules.places is not last.modules:
            self._last = _, last = self._take()
        return last

    def _take(self) -> tuple[Seen, Surroundings]:
        seen = Seen()
        return seen, Surroundings(search_path(), seen.directory, seen.environment, self.modules.places)

    def _look(self) -> None:
        with self._looking:
            if self._is_looking:
                return
            self._is_looking = True
            try:
                imported = self._engine.books.imported
                news = self.modules.look(imported)
                for name in news.changed:
                    imported.pop(name, None)  # new workers will tell again
            finally:
                self._is_looking = False
            if news.changed:
                self._engine.inbox.post(ModulesChanged(time.monotonic(), news.changed))
        if news.edited:
            self._engine.sink.warn(_not_reloaded(news.edited))


def _not_reloaded(modules: Sequence[str]) -> str:
    one = modules[0]
    were, they, them = ("was", "it", "it") if len(modules) == 1 else ("were", "they", "them")
    return (
        f"{' and '.join(modules)} {were} edited since {they} {were} imported here, and not reloaded. The old code runs "
        f"on here and in workers that have imported {them} before; one that imports {them} from now on gets the new "
        f"code. Write importlib.reload({one}), or %load_ext autoreload and %autoreload 2: then all tasks run the new "
        "code, from the next one on."
    )
