"""The shell around the scheduler: it does the I/O and performs what the scheduler decides."""

from jray.runtime.engine.engine import Engine as Engine
from jray.runtime.engine.sink import OutputText as OutputText, Sink as Sink
