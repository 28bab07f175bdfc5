"""`concurrent.futures.Future`s of refs: a thread loads each value when it is there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import ObjectRef

if TYPE_CHECKING:
    from concurrent.futures import Future


class Futures:
    """Those of one runtime. The thread starts with the first."""

    def __init__(
        self,
        when_ready: Callable[[ObjectId, Callable[[], None]], None],
        fetch: Callable[[ObjectRef[Any]], Any],
    ) -> None:
        """`when_ready` calls back from any thread when an object is there; `fetch` gives its value."""
        self._when_ready, self._fetch = when_ready, fetch
        self._asked: queue.SimpleQueue[tuple[ObjectRef[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def future_of(self, ref: ObjectRef[Any]) -> Future[Any]:
        """The value of a ref, when it is there; or its error."""
        from concurrent.futures import Future

        future: Future[Any] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="jray-futures", daemon=True)
            self._thread.start()
        self._when_ready(ref._id, lambda: self._asked.put((ref, future)))  # noqa: SLF001 - the runtime's own
        return future

    def _serve(self) -> None:
        while True:
            asked = self._asked.get()
            if asked is None:
                return
            ref, future = asked
            if not future.set_running_or_notify_cancel():
                continue
            try:
                value = self._fetch(ref)
            except BaseException as error:  # noqa: BLE001 - it is the future's result
                future.set_exception(error)
            else:
                future.set_result(value)
                del value
            del asked, ref, future  # a waiting thread must not keep the last object alive

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
