"""Reads the line behind a magic: spaces after commas, quotes, and what to say to a mistyped option."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

_NOT_YET = ("--num-gpus", "--memory", "--actor")
# `-o a, b` and `{"disk": 1, "link": 2}` are one word each; what stands in quotes is left alone.
_SPACE_IN_A_LIST = re.compile(r"""('[^']*'|"[^"]*")|(?<=[,:{])\s+|\s+(?=[,:}])""")


def parse_line(parser: MagicArgumentParser, magic: str, line: str, options: Sequence[str]) -> Namespace:
    """The options of a line.

    Args:
        parser: what the magic accepts.
        magic: how the user calls it, for messages: "%%remote".
        line: what the user wrote.
        options: the long options that the parser knows.

    Raises:
        UsageError: what is wrong, and the likeliest right one.
    """
    parser.allow_abbrev = False  # `--num-cpu` is a typo: tomorrow it could mean two things
    try:
        found: Namespace = parser.parse_argstring(_SPACE_IN_A_LIST.sub(lambda match: match[1] or "", line))
    except UsageError as error:
        raise UsageError(_refusal(str(error), magic, options)) from None
    for name, value in vars(found).items():
        if isinstance(value, str):
            setattr(found, name, unquoted(value))
    return found


def unquoted(text: str) -> str:
    """IPython leaves the quotes around a word; the user did not mean them."""
    text = text.strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _refusal(said: str, magic: str, options: Sequence[str]) -> str:
    unknown = re.match(r"unrecognized arguments: (.*)", said)
    if unknown is None:  # `argument --num-cpus: invalid float value: 'many'`
        return f"{magic} was refused: {said}. {magic}? shows how its options are written."
    word = unknown[1].split()[0].partition("=")[0]
    if not word.startswith("-"):
        return (
            f"{magic} {unknown[1]} was refused. On this line stand options only. "
            f"It takes {', '.join(options)}; {magic}? tells more."
        )
    close = get_close_matches(word, options, n=1)
    why = "There is no such option."
    advice = f"Did you mean {close[0]}?" if close else f"It takes {', '.join(options)}."
    if word in ("-h", "--help"):
        advice = f"{magic}? shows the help."
    elif word in _NOT_YET:
        why, advice = "It is not there yet.", f"It takes {', '.join(options)}."
    return f"{magic} {word} was refused. {why} {advice}"
