"""The state diagram of the docs, made from the table of legal moves.

Make it again after the table was changed: `python tests/support/diagram.py > docs/states.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks only into tests/support

from jray.runtime.core.model import LEGAL_MOVES, TaskState  # noqa: E402 - after the path

DOCUMENT = ROOT / "docs" / "states.md"

PAGE = """\
# The states of a task

Made from `LEGAL_MOVES` in `jray/runtime/core/model.py`; a test keeps both equal. Do not edit it:
`python tests/support/diagram.py > docs/states.md`.

```mermaid
{diagram}
```

{meanings}
"""

MEANINGS = {
    TaskState.WAITING: "for arguments that are not there yet",
    TaskState.QUEUED: "for resources and a worker; children before roots, otherwise fair between submitters",
    TaskState.RUNNING: "in a worker's line: the first of the line runs, the others are prefetched",
    TaskState.BLOCKED: "in `get` or `wait`; its CPUs are released, all else is kept",
    TaskState.RESUMING: "what it waited for is there; it stands ahead of all queued tasks for its CPUs",
    TaskState.FINISHED: "it returned",
    TaskState.FAILED: "it raised, an argument failed, or its worker was lost once too often",
}


def diagram(moves: Mapping[TaskState, Mapping[TaskState, str]]) -> str:
    """A mermaid `stateDiagram-v2` of a table of moves; what leads nowhere is an end."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(moves)).name}: submitted"]
    for state, targets in moves.items():
        # A semicolon ends a statement in mermaid.
        lines += [f"    {state.name} --> {to.name}: {why.replace(';', ',')}" for to, why in targets.items()]
        if not targets:
            lines.append(f"    {state.name} --> [*]")
    return "\n".join(lines)


def page() -> str:
    """The whole document."""
    meanings = "\n".join(f"* **{state.name}**: {meaning}" for state, meaning in MEANINGS.items())
    return PAGE.format(diagram=diagram(LEGAL_MOVES), meanings=meanings)


if __name__ == "__main__":
    sys.stdout.write(page())
