"""Tables of cell sequences, and what they show: texts that read like notebooks.

    === the rule, in words: the name of the case
    x = 1
    # %%
    x + 1
    #> 2

`# %%` is between two cells. `%gate arrive` as a cell of its own waits until a task has come to the case's `gate`,
`%gate open` lets it through. A name `folder` is an empty folder of the case. What is expected stands in lines of its own:

    #> text      what the last cell shows: each line of it
    #! text      the error of the last cell says this
    #!! text     ... and this, when it comes from a task: in the error or its traceback
    #@ text      the traceback of the last cell has this
    #~ text      the cell that this line is in shows this, among others: a note
    #only as a task: reason     plain Python would do something else
    #since 3.12                 older Pythons can't read it

In what is expected, `In[@2]` is the prompt of the second cell. Lines above the first case are for the reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_EXPECTED = re.compile(r"#(>|!!|!|@|~|only as a task: |since )(.*)")
_BETWEEN_CELLS = "# %%"


@dataclass
class Case:
    """Cells in their order, and what is expected of them."""

    name: str
    cells: list[str] = field(default_factory=list)
    shows: list[str] = field(default_factory=list)
    raises: list[str] = field(default_factory=list)
    tells: list[str] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)
    notes: dict[int, list[str]] = field(default_factory=dict)  # by the cell's index
    only_as_a_task: str = ""  # why
    since: tuple[int, ...] = ()


def cases_of(folder: Path) -> dict[str, Case]:
    """All cases of the tables in a folder, by `table: name`."""
    cases = {}
    for table in sorted(folder.glob("*.txt")):
        _, *texts = re.split(r"(?m)^=== ", table.read_text())
        for text in texts:
            case = _case(text)
            label = f"{table.stem}: {case.name}"
            assert label not in cases, f"two cases have the name {label!r}"
            cases[label] = case
    return cases


def _case(text: str) -> Case:
    name, *lines = text.rstrip().splitlines()
    case = Case(name)
    cell: list[str] = []
    for line in [*lines, _BETWEEN_CELLS]:
        found = _EXPECTED.fullmatch(line)
        if found:
            _expect(case, *found.groups())
        elif line == _BETWEEN_CELLS:
            case.cells.append("\n".join(cell))
            cell = []
        else:
            cell.append(line)
    assert case.shows or case.raises or case.traceback, f"nothing is expected of {name!r}"
    return case


def _expect(case: Case, kind: str, text: str) -> None:
    text = text.removeprefix(" ")
    match kind.strip():
        case ">":
            case.shows.append(text)
        case "!":
            case.raises.append(text)
        case "!!":
            case.tells.append(text)
        case "@":
            case.traceback.append(text)
        case "~":
            case.notes.setdefault(len(case.cells), []).append(text)
        case "since":
            case.since = tuple(map(int, text.split(".")))
        case _:
            case.only_as_a_task = text
