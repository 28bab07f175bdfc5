"""A simulated nasty world that performs the scheduler's instructions, and says when it ordered the impossible.

* `mood.py`: how nasty this seed is, and what its programs look like
* `worker.py`: one worker process as it really behaves: its messages in transit, its line, its running attempt
* `laws.py`: what is true (who runs, who holds which ref) and what must never happen. Never asks the scheduler
* `memory.py`: what is true about bytes (what was written, where it lies, who maps it), and their laws
* `store_client.py`, `kernel_store.py`: what processes, the user's program and the disk do with shared memory
* `world.py`: chooses what happens next, jumps the clock, delivers, loses, and checks that in the end nothing is left
* `noticing.py`: whether the world notices that the scheduler is broken

Replay a seed and read everything that was said: `python -m tests.support.simulation 17`.
"""

from __future__ import annotations

from tests.support.simulation.laws import Impossible as Impossible
from tests.support.simulation.mood import Mood as Mood
from tests.support.simulation.noticing import assert_noticed as assert_noticed
from tests.support.simulation.world import World as World
