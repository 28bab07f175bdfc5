"""What is said to who calls an engine that can't go on."""

from __future__ import annotations

from jray.exceptions import InternalError, ObjectLostError


def broken(error: BaseException) -> InternalError:
    """A bug of ours."""
    return InternalError(
        f"jray's engine broke and can't go on: {type(error).__name__}: {error} "
        "This is a bug in jray; the log has the traceback. Save your work, call jray.shutdown(), then jray.init()."
    )


def closed() -> ObjectLostError:
    """The runtime was shut down meanwhile."""
    return ObjectLostError(
        "jray was shut down by another thread in the middle of this call. What it would have read or stored is gone. "
        "Call jray again: the next use starts it."
    )
