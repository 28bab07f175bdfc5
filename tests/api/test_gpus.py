"""GPUs as a resource. None is needed: what a task has of them is its ids, and the variable that CUDA looks at."""

from __future__ import annotations

import os

import pytest

import jray
from jray.runtime.system import usable_gpus, visible_gpus
from tests.support.gates import Gate


def look():
    """What a task sees: its process, its GPUs, and what CUDA would find."""
    return os.getpid(), jray.get_gpu_ids(), os.environ["CUDA_VISIBLE_DEVICES"]


class Loads:
    """Notes what CUDA would find when the value is unpickled: modules are imported then."""

    def __init__(self, seen="nothing yet"):
        self.seen = seen

    def __reduce__(self):
        return eval, (
            "__import__('tests.api.test_gpus', fromlist=['x']).Loads(__import__('os').environ['CUDA_VISIBLE_DEVICES'])",
        )


@pytest.fixture(autouse=True)
def _no_gpus_are_hidden(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def ray(runtime_with):
    return runtime_with(num_cpus=4, num_gpus=2)


def test_gpus_are_a_resource_like_any_other(ray, tmp_path):
    gate = Gate(tmp_path)
    assert ray.cluster_resources() == {"CPU": 4.0, "GPU": 2.0}
    ref = ray.remote(num_gpus=0.25)(gate.pass_through).remote()
    gate.wait_for_arrival()
    assert ray.available_resources() == {"CPU": 3.0, "GPU": 1.75}
    gate.open()
    ray.get(ref)
    assert ray.available_resources() == {"CPU": 4.0, "GPU": 2.0}


def test_tasks_at_the_same_time_have_different_gpus(ray, tmp_path):
    gate = Gate(tmp_path)

    @ray.remote(num_gpus=1)
    def look_together():
        gate.pass_through()
        return look()

    refs = [look_together.remote() for _ in range(2)]
    third = look_together.remote()
    gate.wait_for_arrival()
    gate.wait_for_arrival()
    assert "GPU" not in ray.available_resources()
    gate.open()
    gate.open()
    gate.let_through()
    (one, one_id, one_sees), (other, other_id, other_sees) = sorted(ray.get(refs), key=lambda saw: saw[1])
    assert (one_id, one_sees, other_id, other_sees) == ([0], "0", [1], "1")
    assert ray.get(third)[0] in {one, other}  # it had the first GPU that came free, and the process that goes with it


def test_a_task_without_gpus_sees_none(ray):
    assert ray.get(ray.remote(look).remote())[1:] == ([], "")


def test_cuda_would_find_the_same_gpus_while_arguments_and_code_are_loaded(ray):
    inner = Loads()
    seen = ray.remote(lambda value: (value.seen, inner.seen))

    assert ray.get(seen.options(num_gpus=2).remote(Loads())) == ("0,1", "0,1")
    assert ray.get(seen.options(num_gpus=1).remote(Loads())) in {("0", "0"), ("1", "1")}
    assert ray.get(seen.remote(Loads())) == ("", "")


def test_fractions_share_a_gpu(ray, tmp_path):
    gate = Gate(tmp_path)

    @ray.remote(num_gpus=0.5, num_cpus=0.5)
    def look_together():
        gate.pass_through()
        return look()

    refs = [look_together.remote() for _ in range(4)]
    for _ in refs:
        gate.wait_for_arrival()
    for _ in refs:
        gate.open()
    saw = ray.get(refs)
    assert len({pid for pid, _, _ in saw}) == 4
    assert sorted(sees for _, _, sees in saw) == ["0", "0", "1", "1"]


def test_another_gpu_is_another_process_and_the_first_has_ended(ray):
    one = ray.get(ray.remote(num_gpus=1)(look).remote())
    again = ray.get(ray.remote(num_gpus=1)(look).remote())
    both = ray.get(ray.remote(num_gpus=2)(look).remote())
    without = ray.get(ray.remote(look).remote())

    assert one == again
    assert both[1] == [0, 1]
    assert len({one[0], both[0], without[0]}) == 3
    with pytest.raises(ProcessLookupError):  # before the other got what it had
        os.kill(one[0], 0)


def test_a_blocked_task_keeps_its_gpu(ray):
    @ray.remote(num_gpus=1)
    def parent():
        before = look()
        child = ray.get(ray.remote(num_gpus=1)(look).remote())
        free = ray.available_resources().get("GPU")
        return before, child, free, look()

    before, child, free, after = ray.get(parent.remote())
    assert before == after
    assert before[1] != child[1]
    assert free == 1


def test_the_context_names_the_gpus_of_the_task(ray):
    assert ray.get(ray.remote(num_gpus=2)(lambda: ray.get_runtime_context().get_accelerator_ids()).remote()) == {
        "GPU": ["0", "1"]
    }
    assert ray.get_runtime_context().get_accelerator_ids() == {"GPU": []}
    assert ray.get_gpu_ids() == []  # in the user's own process, as in Ray


@pytest.mark.parametrize("names", [["3", "5"], ["GPU-8932f937-d72c", "MIG-GPU-1a2b/3/0"]])
def test_the_names_of_the_kernel_s_own_variable_are_kept(runtime_with, monkeypatch, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ", ".join(names))
    ray = runtime_with(num_cpus=2)
    assert ray.cluster_resources()["GPU"] == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")  # workers see what was here when the runtime started

    assert ray.get(ray.remote(num_gpus=2)(look).remote())[1:] == (names, ",".join(names))
    assert ray.get(ray.remote(num_gpus=1)(look).remote())[1:] == (names[:1], names[0])
    assert ray.get(ray.remote(look).remote())[2] == ""


@pytest.mark.parametrize(
    ("variable", "visible"),
    [
        ("", []),
        ("0", ["0"]),
        ("0,1", ["0", "1"]),
        ("1,-1,0", ["1"]),
        ("NoDevFiles", []),
        ("GPU-8, MIG-1", ["GPU-8", "MIG-1"]),
    ],
)
def test_what_there_is_follows_the_variable_as_cuda_reads_it(monkeypatch, variable, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == visible
    assert usable_gpus() == len(visible)


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia/gpus"), reason="the driver is here, and answers itself")
def test_without_the_variable_the_driver_s_tool_is_asked(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\nprintf 'GPU 0: A100 (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\\nGPU 1: A100\\n'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert usable_gpus() == 2
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert usable_gpus() == 0


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (0.5, ValueError, "A machine has whole GPUs only"),
        (1.5, ValueError, "whole number"),
        (-1, ValueError, "negative"),
        ("one", TypeError, "Give a number"),
        (3, ValueError, "CUDA_VISIBLE_DEVICES, as it is here, names 2"),
    ],
)
def test_init_takes_whole_gpus_that_are_visible(monkeypatch, number, error, says):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(error, match=says):
        jray.init(num_gpus=number)
    assert not jray.is_initialized()


def test_no_gpus_are_no_resource(runtime_with):
    assert "GPU" not in runtime_with(num_cpus=1, num_gpus=0).cluster_resources()
