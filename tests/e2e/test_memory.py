"""`Out` and `%jray memory` in a real kernel."""

from __future__ import annotations

BIG = "jray.put(np.zeros(1_000_000))"


def memory(kernel):
    cell = kernel.run("%jray memory")
    assert cell.error == "", cell.error
    return cell.displays[0].splitlines()


def test_a_result_that_scrolls_out_of_the_underscores_is_freed_and_said_to_be_gone(kernel):
    kernel.run("import numpy as np")
    made = kernel.run(BIG)
    number = made.label.removeprefix("In")
    (row,) = memory(kernel)[2:]
    assert row.split("  ")[0] == "7.6 MiB"
    assert f"_, Out{number}" in row
    for _ in range(4):
        kernel.run("0")
    assert memory(kernel)[0].startswith("0 objects; shared memory: 0 B of ")

    gone = kernel.run(f"jray.get(Out{number})")

    assert f"The object of Out{number} is gone: made by In{number}, freed since." in gone.error


def test_an_array_keeps_its_object_until_it_goes_and_the_browser_gets_a_bar(kernel):
    kernel.run(f"import numpy as np\nref = {BIG}\na = jray.get(ref)\ndel ref")
    (row,) = memory(kernel)[2:]
    assert "a (array)" in row
    html = kernel.value("get_ipython().run_line_magic('jray', 'memory')._repr_html_()")
    assert "being read: 7.6 MiB" in html
    kernel.run("del a")
    assert memory(kernel)[0].startswith("0 objects")
