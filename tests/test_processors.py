"""The processors that fastbp takes: those that system and caller leave to it; and it changes nobody else's share."""

import contextlib
import os
from pathlib import Path

import pytest
from processes import in_a_process

from fastbp import quota

# Trains with as many threads as it may, and as many more as it can be told; prints (threads, helpers).
THREADS = """
import threading
import fastbp, workload
print(fastbp.get_num_threads())
workload.trained()
fastbp.set_num_threads(64)
workload.trained()
print(sum(thread.name.startswith("fastbp-") for thread in threading.enumerate()))
"""


def threads_and_helpers(command=THREADS, **changes):
    """Of a process; NUMBA_NUM_THREADS is not set unless it is asked for."""
    return [int(number) for number in in_a_process("-c", command, **{"NUMBA_NUM_THREADS": None, **changes}).split()]


@pytest.mark.jit_only
@pytest.mark.parametrize("number", [1, 2, 3])
def test_numba_num_threads_is_honoured(number):
    assert threads_and_helpers(NUMBA_NUM_THREADS=str(number)) == [number, number - 1]


@pytest.mark.jit_only
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_no_more_threads_than_processors_that_the_process_may_run_on():
    allowed = sorted(os.sched_getaffinity(0))
    for number in range(1, min(3, len(allowed)) + 1):
        bound = f"import os; os.sched_setaffinity(0, {allowed[:number]})\n"
        assert threads_and_helpers(bound + THREADS) == [number, number - 1]


@contextlib.contextmanager
def control_group(percent):
    """The file that takes a process into a group with so much of one processor."""
    version_1, version_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (version_1 if version_1.is_dir() else version_2) / f"fastbp-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if version_1.is_dir():
            (group / "cpu.cfs_quota_us").write_text(str(1000 * percent))
        else:
            (group / "cpu.max").write_text(f"{1000 * percent} 100000")
        yield group / "cgroup.procs"
    except OSError as error:
        pytest.skip(f"no quota can be set here: {error}")
    finally:
        group.rmdir()


@pytest.mark.jit_only
@pytest.mark.parametrize(("percent", "number"), [(50, 1), (100, 1), (150, 1), (6400, None)])
def test_no_more_threads_than_the_quota_of_the_control_group(percent, number):
    number = number or len(os.sched_getaffinity(0))
    with control_group(percent) as processes:
        inside = f"from pathlib import Path; Path({str(processes)!r}).write_text('0')\n"
        assert threads_and_helpers(inside + THREADS) == [number, number - 1]
        assert threads_and_helpers(inside + THREADS, NUMBA_NUM_THREADS="3") == [3, 2], (
            "what the caller sets comes first"
        )


# /proc/self/cgroup, files below /sys/fs/cgroup, processors
GROUPS = {
    "version 2": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "version 2, no quota": ("0::/\n", {"cpu.max": "max 100000\n"}, float("inf")),
    "version 2, around it": ("0::/a/b\n", {"a/cpu.max": "50000 25000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
    "version 2, the smallest": ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "300000 100000"}, 1.0),
    "version 2, not visible": ("0::/../other\n", {"cgroup.procs": ""}, float("inf")),
    "version 1": (
        "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n", "unified/cgroup.procs": ""},
        2.5,
    ),
    "version 1, no quota": (
        "1:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        float("inf"),
    ),
    "version 1, in a container": (
        "5:cpuset:/\n4:cpuacct,cpu:/docker/0123\n",
        {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        3.0,
    ),
    "a path with colons": (
        "0::/kubelet.slice:cri-containerd:0123\n",
        {"kubelet.slice:cri-containerd:0123/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "version 1, another controller's path": (
        "5:cpuset:/other\n4:cpu,cpuacct:/own\n",
        {
            "cpu/own/cpu.cfs_quota_us": "300000\n",
            "cpu/own/cpu.cfs_period_us": "100000\n",
            "cpu/other/cpu.cfs_quota_us": "100000\n",
            "cpu/other/cpu.cfs_period_us": "100000\n",
        },
        3.0,
    ),
    "another format": ("what is this\n", {"cpu.max": "100000 100000"}, float("inf")),
    "a damaged quota": ("0::/\n", {"cpu.max": "much\n"}, float("inf")),
}


@pytest.mark.parametrize("group", GROUPS)
def test_the_smallest_quota_around_the_process_counts(tmp_path, group):
    own, files, wanted = GROUPS[group]
    for name, text in {
        "proc/self/cgroup": own,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota.processors(tmp_path) == wanted


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert quota.processors(tmp_path) == float("inf")


SETTINGS = """
import os
import numba, numpy as np, threadpoolctl
np.ones((99, 99)) @ np.ones((99, 99))
numba.set_num_threads(1)
numba.njit(lambda: 0)()  # imports SciPy's BLAS, if that is installed

def settings():
    pools = sorted((pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info())
    return pools, numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS, dict(os.environ), os.sched_getaffinity(0)

for limit in 2, 1:
    with threadpoolctl.threadpool_limits(limit):
        before = settings()
        import fastbp, workload
        assert settings() == before, "an import"
        for threads in 1, 2, 3:
            fastbp.set_num_threads(threads)
            workload.trained()
            assert settings() == before, f"{threads} threads"
"""


@pytest.mark.jit_only
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_the_callers_settings_of_numba_blas_and_the_process_stay_as_they_were():
    in_a_process("-c", SETTINGS)
