"""Child processes: each works, whatever its parent or another thread of it was doing, and none hangs."""

import os

import pytest
from processes import in_a_process

pytestmark = [
    pytest.mark.jit_only,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# What all scripts below begin with. A child that hangs is ended by SIGALRM, and counts as one that failed.
FORKING = """
import os, signal, sys, threading, time
import numpy as np
import fastbp, workload
from processes import status_of_a_child

def forked(function):
    status = status_of_a_child(lambda: signal.alarm(60), function)
    assert status == 0, f"the child ended with {status}"
"""

AFTER_A_STEP = """
threads = fastbp.get_num_threads()
wanted = workload.trained() if {parent_trains} else None

def child():
    assert fastbp.get_num_threads() == threads, "a child has as many threads as its parent"
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
    got = workload.trained()
    assert wanted is None or got == wanted, "other bits"
    if threads > 1:
        assert "fastbp-1" in [thread.name for thread in threading.enumerate()], "helpers of its own"

forked(child)
forked(lambda: (child(), forked(child)))  # and a child of a child
again = workload.trained()
assert wanted is None or again == wanted, "the parent is another after the fork"
"""


@pytest.mark.parametrize("parent_trains", [True, False])
def test_a_forked_child_trains_to_the_same_bits(parent_trains):
    in_a_process("-c", FORKING + AFTER_A_STEP.format(parent_trains=parent_trains))


STARTED = """
import multiprocessing
import workload

if __name__ == "__main__":
    wanted = workload.trained()
    context = multiprocessing.get_context("{method}")
    if "{method}" == "forkserver":
        context.set_forkserver_preload(["workload"])
    with context.Pool(2) as pool:
        assert pool.starmap(workload.trained, [()] * 4) == [wanted] * 4
    assert workload.trained() == wanted
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_trains_to_the_same_bits(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(STARTED.format(method=method))
    in_a_process(str(script))


JOBS = """
import copy
import fastbp, joblib, workload

def fitted(network, x, y):
    network.fit(x, y, epochs=1)
    return network

wanted = workload.trained()
network = fastbp.Network([8, 16, 3], seed=1)
x, y = workload.rows_for(network, 300)
with joblib.parallel_config(backend="{backend}", n_jobs=2):
    assert joblib.Parallel()(joblib.delayed(workload.trained)() for _ in range(4)) == [wanted] * 4
    networks = joblib.Parallel()(joblib.delayed(fitted)(copy.deepcopy(network), x, y) for _ in range(4))
network = fitted(fastbp.Network([8, 16, 3], seed=1), x, y)
for other in networks:  # it went there and came back
    assert workload.bits_of(other) == workload.bits_of(network)
    other.fit(x, y, epochs=1)
network.fit(x, y, epochs=1)
assert all(workload.bits_of(other) == workload.bits_of(network) for other in networks)
"""


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_the_jobs_of_joblib_train_to_the_same_bits(backend):
    in_a_process("-c", JOBS.format(backend=backend))


BESIDE_A_LAYER = """
x, y, w, b = workload.layer(1500, 900, 300, "float32")
fastbp.step(x, y, w.copy(), b.copy())
stop = threading.Event()

def train():
    while not stop.is_set():
        fastbp.train(x, y, w, b, steps=20)

threading.Thread(target=train, daemon=True).start()
wanted = None
for wait in np.random.default_rng(1).uniform(0, 0.05, {times}):
    time.sleep(wait)
    forked(workload.trained)
stop.set()
"""

BESIDE_A_NETWORK = """
sizes, rows, batch = (300, 200, 10), 5000, 128
x, y = workload.rows_for(fastbp.Network(sizes), rows)

def fit(network, epochs, callback=None):
    network.fit(x, y, epochs=epochs, batch_size=batch, optimizer=fastbp.Adam(), callback=callback)

def child(network):
    epochs, batches = divmod(network._state.updates, -(-rows // batch))
    assert batches == 0, f"{{batches}} batches of an epoch that was not finished"
    again = fastbp.Network(sizes)
    fit(again, epochs)
    assert workload.bits_of(network) == workload.bits_of(again), f"not as after {{epochs}} epochs"
    fit(network, 1)
    fit(again, 1)
    assert workload.bits_of(network) == workload.bits_of(again), f"another order of the rows in epoch {{epochs}}"

fit(fastbp.Network(sizes), 1)  # compiled
for wait in np.random.default_rng(1).uniform(0, 0.2, {times}):
    network, over = fastbp.Network(sizes), threading.Event()
    training = threading.Thread(target=fit, args=(network, 10**6, lambda *_: over.is_set()), daemon=True)
    training.start()
    time.sleep(wait)
    forked(lambda: child(network))
    over.set()
    training.join()
"""


@pytest.mark.parametrize("beside", [BESIDE_A_LAYER, BESIDE_A_NETWORK], ids=["a layer", "a network"])
def test_a_fork_while_another_thread_trains_undoes_what_was_half_done(beside, rounds):
    in_a_process("-c", FORKING + beside.format(times=rounds(8, 60)))


BESIDE_THE_COMPILER = """
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
compiling = threading.Thread(target=fastbp.sigmoid, args=(0.0,))
compiling.start()
while not recorder.buffer:
    time.sleep(0.001)
forked(lambda: print(fastbp.sigmoid(0.0)))
compiling.join()
"""


def test_a_fork_while_another_thread_compiles_does_not_hang(tmp_path):
    in_a_process("-c", FORKING + BESIDE_THE_COMPILER, FASTBP_CACHE_DIR=str(tmp_path))


BESIDE_THE_IMPORT = """
importing = threading.Thread(target=fastbp.sigmoid, args=(0.0,))
importing.start()
time.sleep({wait})
forked(lambda: print(fastbp.sigmoid(0.0)))
importing.join()
"""


@pytest.mark.parametrize("wait", [0.05, 0.2, 0.4])
def test_a_fork_while_another_thread_imports_the_kernels_does_not_hang(wait):
    """The lock of a module that is half imported would never be given back in the child."""
    in_a_process("-c", FORKING + BESIDE_THE_IMPORT.format(wait=wait))
