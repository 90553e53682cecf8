"""Threads change nothing but the time: the same bits for any number of them, beside each other, after a fork."""

import os
import threading

import numba
import numpy as np
import pytest
from processes import in_a_process
from test_training import assert_same_bits

import fastbp

pytestmark = pytest.mark.jit_only

# rows, inputs, outputs, dtype
FEW_WEIGHTS = [  # each shard of the rows has a gradient of its own
    (1797, 64, 10, "float32"),
    (1797, 64, 10, "float64"),
    (5000, 300, 33, "float32"),
    (20000, 16, 1, "float64"),
    (20000, 16, 1, "float32"),
    (777, 129, 31, "float64"),  # ragged in all three
]
MANY_WEIGHTS = [  # all threads work on one gradient
    (1500, 400, 300, "float32"),
    (700, 300, 400, "float64"),
    (1021, 701, 127, "float32"),  # ragged
    (1100, 20000, 4, "float32"),
]
FEW_ROWS = [  # each group of outputs has its own weights
    (30, 784, 128, "float32"),
    (64, 4096, 16, "float32"),
    (1, 300, 301, "float64"),
    (200, 501, 203, "float64"),
]
SMALL = [(7, 3, 2, "float32"), (100, 20, 5, "float64")]  # no work for a second thread
SHAPES = [*FEW_WEIGHTS, *MANY_WEIGHTS, *FEW_ROWS, *SMALL]
THREADS = [1, 2, 3, 7]


@pytest.fixture(autouse=True)
def threads_as_before():
    before = fastbp.get_num_threads()
    yield
    fastbp.set_num_threads(before)


def all_results(x, y, w, b):
    """What each function returns, and the weights that it leaves."""
    results = [fastbp.forward(x, w, b), *fastbp.gradients(x, y, w, b)]
    for update in (fastbp.step, lambda *layer, **options: fastbp.train(*layer, steps=3, **options)):
        new_w, new_b = w.copy(), b.copy()
        results += [update(x, y, new_w, new_b, learning_rate=0.01), new_w, new_b]
    return [np.asarray(result) for result in results]


def assert_all_same_bits(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_any_number_of_threads(layer, shape):
    x, y, w, b = layer(*shape)
    fastbp.set_num_threads(THREADS[0])
    wanted = all_results(x, y, w, b)
    for threads in THREADS[1:]:
        fastbp.set_num_threads(threads)
        assert_all_same_bits(all_results(x, y, w, b), wanted)


@pytest.mark.parametrize("shape", [FEW_WEIGHTS[0], MANY_WEIGHTS[0]], ids=str)
def test_same_bits_whatever_numba_is_set_to(layer, shape):
    before = numba.get_num_threads()
    wanted = all_results(*layer(*shape))
    try:
        numba.set_num_threads(1)
        assert_all_same_bits(all_results(*layer(*shape)), wanted)
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("threads", THREADS)
def test_numba_keeps_its_own_number_of_threads(layer, threads):
    before = numba.get_num_threads()
    fastbp.set_num_threads(threads)
    for shape in (FEW_WEIGHTS[0], MANY_WEIGHTS[0]):
        fastbp.step(*layer(*shape))
        assert numba.get_num_threads() == before


# ------------------------------------------------------------------------------------------- several callers at a time


def at_the_same_time(*functions):
    """The results of functions that start together, a Python thread each."""
    results, gate = [None] * len(functions), threading.Barrier(len(functions))

    def call(i, function):
        gate.wait()
        try:
            results[i] = function()
        except BaseException as error:
            results[i] = error

    callers = [threading.Thread(target=call, args=item) for item in enumerate(functions)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def trained(x, y, w, b, steps):
    w, b = w.copy(), b.copy()
    return fastbp.train(x, y, w, b, learning_rate=0.01, steps=steps), w, b


def assert_beside_each_other_as_one_by_one(problems):
    wanted = [trained(*problem) for problem in problems]
    for _ in range(2):
        got = at_the_same_time(*(lambda problem=problem: trained(*problem) for problem in problems))
        for one, other in zip(got, wanted, strict=True):
            assert_all_same_bits(one, other)


def test_different_problems_beside_each_other(layer):
    assert_beside_each_other_as_one_by_one([(*layer(*shape), 5) for shape in SHAPES])


def test_one_shared_x_and_y_beside_each_other(layer):
    x, y, w, b = layer(5000, 300, 33, "float32")
    assert_beside_each_other_as_one_by_one([(x, y, w * scale, b, 5) for scale in (0.25, 0.5, 1, 2)])


def test_the_number_of_threads_may_change_while_others_train(layer):
    x, y, w, b = layer(1797, 64, 10, "float32")
    wanted = trained(x, y, w, b, 50)

    def change():
        for i in range(200):
            fastbp.set_num_threads(1 + i % 4)

    got, other, _ = at_the_same_time(lambda: trained(x, y, w, b, 50), lambda: trained(x, y, w, b, 50), change)
    assert_all_same_bits(got, wanted)
    assert_all_same_bits(other, wanted)


# --------------------------------------------------------------------------------------------------- what n may be

NOT_N = [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError), (2.0, TypeError)]


@pytest.mark.parametrize(("n", "error"), NOT_N)
def test_set_num_threads_refuses_what_is_no_number_of_threads(n, error):
    before = fastbp.get_num_threads()
    with pytest.raises(error, match=r"\bn is "):
        fastbp.set_num_threads(n)
    assert fastbp.get_num_threads() == before


@pytest.mark.parametrize("n", [1, 2, np.int64(3), np.uint8(64), 10**6], ids=repr)
def test_set_num_threads_takes_any_whole_number_from_one_on(layer, n):
    fastbp.set_num_threads(n)
    assert fastbp.get_num_threads() == n
    assert type(fastbp.get_num_threads()) is int


# ------------------------------------------------------------------------------------------------- processes and layers

PROLOGUE = """
import os, sys
import numpy as np
import fastbp

def layer(rows, inputs, outputs, dtype):
    rng = np.random.default_rng([rows, inputs, outputs])
    sizes = (rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)
    return [rng.uniform(-0.1, 0.1, size).astype(dtype) for size in sizes]

def trained():
    results = []
    for shape in [(1797, 64, 10, "float32"), (1500, 400, 300, "float32"), (7, 3, 2, "float32")]:
        x, y, w, b = layer(*shape)
        results += [fastbp.train(x, y, w, b, steps=3).tobytes(), w.tobytes(), b.tobytes()]
    return results
"""

FORK = """
import threading
threads = fastbp.get_num_threads()
wanted = trained() if {parent_trains} else None

def child():
    assert fastbp.get_num_threads() == threads, "a child has as many threads as its parent"
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
    got = trained()
    assert wanted is None or got == wanted, "other bits"
    if threads > 1:
        assert "fastbp-1" in [thread.name for thread in threading.enumerate()], "helpers of its own"

def forked(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {{status}}"

forked(child)
forked(lambda: (child(), forked(child)))  # and a child of a child
again = trained()
assert wanted is None or again == wanted, "the parent is another after the fork"
"""

SPAWN = """
import multiprocessing

if __name__ == "__main__":
    wanted = trained()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(trained) == wanted
"""

SEVERAL = """
import threading
import numba
import numpy as np

@numba.njit(parallel=True)
def total(numbers):
    result = 0.0
    for i in numba.prange(numbers.size):
        result += numbers[i]
    return result

assert total(np.ones(100_000)) == 100_000
wanted = trained()
got = {}
callers = [threading.Thread(target=lambda i=i: got.update({i: trained()})) for i in range(4)]
[caller.start() for caller in callers]
[caller.join() for caller in callers]
assert list(got.values()) == [wanted] * 4
assert total(np.ones(100_000)) == 100_000
print(numba.threading_layer())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("parent_trains", [True, False])
def test_a_forked_child_trains_to_the_same_bits(parent_trains):
    in_a_process("-c", PROLOGUE + FORK.format(parent_trains=parent_trains))


def test_a_spawned_child_trains_to_the_same_bits(tmp_path):
    script = tmp_path / "spawning.py"
    script.write_text(PROLOGUE + SPAWN)
    in_a_process(str(script))


@pytest.mark.parametrize("name", ["omp", "tbb", "workqueue"])
def test_several_callers_beside_any_threading_layer_of_numba(name):
    try:
        said = in_a_process("-c", PROLOGUE + SEVERAL, NUMBA_THREADING_LAYER=name)
    except AssertionError as error:
        if "No threading layer could be loaded" in str(error):
            pytest.skip(f"no {name} here")
        raise
    assert said.split() == [name]
