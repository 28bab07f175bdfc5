"""What a user may ask for a task: validated once, frozen, merged by `.options()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from numbers import Real
from types import MappingProxyType
from typing import Any

from jray.other_names import OF_OPTIONS
from jray.runtime.ids import MAX_RETURNS
from jray.runtime.seeds import MOST as MOST_SEED

DEFAULT_RETRIES = 3
_RAY_ONLY = frozenset(
    {
        "memory",
        "object_store_memory",
        "accelerator_type",
        "retry_exceptions",
        "max_calls",
        "runtime_env",
        "scheduling_strategy",
        "label_selector",
        "fallback_strategy",
        "enable_task_events",
        "_metadata",
        "_labels",
        "_generator_backpressure_num_objects",
    }
)  # options of Ray that jray does not have yet: the message says so
_RESERVED = ("CPU", "GPU")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of a remote function.

    Attributes:
        num_cpus: CPUs held while it runs; fractions down to 1/10 000 and 0 are legal.
        num_gpus: GPUs held while it runs: whole ones, or a fraction of one; it sees these and no others.
        resources: custom resources held while it runs, name -> amount.
        num_returns: how many refs `.remote()` gives; 0 gives None, 1 a ref, n a list of n refs.
        max_retries: how often it is run again when its worker dies (not when it raises); -1: for ever.
        name: what messages and pictures call it; the function's name when None.
        read_only: arrays of 64 KiB and more that it receives can't be written, as in Ray; else they are its own to
            change. None: as `init` said.
        seed: what `random` and numpy's global state are seeded with before it runs, so that the same call draws the
            same numbers. In a `map`, each item has a seed of its own, made of this and its index. None: as `init` said.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    num_returns: int = 1
    max_retries: int = DEFAULT_RETRIES
    name: str | None = None
    read_only: bool | None = None
    seed: int | None = None

    def merged(self, changes: Mapping[str, Any]) -> TaskOptions:
        """These options with some of them changed.

        Raises:
            ValueError: an unknown option, or a value out of range.
            TypeError: a value of the wrong type.
        """
        for option, value in changes.items():
            check = _CHECKS.get(option)
            if check is None:
                raise ValueError(_unknown(option))
            check(option, value)
        if "resources" in changes:
            given = changes["resources"] or {}
            changes = {**changes, "resources": MappingProxyType({k: float(v) for k, v in given.items()})}
        return replace(self, **changes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only mappings cannot be pickled; the plain values can."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["resources"] = dict(self.resources)
        return _options_from, (values,)


def _options_from(values: Mapping[str, Any]) -> TaskOptions:
    return TaskOptions().merged(values)


def _unknown(option: str) -> str:
    known = sorted(_CHECKS)
    if option in _RAY_ONLY:
        return (
            f"The option {option!r} was refused. It is an option of Ray that jray does not have yet. "
            f"Leave it out; jray knows {', '.join(known)}."
        )
    close = get_close_matches(option, known, n=1)
    advice = OF_OPTIONS.get(option) or (f"Did you mean {close[0]!r}?" if close else f"Use one of {', '.join(known)}.")
    return f"The option {option!r} was refused. jray has no option of this name. {advice}"


def _check_amount(option: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"The option {option}={value!r} was refused. It is of type {type(value).__name__}. Give a number."
        raise TypeError(msg)
    if not 0 <= float(value) < float("inf"):
        msg = f"The option {option}={value!r} was refused. An amount can't be negative or infinite. Give 0 or more."
        raise ValueError(msg)


def _check_gpus(option: str, value: object) -> None:
    _check_amount(option, value)
    assert isinstance(value, Real)  # noqa: S101 - just checked
    if float(value) > 1 and float(value) % 1:
        msg = (
            f"The option {option}={value!r} was refused. A fraction is a part of one GPU, and no task can have parts "
            "of several. Give a whole number, or less than 1."
        )
        raise ValueError(msg)


def _check_resources(option: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        msg = f"The option {option}={value!r} was refused. It is no mapping of names. Write resources={{'disk': 1}}."
        raise TypeError(msg)
    for name, amount in value.items():
        if name in _RESERVED:
            msg = (
                f"The option resources={{{name!r}: ...}} was refused. {name} has an option of its own. "
                f"Use num_{name.lower()}s={amount!r}."
            )
            raise ValueError(msg)
        _check_amount(f"resources[{name!r}]", amount)


def _check_whole(option: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        more = " Streaming and dynamic generators are not there yet." if option == "num_returns" else ""
        msg = f"The option {option}={value!r} was refused. It is no whole number.{more} Give an int, {least} or more."
        raise TypeError(msg)
    if not least <= value <= most:
        msg = f"The option {option}={value!r} was refused. It is out of range. Give a number from {least} to {most}."
        raise ValueError(msg)


def _check_name(option: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        msg = f"The option {option}={value!r} was refused. It is of type {type(value).__name__}. Give a string."
        raise TypeError(msg)


def _check_flag(option: str, value: object) -> None:
    if value is not None and not isinstance(value, bool):
        msg = f"The option {option}={value!r} was refused. It is of type {type(value).__name__}. Give True or False."
        raise TypeError(msg)


def _check_seed(option: str, value: object) -> None:
    if value is not None:
        _check_whole(option, value, 0, MOST_SEED)


_CHECKS = {
    "num_cpus": _check_amount,
    "num_gpus": _check_gpus,
    "resources": _check_resources,
    "num_returns": lambda option, value: _check_whole(option, value, 0, MAX_RETURNS),
    "max_retries": lambda option, value: _check_whole(option, value, -1, 1 << 30),
    "name": _check_name,
    "read_only": _check_flag,
    "seed": _check_seed,
}
