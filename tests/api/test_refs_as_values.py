"""A ref that is used as if it were its value: the error names it, and says how to get the value (rule 10)."""

from __future__ import annotations

import asyncio
import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import jray


def use(expression, **names):
    """Run it as a cell would, with these names and no others."""
    return eval(expression, {"__name__": "__main__", "np": np, "pd": pd, "jray": jray, **names})


def complaint(expression, kind=TypeError, **names):
    with pytest.raises(kind) as caught:
        use(expression, **names)
    return str(caught.value)


USES = {
    "b + 1": "b + 1",
    "1 + b": "1 + b",
    "'text' + b": "'text' + b",
    "[1] + b": "... + b",
    "b ** 2": "b ** 2",
    "divmod(b, 2)": "divmod(b, 2)",
    "b @ b": "b @ b",
    "b & True": "b & True",
    "-b": "-b",
    "abs(b)": "abs(b)",
    "b < 2": "b < 2",
    "2 < b": "b > 2",
    "b >= 'a rather long piece of text'": "b >= ...",
    "len(b)": "len(b)",
    "b[0]": "b[0]",
    "b['price']": "b['price']",
    "b[1:2]": "b[...]",
    "b.__setitem__(0, 1)": "b[0] = ...",
    "b.__delitem__(0)": "del b[0]",
    "iter(b)": "for ... in b",
    "[*b]": "for ... in b",
    "reversed(b)": "reversed(b)",
    "3 in b": "3 in b",
    "float(b)": "float(b)",
    "int(b)": "int(b)",
    "complex(b)": "complex(b)",
    "round(b, 2)": "round(b)",
    "range(b)": "[...][b]",
    "f'{b:.2f}'": "b in a format",
    "b(1)": "b(...)",
    "np.asarray(b)": "np.asarray(b)",
    "np.array([b, b])": "np.asarray(b)",
    "np.mean(b)": "np.asarray(b)",
    "np.sin(b)": "sin(b)",
    "np.float64(1) + b": "add(..., b)",
    "np.ones(3) * b": "multiply(..., b)",
    "b * np.ones(3)": "b * ...",
    "np.concatenate([b, b])": "np.asarray(b)",
    "pd.DataFrame(b)": "np.asarray(b)",
    "pd.Series(b)": "len(b)",
    "pd.DataFrame({'a': b})": "len(b)",
    "pd.Series([1, 2]) * b": "multiply(..., b)",
}


@pytest.mark.parametrize("expression", USES)
def test_an_operation_of_values_is_refused_with_the_way_out(runtime, expression):
    assert complaint(expression, b=runtime.put(1)) == (
        f"`b` is a reference to a result, not the result. `{USES[expression]}` needs the value. "
        "jray.get(b) gives the value."
    )


@pytest.mark.parametrize(
    ("expression", "middle"),
    [
        ("b.shape", "`b.shape` needs the value. jray.get(b) gives the value."),
        ("b.mean()", "`b.mean` needs the value. jray.get(b) gives the value."),
        ("b.result()", "It has no `result`. jray.get(b) waits for the value."),
        ("b.compute()", "It has no `compute`. jray.get(b) waits for the value."),
        ("b.done()", "It has no `done`. jray.wait([b], timeout=0) tells whether it is there."),
    ],
)
def test_an_attribute_of_the_value_is_refused_with_the_way_out(runtime, expression, middle):
    assert complaint(expression, AttributeError, b=runtime.put(1)) == (
        f"`b` is a reference to a result, not the result. {middle}"
    )


def test_a_ref_without_a_name_is_this(runtime):
    assert complaint("put(1) + 1", put=runtime.put) == (
        "This is a reference to a result, not the result. `this + 1` needs the value. jray.get(this) gives the value."
    )


def test_a_ref_in_a_list_is_called_by_its_place(runtime):
    refs = [runtime.put(1), runtime.put(2)]
    assert complaint("sum(refs)", refs=refs).endswith(
        "`0 + refs[0]` needs the value. jray.get(refs[0]) gives the value."
    )
    assert "`refs[1] > refs[0]` needs" in complaint("max(refs)", refs=refs)


def test_names_of_the_user_are_taken_not_those_of_a_library_or_of_python(runtime):
    price = runtime.put(1)
    with pytest.raises(TypeError, match=r"^`price` is a reference"):
        pd.DataFrame(price)
    assert complaint("_ + 1", _=price).startswith("This is")


def test_the_nearest_name_counts(runtime):
    def half(x):
        return x / 2

    outer = runtime.put(1)
    with pytest.raises(TypeError, match=r"^`x` is a reference .* `x / 2` needs"):
        half(outer)


def test_in_a_task_it_is_the_same(runtime):
    @runtime.remote
    def total(values):
        return sum(values)

    with pytest.raises(TypeError, match=r"`0 \+ values\[0\]` needs the value"):
        runtime.get(total.remote([runtime.put(1)]))


def test_a_task_that_returns_one_ref_for_two_is_told_so(runtime):
    @runtime.remote(num_returns=2)
    def inner():
        return jray.put(1)

    with pytest.raises(ValueError, match="returned one ObjectRef"):
        runtime.get(inner.remote()[0])


def test_what_refs_can_do_stays(runtime):
    b, c = runtime.put(1), runtime.put(1)
    assert bool(b) is True
    assert (b == 1, b == c, b != c, b == copy.copy(b), c in [b, c]) == (False, False, True, True, True)
    assert {b: 1}[copy.deepcopy(b)] == 1
    assert pickle.loads(pickle.dumps(b)) == b
    assert f"{b}" == str(b) == repr(b) == f"ObjectRef({b.hex()})"
    assert asyncio.run(_awaited(b)) == 1


async def _awaited(ref):
    return await ref


def test_libraries_that_look_for_protocols_find_none(runtime):
    b = runtime.put(1)
    for name in ("_repr_html_", "_ipython_canary_method_should_not_exist_", "__array_interface__", "__dataframe__"):
        with pytest.raises(AttributeError, match=rf"^'ObjectRef' object has no attribute '{name}'$") as caught:
            getattr(b, name)
        assert (caught.value.name, caught.value.obj) == (name, b)


def test_tables_and_arrays_of_references_can_be_made(runtime):
    refs = [runtime.put(1), runtime.put(2)]
    table = pd.DataFrame({"ref": refs, "group": [1, 1]})
    assert list(table["ref"]) == refs
    assert "ObjectRef(" in repr(table)
    assert list(table["ref"].map(jray.get)) == [1, 2]
    assert list(np.array(refs, dtype=object)) == refs


def test_a_ref_cannot_be_made_remote(runtime):
    with pytest.raises(TypeError, match="It is of type ObjectRef"):
        runtime.remote(runtime.put(1))
