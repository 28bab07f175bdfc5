"""The line of an instruction is the one that it has by now."""

from __future__ import annotations

from jray.runtime.serde import places
from jray.runtime.serde.names import code_digest


def code_of(source, file):
    namespace = {}
    exec(compile(source, file, "exec", dont_inherit=True), namespace)
    return namespace["f"].__code__


def offset_of_line(code, line):
    return next(start for start, _, at in code.co_lines() if at == line)


def test_comments_move_lines_and_change_no_digest():
    old = code_of("def f(x):\n    y = x\n    return 1 / y\n", "<a>")
    new = code_of("# why\n\ndef f(x):\n    y = x\n    # because\n    return (\n        1 / y\n    )\n", "<b>")
    assert code_digest(old) == code_digest(new)
    offset = offset_of_line(old, 3)
    places.note(code_digest(old), old)
    assert places.line_now(places.place_of(old), 3, offset) == ("<a>", 3)
    places.note(code_digest(new), new)
    assert places.line_now(places.place_of(old), 3, offset) == ("<b>", 7)
    assert places.line_now(places.place_of(new), 7, offset) == ("<b>", 7)


def test_inner_functions_move_with_it():
    source = "def f():\n    def g(x):\n        return 1 / x\n    return g(0)\n"
    old, new = code_of(source, "<c>"), code_of("\n\n" + source, "<d>")
    for code in (old, new):
        places.note(code_digest(code), code)
    inner = next(part for part in old.co_consts if hasattr(part, "co_code"))
    assert places.line_now(places.place_of(inner), 3, offset_of_line(inner, 3)) == ("<d>", 5)


def test_unknown_code_stays_where_it_was():
    assert places.line_now(("<nowhere>", 1, "f"), 7, 2) == ("<nowhere>", 7)


def test_the_table_is_bounded():
    for number in range(3_000):
        code = code_of(f"def f(): return {number}", "<many>")
        places.note(code_digest(code), code)
    assert len(places._latest) == 2_000
    assert len(places._known) <= 2_000


def test_digests_tell_code_apart():
    sources = [
        "def f(): return 1",
        "def f(): return 1.0",
        "def f(): return True",
        "def f(x): return 1",
        "def f(): return -0.0",
        "def f(): return 0.0",
        "def f(): return {1, 2}",
        "def f(): 'doc'; return 1",
        "def f():\n def g(): return 1\n return g",
        "def f():\n def g(): return 2\n return g",
        "async def f(): return 1",
        "def f(): yield 1",
    ]
    assert len({code_digest(code_of(source, "<x>")) for source in sources}) == len(sources)
