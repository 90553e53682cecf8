"""Threads change nothing but the time: the same bits for any number of them, beside each other, after a fork."""

import os
import pickle
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import workload
from planning import gone_through, planned_with
from processes import in_a_process
from test_training import assert_same_bits

import fastbp
from fastbp.bench import cases
from fastbp.bench.networks import cases as network_cases
from fastbp.kernels.sigmoid_layer import GRADIENTS
from fastbp.layers import call
from fastbp.layers.many_rows import LEAST_OF_GROUP, tasks_of_rows
from fastbp.layers.plan import plan_for
from fastbp.layers.program import program_for
from fastbp.networks.state import Change
from fastbp.threads import available
from fastbp.tiles.registers import REGISTER_BITS

pytestmark = pytest.mark.jit_only

# rows, inputs, outputs, dtype
FEW_WEIGHTS = [  # each shard of the rows has a gradient of its own
    (1797, 64, 10, "float32"),
    (1797, 64, 10, "float64"),
    (5000, 300, 33, "float32"),
    (20000, 16, 1, "float64"),
    (20000, 16, 1, "float32"),
    (777, 129, 31, "float64"),  # ragged in all three
    (1100, 20000, 4, "float32"),  # more of them, but few outputs
]
MANY_OUTPUTS = [  # each group of them goes through all rows of a shard
    (1500, 400, 300, "float32"),
    (700, 300, 400, "float64"),
    (5003, 9, 301, "float32"),  # ragged
    (300, 4, 3000, "float64"),
]
MANY_WEIGHTS = [  # all threads work on one gradient
    (1500, 900, 300, "float32"),
    (700, 500, 400, "float64"),
    (1021, 701, 127, "float32"),  # ragged
    (150, 70000, 4, "float32"),
    (19, 8192, 7, "float32"),  # few rows, in parts of some vectors
    (150, 1000, 700, "float32"),  # few parts, of which threads that are many take some outputs each
    (129, 799, 403, "float64"),
]
FEW_ROWS = [  # each group of outputs has its own weights
    (30, 784, 128, "float32"),
    (64, 4096, 16, "float32"),
    (1, 300, 301, "float64"),
    (100, 501, 203, "float64"),
    (20, 1474, 908, "float64"),  # weights that come from memory
]
SMALL = [(7, 3, 2, "float32"), (100, 20, 5, "float64")]  # no work for a second thread
SHAPES = [*FEW_WEIGHTS, *MANY_OUTPUTS, *MANY_WEIGHTS, *FEW_ROWS, *SMALL]
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


def assert_same_bits_for_all_threads(results):
    fastbp.set_num_threads(THREADS[0])
    wanted = results()
    for threads in THREADS[1:]:
        fastbp.set_num_threads(threads)
        assert_all_same_bits(results(), wanted)


@pytest.mark.skipif(REGISTER_BITS != 256, reason="the shapes were chosen for registers of 256 bits")
def test_these_shapes_are_cut_in_every_way():
    def cut(*shapes):
        plans = [plan_for(*shape, np.dtype(dtype), 7, forward=False, update=True) for *shape, dtype in shapes]
        return [
            ("few" if few else "stretch" if many.stretch else many.shards > 1, many.groups > 1)
            for *_, few, _, many in plans
        ]

    assert cut(*FEW_WEIGHTS) == [(True, False)] * len(FEW_WEIGHTS)
    assert cut(*MANY_OUTPUTS) == [(True, True)] * 3 + [(False, True)]
    assert cut(*MANY_WEIGHTS) == [("stretch", outputs >= 2 * LEAST_OF_GROUP) for _, _, outputs, _ in MANY_WEIGHTS]
    assert [way for way, _ in cut(*FEW_ROWS)] == ["few"] * len(FEW_ROWS)


@pytest.mark.skipif(REGISTER_BITS != 256, reason="likewise")
def test_few_rows_of_many_inputs_and_few_outputs_have_work_for_several_threads_in_each_line():
    plan = plan_for(19, 8192, 7, np.dtype("float32"), 2, forward=False, update=True)
    lines, _ = program_for(plan, 19, 8192, 7, GRADIENTS, update=True, last_cost=False)
    assert [tasks for tasks, *_ in lines.tolist()] == [4, 3, 32, 4, 4]


@pytest.mark.skipif(REGISTER_BITS != 256, reason="likewise")
def test_threads_that_outnumber_the_parts_of_a_stretch_take_some_of_its_outputs_each():
    plan = plan_for(150, 1000, 700, np.dtype("float32"), 16, forward=False, update=True)
    assert (plan.many_rows.parts, plan.many_rows.groups) == (4, 4)
    assert [tasks_of_rows(plan.many_rows, threads) for threads in (1, 4, 5, 8, 9, 16)] == [4, 4, 8, 8, 16, 16]


@pytest.mark.parametrize(
    ("shape", "asked"),
    [
        ((1797, 64, 10, "float32"), (0, 0)),  # stays in a level 2 cache
        ((5000, 784, 10, "float32"), (1, 0)),
        ((500, 5000, 1, "float32"), (0, 0)),  # too little to do with each number
        ((500000, 16, 1, "float32"), (1, 0)),
        ((10000, 64, 64, "float32"), (1, 1)),  # y is as much as x
        ((20000, 64, 400, "float32"), (1, 0)),  # but in groups
    ],
    ids=str,
)
def test_x_and_y_are_asked_for_ahead_where_they_come_from_memory_and_there_is_enough_to_do(shape, asked):
    *sizes, dtype = shape
    plan = plan_for(*sizes, np.dtype(dtype), 2, forward=False, update=True).many_rows
    assert (plan.far, plan.far_y) == asked


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_any_number_of_threads(layer, shape):
    assert_same_bits_for_all_threads(lambda: all_results(*layer(*shape)))


@pytest.mark.parametrize("rows", [588, 1204])
def test_same_bits_where_panels_of_one_output_lie_side_by_side(layer, rows):
    """Each is multiplied in tiles of sums, which are as wide as several vectors of float64."""
    with gone_through("stretches"):
        for _ in range(10):
            assert_same_bits_for_all_threads(lambda: all_results(*layer(rows, 500, 1, "float64")))


@pytest.mark.parametrize("shape", MANY_WEIGHTS[:2], ids=str)
def test_same_bits_where_threads_are_so_many_that_each_takes_a_group_of_a_strips_outputs(layer, shape):
    arrays = layer(*shape)
    wanted = all_results(*arrays)
    with planned_with({"TASKS_OF_THREAD": 100}):
        assert_all_same_bits(all_results(*arrays), wanted)


@pytest.mark.parametrize("case", [*cases.CASES, *cases.ODD], ids=lambda case: f"{case.key} {case.shape}")
def test_same_bits_for_any_number_of_threads_in_every_case_of_the_benchmarks(case):
    x, y, w, b, rate, steps = case.problem()

    def results():
        new_w, new_b = w.copy(), b.copy()
        return fastbp.train(x, y, new_w, new_b, learning_rate=rate, steps=steps), new_w, new_b

    assert_same_bits_for_all_threads(results)


@pytest.mark.parametrize("case", network_cases.CASES, ids=lambda case: case.key)
def test_same_bits_for_any_number_of_threads_in_every_network_of_the_benchmarks(case, rounds):
    """The first batches of an epoch say it, since the plan is one of the batch; all of them with --full."""
    some = replace(case, rows=min(case.rows, rounds(20 * (case.batch_size or case.rows) + 7, case.rows)))
    _, x, y, *_ = some.problem()
    kinds = {"activation": case.activation, "output_activation": case.output_activation, "loss": case.loss}
    optimizer = getattr(fastbp, case.optimizer)(learning_rate=case.learning_rate)

    def results():
        network = fastbp.Network(case.sizes, **kinds, dtype=case.dtype, seed=1)
        history = network.fit(x, y, batch_size=case.batch_size, optimizer=optimizer)
        return history["loss"], network.predict(x), *network.weights, *network.biases

    assert_same_bits_for_all_threads(results)


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

    callers = [threading.Thread(target=call, args=item, daemon=True) for item in enumerate(functions)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive(), "it hangs"
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
    for first in range(0, len(SHAPES), 8):
        assert_beside_each_other_as_one_by_one([(*layer(*shape), 5) for shape in SHAPES[first : first + 8]])


def test_one_shared_x_and_y_beside_each_other(layer):
    x, y, w, b = layer(5000, 300, 33, "float32")
    assert_beside_each_other_as_one_by_one(
        [(x, y, w * scale, b, 5) for scale in np.linspace(0.25, 2, 8, dtype=w.dtype)]
    )


def test_the_number_of_threads_may_change_while_others_train(layer):
    x, y, w, b = layer(1797, 64, 10, "float32")
    wanted = trained(x, y, w, b, 50)

    def change():
        for i in range(200):
            fastbp.set_num_threads(1 + i % 4)

    got, other, _ = at_the_same_time(lambda: trained(x, y, w, b, 50), lambda: trained(x, y, w, b, 50), change)
    assert_all_same_bits(got, wanted)
    assert_all_same_bits(other, wanted)


# ----------------------------------------------------------------------------------- one network for several callers

SIZES, ROWS, BATCH = (30, 20, 3), 500, 32
ADAM = fastbp.Adam()


def network_and_rows():
    network = fastbp.Network(SIZES, seed=1)
    return network, *workload.rows_for(network, ROWS)


def test_threads_that_step_one_network_take_turns():
    network, x, y = network_and_rows()
    at_the_same_time(*[lambda: [network.step(x, y, optimizer=ADAM) for _ in range(20)]] * 8)
    alone, *_ = network_and_rows()
    losses = [alone.step(x, y, optimizer=ADAM) for _ in range(160)]
    assert workload.bits_of(network) == workload.bits_of(alone)
    assert network.step(x, y) == alone.step(x, y) < losses[-1]


def test_threads_that_fit_one_network_take_turns_epoch_by_epoch():
    network, x, y = network_and_rows()
    histories = at_the_same_time(*[lambda: network.fit(x, y, epochs=5, batch_size=BATCH, optimizer=ADAM)] * 8)
    alone, *_ = network_and_rows()
    wanted = alone.fit(x, y, epochs=40, batch_size=BATCH, optimizer=ADAM)
    assert workload.bits_of(network) == workload.bits_of(alone)
    assert sorted(loss for history in histories for loss in history["loss"]) == sorted(wanted["loss"])


def test_what_is_predicted_evaluated_or_saved_beside_training_is_as_after_a_whole_epoch(tmp_path):
    network, x, y = network_and_rows()
    epochs = 60
    known = []  # what there may be to see, epoch by epoch

    def sights(of):
        return of.predict(x).tobytes(), of.evaluate(x, y)["loss"], of.gradients(x, y)[0]

    known = [sights(network)]
    network.fit(x, y, epochs=epochs, batch_size=BATCH, callback=lambda *_: known.append(sights(network)))
    network, *_ = network_and_rows()
    over = threading.Event()

    def train():
        network.fit(x, y, epochs=epochs, batch_size=BATCH)
        over.set()

    def look(sight):
        seen = []
        while not over.is_set():
            seen.append(sight())
        return seen

    def saved():
        path = tmp_path / f"{threading.get_ident()}.safetensors"
        network.save(path)
        return sights(fastbp.Network.load(path))

    _, predicted, evaluated, differentiated, files = at_the_same_time(
        train,
        lambda: look(lambda: network.predict(x).tobytes()),
        lambda: look(lambda: network.evaluate(x, y)["loss"]),
        lambda: look(lambda: network.gradients(x, y)[0]),
        lambda: look(saved),
    )
    for seen, wanted in zip(
        (predicted, evaluated, differentiated, files), (*zip(*known, strict=True), known), strict=True
    ):
        assert seen
        assert set(seen) <= set(wanted)


def test_a_callback_may_wait_for_another_thread_that_uses_the_network():
    network, x, y = network_and_rows()
    for use in (lambda: network.predict(x), lambda: network.step(x, y), lambda: network.fit(x, y)):
        at_once = []
        network.fit(x, y, epochs=2, callback=lambda *_, use=use, got=at_once: got.extend(at_the_same_time(use)))
        assert len(at_once) == 2


class Announcing:
    """A lock that says when somebody comes for it."""

    def __init__(self, lock):
        self._lock, self.wanted = lock, threading.Event()

    def __enter__(self):
        self.wanted.set()
        return self._lock.__enter__()

    def __exit__(self, *error):
        return self._lock.__exit__(*error)

    def _is_owned(self):
        return self._lock._is_owned()


@pytest.mark.parametrize("use", ["step", "fit", "predict", "evaluate", "gradients", "save", "pickle"])
def test_who_waited_while_a_change_was_cut_off_finds_the_network_as_it_was(tmp_path, use):
    """Ctrl-C may cut off a change, and a second one its settlement: who has the next turn settles it."""
    network, x, y = network_and_rows()
    alone, *_ = network_and_rows()

    def used(network):
        return {
            "step": lambda: (network.step(x, y), workload.bits_of(network)),
            "fit": lambda: (network.fit(x, y, optimizer=ADAM)["loss"].tobytes(), workload.bits_of(network)),
            "predict": lambda: network.predict(x).tobytes(),
            "evaluate": lambda: network.evaluate(x, y),
            "gradients": lambda: network.gradients(x, y)[1][0][0].tobytes(),
            "save": lambda: (network.save(tmp_path / "network"), (tmp_path / "network").read_bytes()),
            "pickle": lambda: workload.bits_of(pickle.loads(pickle.dumps(network))),
        }[use]()

    state = network._state
    state._lock = lock = Announcing(state._lock)
    got = []
    waiting = threading.Thread(target=lambda: got.append(used(network)), daemon=True)
    with lock._lock:
        if use in ("predict", "evaluate"):
            state._change = "somebody's"  # so that they want a turn
        waiting.start()
        assert lock.wanted.wait(timeout=60)
        state._change = None
        state.begin(Change(state.snapshot(), None))
        state.parameters[...] = 7  # of half a change, which nobody settles
    waiting.join(timeout=60)
    assert got == [used(alone)]


def test_a_prediction_that_a_change_has_overtaken_is_made_again(monkeypatch):
    from fastbp.networks import engine

    network, x, y = network_and_rows()
    predict, seen = engine.predict, []

    def overtaken(*arguments):
        seen.append(predict(*arguments))
        if len(seen) == 1:
            at_the_same_time(lambda: network.step(x, y))
            seen[0].fill(np.nan)  # of half a step
        return seen[-1]

    monkeypatch.setattr(engine, "predict", overtaken)
    y_pred = network.predict(x)
    assert len(seen) == 2
    assert_same_bits(y_pred, network.predict(x))


def test_predictions_do_not_wait_for_each_other(monkeypatch):
    """Eight that can only go on together."""
    from fastbp.networks import engine

    network, x, _ = network_and_rows()
    predict, together = engine.predict, threading.Barrier(8, timeout=60)

    def meeting(*arguments):
        together.wait()
        return predict(*arguments)

    wanted = network.predict(x)
    monkeypatch.setattr(engine, "predict", meeting)
    for y_pred in at_the_same_time(*[lambda: network.predict(x)] * 8):
        assert_same_bits(y_pred, wanted)


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


def test_threads_that_could_not_be_of_use_take_no_memory(layer):
    x, _, w, b = layer(1_000_000, 16, 1, "float32")
    wanted = fastbp.forward(x, w, b)
    fastbp.set_num_threads(10**6)
    assert_same_bits(fastbp.forward(x, w, b), wanted)
    (*_, last) = call._kept.calls.values()
    assert last.plan.threads <= max(64, available())
    assert last.memory.nbytes < 8 * 1024 * 1024


# ------------------------------------------------------------------------------------------ beside what else may run

# Eight callers train layers and networks of their own and predict with one that they share, while another thread keeps
# Numba's threads busy with a loop of its own.
BESIDE = """
import threading
import numba
import numpy as np
import fastbp, workload

@numba.njit(parallel=True)
def total(numbers):
    result = 0.0
    for i in numba.prange(numbers.size):
        result += numbers[i]
    return result

numbers = np.ones(100_000)
shared = fastbp.Network([300, 200, 10], seed=3)
x, _ = workload.rows_for(shared, 700)
everything = lambda: [*workload.trained(), shared.predict(x).tobytes()]
wanted = everything()
got = {}
callers = [threading.Thread(target=lambda i=i: got.update({i: everything()})) for i in range(8)]
[caller.start() for caller in callers]
while any(caller.is_alive() for caller in callers):
    assert total(numbers) == 100_000
assert list(got.values()) == [wanted] * 8
print(numba.threading_layer())
"""


@pytest.mark.parametrize("name", ["omp", "tbb", "workqueue"])
def test_eight_callers_beside_any_threading_layer_of_numba(name):
    libraries = os.pathsep.join([os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")])
    try:
        said = in_a_process("-c", BESIDE, NUMBA_THREADING_LAYER=name, LD_LIBRARY_PATH=libraries)
    except AssertionError as error:
        if "No threading layer could be loaded" in str(error):
            pytest.skip(f"no {name} here")
        raise
    assert said.split() == [name]
