"""The line behind a magic: options as people write them, and what follows."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

# Before an expression, `-o` needs a space behind it: `-offset` is one.
_BEFORE_EXPRESSION = re.compile(r"\s*(?P<name>--[A-Za-z][\w-]*|-o(?=[\s=]|$))(?:=|\s+|$)")
_ALONE = re.compile(r"\s*(?P<name>--[A-Za-z][\w-]*(?=[\s=]|$)|-o)(?:=|\s*)")
# JSON or quotes with whatever is in them, or a word; around the commas of a list there may be spaces.
_VALUE = re.compile(r"""\{[^}]*\}|'[^']*'|"[^"]*"|[^\s,]+(?:\s*,\s*[^\s,]+)*,?""")


def split_line(line: str, *, flags: Collection[str], takes_expression: bool = False) -> tuple[list[str], str]:
    """The options at the start of a line, as argparse wants them, and what is behind them.

    Args:
        line: As typed.
        flags: The options that take no value.
        takes_expression: Whether an expression may follow.
    """
    option = _BEFORE_EXPRESSION if takes_expression else _ALONE
    arguments: list[str] = []
    position = 0
    while match := option.match(line, position):
        position = match.end()
        arguments.append(match["name"])
        value = None if match["name"] in flags else _VALUE.match(line, position)
        if value is not None:
            position = value.end()
            # Joined by `=`: a value may begin with a minus.
            arguments[-1:] = _joined(match["name"], _without_quotes(value[0]))
    return arguments, line[position:].strip()


def _joined(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def _without_quotes(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def parse(parser: MagicArgumentParser, arguments: list[str], rest: str, *, magic: str, options: Collection[str]) -> Any:
    """Parse options; a mistyped one is refused with the likeliest right one.

    Args:
        parser: Of the magic.
        arguments: As `split_line` gives them.
        rest: What follows them and is no part of the magic's line: refused, unless empty.
        magic: What `?` is put behind for help.
        options: All that there are.

    Raises:
        UsageError: something is no option, or has no value that can be.
    """
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in options:  # argparse would take the beginning of an option for it
            close = get_close_matches(name, options, n=1)
            advice = f"Did you mean {close[0]}?" if close else f"Use one of {', '.join(sorted(options))}."
            raise UsageError(f"{name} was refused. There is no such option. {advice}")
    if rest:
        raise UsageError(f"{rest!r} was refused. Only options may stand there. Use {', '.join(sorted(options))}.")
    try:
        return parser.parse_args(arguments)
    except UsageError as error:
        why = str(error)
        raise UsageError(f"The options were refused. {why[:1].upper()}{why[1:]}. {magic}? tells more.") from None


def options_of(parser: MagicArgumentParser) -> dict[str, bool]:
    """The options of a parser, and whether each takes a value."""
    actions = parser._actions  # noqa: SLF001 - argparse names them nowhere else
    return {name: action.nargs != 0 for action in actions for name in action.option_strings}


def parse_names(text: str) -> tuple[str, ...]:
    """The names of `a,b`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_resources(text: str) -> dict[str, float]:
    """`disk=1,link=0.5` or JSON, as amounts by name.

    Raises:
        UsageError: neither.
    """
    try:
        if text.startswith("{"):
            amounts = json.loads(text)
        else:
            amounts = {}
            for part in filter(None, text.split(",")):
                name, _, amount = part.partition("=")
                amounts[name.strip()] = float(amount)
        return {str(name): float(amount) for name, amount in amounts.items()}
    except (ValueError, TypeError, AttributeError):
        raise UsageError(
            f"--resources {text} was refused. It is neither NAME=AMOUNT pairs nor JSON. "
            "Write --resources disk=1,link=0.5."
        ) from None
