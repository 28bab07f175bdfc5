"""Replay one world: `python -m tests.support.simulation SEED [SIZE]` prints everything that was said."""

from __future__ import annotations

import sys

from tests.support.simulation import World


def replay(seed: int, size: int) -> None:
    """Run the world again; print each batch of events and what the scheduler answered."""
    world = World(seed, size=size)
    try:
        world.run()
    finally:
        for events, orders in world.log:
            for event in events:
                print(f"  {event}")
            for order in orders:
                print(f"      -> {order}")
        print(f"seed {seed}, size {size}: {world.steps} steps, {len(world.log)} batches, {world.mood}")


if __name__ == "__main__":
    replay(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
