"""Which names go into and come out of a `%%remote` cell that is a task, by rule of the semantics."""

from __future__ import annotations

import builtins
from textwrap import dedent

import pytest

from jray.kernel.cell import TaskCell, read_cell


def task(source: str) -> TaskCell:
    cell = read_cell(dedent(source))
    assert isinstance(cell, TaskCell), f"read as a cell of definitions: {source}"
    return cell


def reads(source: str) -> str:
    return " ".join(name for name in task(source).reads if name not in vars(builtins))


def table(*rows: tuple):
    """Each row begins with the sentence that it stands for."""
    return [pytest.param(*values, id=sentence) for sentence, *values in rows]


# --- rule 4: what comes in ---


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("a name that is read", "print(a)", "a"),
        ("not one that was bound before", "a = 1\nprint(a)", ""),
        ("one that is read before it is bound", "print(a)\na = 1", "a"),
        ("one that is read where it is bound", "a = a + 1", "a"),
        ("the target of an augmented assignment", "total += n", "n total"),
        ("what items and attributes are stored into", "d[k] = v\na.b.c = 1\ns[i:j] += 1", "a d i j k s v"),
        ("names in an f-string", "print(f'{a!r:>{b}} {c[d]}')", "a b c d"),
        ("names that are deleted", "del a, b[c], d.e", "a b d c".replace("b d c", "b c d")),
        ("a name after its deletion", "a = 1\ndel a\nprint(a)", "a"),
        ("an annotation in the task", "x: T = 1", "T"),
        ("all of a tuple's right side first", "a, b = b, 1\nprint(a, b)", "b"),
        ("a starred value", "[*a, b] = c\nprint(*a, **d)", "c d"),
        ("the last expression", "x = 1\nx + y", "y"),
        ("what a definition of the cell is called", "import np\nclass A: pass\nx = A(np.pi)", "A np"),
        ("no name of a definition that nobody uses", "import np\nx = 1", ""),
        ("names after a star import, which may bind any", "from m import *\nx = a", "a"),
    ),
)
def test_a_task_captures(source, expected):
    assert reads(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("both branches bind", "if c:\n    a = 1\nelse:\n    a = 2\nuse(a)", "c use"),
        ("one branch binds", "if c:\n    a = 1\nuse(a)", "a c use"),
        ("the other branch raises", "if c:\n    a = 1\nelse:\n    raise E\nuse(a)", "E c use"),
        ("a condition always holds", "if True:\n    a = 1\nuse(a)", "use"),
        ("a loop over something binds", "for i in x:\n    a = i\nuse(a, i)", "a i use x"),
        ("a loop over a literal binds", "for i in [1, 2]:\n    a = i\nuse(a, i)", "use"),
        ("a loop over a range binds", "for i in range(3):\n    a = i\nuse(a)", "use"),
        ("a loop over an empty range binds", "for i in range(0):\n    a = i\nuse(a)", "a use"),
        ("a loop's later turns bind", "for i in x:\n    use(a)\n    a = 1", "a use x"),
        ("body and else of a loop bind", "for i in x:\n    a = 1\n    break\nelse:\n    a = 2\nuse(a)", "use x"),
        ("a loop is left before it binds", "for i in [1]:\n    if c: break\n    a = 1\nuse(a)", "a c use"),
        ("a turn ends before it binds", "for i in [1]:\n    if c: continue\n    a = 1\nuse(a)", "a c use"),
        ("`while` binds", "while c:\n    a = 1\nuse(a)", "a c use"),
        ("`while True` binds", "while True:\n    a = f()\n    if a: break\nuse(a)", "f use"),
        ("`while True` is left before", "while True:\n    if f(): break\n    a = 1\nuse(a)", "a f use"),
        ("`try` binds and `except` not", "try:\n    a = f()\nexcept E:\n    g()\nuse(a)", "E a f g use"),
        ("`try` and `except` bind", "try:\n    a = f()\nexcept E:\n    a = 1\nuse(a)", "E f use"),
        ("`except` raises", "try:\n    a = f()\nexcept E:\n    raise\nuse(a)", "E f use"),
        ("`except` reads what `try` binds", "try:\n    a = f()\nexcept E:\n    use(a)", "E a f use"),
        ("`finally` reads what `try` binds", "try:\n    a = f()\nfinally:\n    use(a)", "a f use"),
        ("`try` binds before `finally`", "try:\n    a = f()\nfinally:\n    g()\nuse(a)", "f g use"),
        ("`finally` binds", "try:\n    f()\nexcept E:\n    pass\nfinally:\n    a = 1\nuse(a)", "E f use"),
        ("`else` of `try` binds", "try:\n    f()\nexcept E:\n    pass\nelse:\n    a = 1\nuse(a)", "E a f use"),
        ("an error's name is read afterwards", "try:\n    f()\nexcept E as e:\n    use(e)\nuse(e)", "E e f use"),
        ("`with` binds", "with open(p) as f:\n    a = f.read()\nuse(a, f)", "p use"),
        ("`with suppress` binds", "with suppress(E):\n    a = f()\nuse(a)", "E a f suppress use"),
        ("`with` ends in an error", "with c:\n    raise E\nuse(a)", "E a c use"),
        ("all cases of a match bind", "match x:\n    case [a]: pass\n    case a: pass\nuse(a)", "use x"),
        ("some cases bind", "match x:\n    case {'k': a, **r}: use(a, r)\nuse(a)", "a use x"),
        ("a case reads", "match x:\n    case A(b=c.d, e=[*f]) if g(f): pass", "A c g x"),
        ("a deletion may have happened", "a = 1\nif c:\n    del a\nuse(a)", "a c use"),
        ("a condition binds", "if (a := f()) and (b := g(a)):\n    use(a, b)\nuse(a, b)", "b f g use"),
        ("a condition fails", "if not (f() and (a := g())):\n    raise E\nuse(a)", "E f g use"),
        ("either condition binds", "if f() or (a := g()):\n    use(a)", "a f g use"),
        ("a conditional expression binds", "x = (a := 1) if f() else (b := (a := 2))\nuse(a, b)", "b f use"),
        ("a chain of comparisons binds", "f() < (a := 1) < (b := 2)\nuse(a, b)", "b f use"),
        ("a condition of `while` binds", "while (a := f()):\n    use(a)\nuse(a)", "f use"),
        ("an assertion binds", "assert (a := f())\nuse(a)", "a f use"),
        ("a branch imports", "try:\n    import a\nexcept ImportError:\n    a = None\nuse(a)", "use"),
    ),
)
def test_certainly_bound_or_not_when(source, expected):
    assert reads(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("a lambda reads globals", "f = lambda x, *y, z=d: (x, y, z, a)", "a d"),
        ("a lambda reads what is bound", "a = 1\nf = lambda: a", ""),
        ("a lambda may run before", "f = lambda: a\nf()\na = 1", "a"),
        ("a comprehension has its own names", "x = [i + a for i in b if i in c for j in i]", "a b c"),
        ("a comprehension begins outside", "x = [i for i in i]", "i"),
        ("a comprehension's names end with it", "x = {k: v for k, v in d}\nuse(k)", "d k use"),
        ("a walrus leaves a comprehension", "x = [y for i in s if (y := f(i))]", "f s"),
        ("and may not have been run", "x = [(y := i) for i in s]\nuse(y)", "s use y"),
        ("a generator reads", "x = sum(i * a for i in s)", "a s"),
        ("a branch defines a function", "if 1:\n    def f(n=a) -> b:\n        c = d\n        return c", "a b d"),
        ("functions bind anywhere in them", "if 1:\n    def f():\n        g(a)\n        a = 1", "g"),
        ("a function deletes its own", "if 1:\n    def f():\n        g(a)\n        del a", "g"),
        (
            "functions in functions",
            "if 1:\n    def f(a):\n        def g():\n            nonlocal a\n            a = b\n        return g",
            "b",
        ),
        (
            "global in a function",
            "if 1:\n    def f():\n        global a\n        a = 1\n        g(a)\nuse(a)",
            "a g use",
        ),
        (
            "global under a local",
            "if 1:\n    def f(a):\n        def g():\n            global a\n            return a",
            "a",
        ),
        (
            "a class body reads",
            "if 1:\n    class A(B, k=c):\n        x = x\n        y = x\n        z: T = 1",
            "B T c x",
        ),
        ("methods don't see the class", "if 1:\n    class A:\n        x = 1\n        def f(self): return x", "x"),
        ("nor do its comprehensions", "if 1:\n    class A:\n        x = y = 1\n        z = [x for _ in y]", "x"),
        ("`super` needs nothing", "if 1:\n    class A:\n        def f(self): super().f(__class__)", ""),
        ("a decorator is read", "if 1:\n    @d(a)\n    def f(): pass", "a d"),
        ("an async comprehension", "if 1:\n    async def f(): return [x async for x in s if await g(x)]", "g s"),
    ),
)
def test_names_of_nested_scopes_when(source, expected):
    assert reads(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("they are used", "def f(): return K\ny = f()", "K f"),
        ("they are reached through another", "def f(): return K\ndef g(): return f()\ny = g()", "K f g"),
        ("they are methods", "class A:\n    def m(self): return K\ny = A().m()", "A K"),
        ("nobody uses them here", "def f(): return K\ny = g()", "K g"),
        ("the task binds the name before", "def f(): return K\nK = 1\ny = f()", "f"),
        ("the task binds the name afterwards", "def f(): return K\ny = f()\nK = 1", "K f"),
        ("the task may bind the name", "def f(): return K\nif c:\n    K = 1\ny = f()", "K c f"),
        ("it is evaluated in the kernel only", "def f(n=size): pass\nclass A(B): x = c\ny = f(A)", "A f"),
    ),
)
def test_what_functions_of_the_cell_read_comes_in_when(source, expected):
    assert reads(source) == expected


def test_builtins_are_among_the_reads_for_they_may_be_shadowed():
    assert task("print(len(a))").reads == ("a", "len", "print")


# --- rule 5: what comes out ---


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("assignments, in order", "b = 1\na = c = 2\nb = 3", "b a c"),
        ("unpacked names", "(a, [b, *c]), d.e, f[0] = g", "a b c"),
        ("augmented assignments", "total += 1", "total"),
        ("annotated assignments with a value", "a: int = 1\nb: int", "a"),
        ("a walrus", "print(a := 1)\n(b := 2)", "a b"),
        ("a walrus in a comprehension", "any((hit := i) for i in s)", "hit"),
        ("assignments in blocks", "if x:\n    a = 1\nfor i in y:\n    b = i\nwith z as q:\n    c = 1", "a b c"),
        ("assignments in `try`", "try:\n    a = f()\nexcept E as e:\n    b = 1\nfinally:\n    c = 1", "a b c"),
        ("an assignment before an error", "try:\n    a = 1\n    raise E\nexcept E:\n    pass", "a"),
        ("an assignment before a break", "while True:\n    if f(): break\n    a = 1", "a"),
        ("assignments in `finally`", "while True:\n    try:\n        break\n    finally:\n        a = 1", "a"),
        ("a walrus in a case's guard", "match x:\n    case 1 if (a := f()):\n        raise E", "a"),
        ("a redefined function", "def f(): pass\nf = jit(f)", "f"),
        ("all, if the end is an error", "a = 1\nraise E", "a"),
        ("no targets of loops, `with`, `except`", "for a in b: pass\nwith c as d: pass", ""),
        ("no imports and definitions", "import a\ndef f(): pass\nif x:\n    import b\n    class C: pass", ""),
        ("no captures of a match", "match x:\n    case [a, *b]: c = 1", "c"),
        ("no names that begin with an underscore", "_a = 1\n__b = 2\nc_ = 3", "c_"),
        ("no locals of functions", "if x:\n    def f():\n        a = 1\ng = lambda: (b := 1)", "g"),
        ("no globals of functions", "def f():\n    global a\n    a = 1\nf()", ""),
        ("no deleted names", "a = 1\nb = 2\ndel a, (b)", ""),
        ("names bound again after deletion", "a = 1\ndel a\na = 2", "a"),
        ("names that may have been deleted", "a = 1\nif c:\n    del a", "a"),
        ("no names that each turn deletes", "for i in x:\n    t = i\n    del t", ""),
        ("no names that both branches delete", "a = 1\nif x:\n    del a\nelse:\n    del a", ""),
        ("a name that a loop binds too", "a = 1\nfor a in x: pass", "a"),
        ("no name that `except` takes away", "try:\n    f()\nexcept E as e:\n    e = 1", ""),
    ),
)
def test_a_task_gives_out(source, expected):
    assert " ".join(task(source).binds) == expected


def test_everything_that_the_run_may_bind_can_be_picked():
    cell = task(
        """
        import np, os.path as p
        def f():
            global by_call
            by_call = 1
        class A: pass
        for i in x:
            _tmp = i
        with y as (w, z):
            import sys
        try:
            f()
        except E as e:
            pass
        match x:
            case {"k": m, **rest}: pass
        t = [(walrus := j) for j in x]
        deleted = 1
        del deleted
        never: int
        """
    )

    assert cell.bindable == {
        *{"np", "p", "f", "by_call", "A", "i", "_tmp", "w", "z", "sys"},
        *{"e", "m", "rest", "t", "walrus", "deleted"},
    }


# --- rule 6: what is changed in the task only ---


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("a stored item", 'df["z"] = 1', "df"),
        ("a stored item at the end of a chain", 'df.loc[m, "z"] = 1', "df"),
        ("a stored attribute at the end of a chain", "a.b.c = 1", "a"),
        ("an augmented item", "x[0] += 1\ny.n -= 1", "x y"),
        ("an unpacked item", "x[0], y = 1, 2", "x"),
        ("an annotated attribute", "x.a: int = 1", "x"),
        ("a deleted item or attribute", "del x[0], y.a", "x y"),
        ("a method called as a statement", "model.fit(X, y)\npass", "model"),
        ("a method of a part", "a.b[0].append(1)\npass", "a"),
        ("a method called at the end, silenced", "model.train(X);", "model"),
        ("a last expression that changes", "model.fit(X, y)", "model"),
        ("no last expression that is looked at", "df.head()", ""),
        ("an item in a block", "for i in x:\n    if i:\n        d[i] = 1", "d"),
        ("an item used as a loop's target", "for d['k'] in x: pass", "d"),
        ("each once, in order", "b[0] = 1\na[0] = 1\nb.c = 2", "b a"),
        ("no argument of a function", "print(x)\nsort(y)", ""),
        ("no method whose result is used", "y = x.pop()", ""),
        ("no module that the cell imports", "import numpy as np\nnp.random.seed(1)\nx = 1", ""),
        ("a name imported elsewhere, which may be anything", "np.random.seed(1)\nx = 1", "np"),
        ("nothing that the cell made", "x = []\nx.append(1)\nx[0] = 2", ""),
        ("what the cell may have made", "if c:\n    x = []\nx[0] = 2", "x"),
        ("a copy is not the captured one", "df = df.copy()\ndf['z'] = 1", ""),
        ("no result of a call", "f(x).a = 1\nx.g().h()\npass", ""),
        ("nothing stored by a function", "def f():\n    d['k'] = 1\nf()", ""),
        ("changed, even if it is given out", "x[0] = 1\nx = 2", "x"),
        ("changed in place by the last expression", "x.drop(columns='v', inplace=True)", "x"),
        ("looked at by the last expression", "x.drop(columns='v', inplace=False)", ""),
    ),
)
def test_a_task_changes(source, expected):
    cell = task(source)

    assert " ".join(cell.changed) == expected
    assert set(cell.changed) <= set(cell.reads)


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("after a loop that may not run", "for i in x:\n    a = i\nuse(a, i)", "a i"),
        ("after a branch", "if c:\n    a = 1\nuse(a)", "a"),
        ("not what the first turn of a loop reads", "for i in x:\n    use(a)\n    a = i\nuse(a)", ""),
        ("not what is read before", "use(a)\nif c:\n    a = 1\nuse(a)", ""),
        ("not what is added to", "if c:\n    n += 1\nuse(n)", ""),
        ("through a function of the cell", "def f(): return a\nif c:\n    a = 1\nx = f()", "a"),
        ("not through one that runs before", "def f(): return a\nx = f()\nif c:\n    a = 1\ny = f()", ""),
    ),
)
def test_only_perhaps_read(source, expected):
    assert " ".join(sorted(task(source).perhaps)) == expected
