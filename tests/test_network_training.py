"""What the fused network promises beyond its numbers: bits, memory, compilation, files, and when it ends."""

import contextlib
import json
import tracemalloc
import types

import hypothesis
import hypothesis.strategies as st
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from interrupted import interrupt_after
from network_state import everything, generator_of
from processes import in_a_process
from test_training import assert_same_bits

import fastbp
from fastbp import contract, pace, reference
from fastbp.history import History
from fastbp.kernels import network as kernels
from fastbp.kernels.network import FIRST_ROW, GROUPS, LAST_ROW
from fastbp.kernels.program import TASKS
from fastbp.networks import division, engine, program
from fastbp.networks.division import PREDICT, TRAIN
from fastbp.networks.plan import setup_for
from fastbp.networks.session import Kind, Session
from fastbp.reference.network import shuffled
from fastbp.tiles.registers import REGISTER_BITS, TILE_VECTORS, lanes_of

matplotlib.use("Agg")

# name: sizes, rows, batch_size, options of the network, optimizer
CASES = {
    "one panel": ([8, 16, 16, 1], 100, 32, {}, fastbp.SGD(learning_rate=0.1)),
    "one panel of many layers": ([90, 60, 50, 61, 70, 60, 50, 9], 100, 30, {"activation": "relu"}, fastbp.Adam()),
    "shards": ([4, 32, 16, 4], 10_000, None, {"activation": "tanh"}, fastbp.Adam()),
    "ragged shards": ([7, 33, 5], 3001, 1000, {"activation": "leaky_relu"}, fastbp.SGD(momentum=0.9, clip_norm=0.1)),
    "shards, followed by two": ([60, 33, 5], 300, 100, {"activation": "relu"}, fastbp.Adam()),
    "shards, clipped by two": ([60, 33, 5], 290, 100, {}, fastbp.SGD(momentum=0.9, clip_norm=0.1)),
    "layer by layer": ([300, 128, 10], 500, 32, {"loss": "cross_entropy"}, fastbp.SGD(learning_rate=0.1)),
    "ragged layers": ([301, 129, 65, 11], 203, 67, {"activation": "relu"}, fastbp.AdamW()),
    "clipped layers": ([300, 128, 10], 500, 64, {"loss": "cross_entropy"}, fastbp.Adam(clip_norm=0.5)),
    "strips": ([305, 140, 31, 3], 310, 150, {"activation": "tanh"}, fastbp.Adam()),
    "strips of shards": ([403, 20, 9], 1530, None, {"loss": "binary_cross_entropy"}, fastbp.SGD(clip_norm=0.5)),
    "copies": ([200, 300, 20], 3001, None, {"loss": "binary_cross_entropy"}, fastbp.SGD(momentum=0.9, nesterov=True)),
    "clipped copies": ([151, 260, 20], 1100, 1030, {"activation": "tanh"}, fastbp.Adam(clip_norm=0.5)),
    "stretches": ([291, 1000, 5], 700, None, {"loss": "binary_cross_entropy"}, fastbp.SGD(momentum=0.9)),
    "cuts": ([520, 16, 10], 170, 50, {"loss": "cross_entropy"}, fastbp.SGD(learning_rate=0.1)),
    "ragged cuts": ([1001, 13, 17, 7], 130, 37, {"activation": "relu"}, fastbp.AdamW()),
    "clipped cuts": ([900, 21, 3], 110, 41, {"activation": "tanh"}, fastbp.SGD(momentum=0.9, clip_norm=0.1)),
    "cuts of one layer": ([1199, 10], 150, 60, {"loss": "cross_entropy"}, fastbp.Adam()),
    "cuts of stretches": ([3000, 17, 4], 330, 200, {"activation": "leaky_relu"}, fastbp.SGD(momentum=0.9)),
    "groups within cuts": ([2001, 131, 9], 300, 140, {"activation": "relu"}, fastbp.AdamW()),
    "groups within clipped cuts": ([1501, 199, 5], 350, 330, {"activation": "tanh"}, fastbp.SGD(clip_norm=0.1)),
    "few rows": ([30, 17, 5], 31, 3, {"activation": "tanh"}, fastbp.Adam()),
    "few clipped rows": (
        [30, 9, 5, 3],
        31,
        2,
        {"loss": "binary_cross_entropy"},
        fastbp.SGD(momentum=0.9, clip_norm=0.1),
    ),
    "few rows by layer": ([401, 203, 101, 7], 18, 4, {"activation": "relu", "loss": "cross_entropy"}, fastbp.AdamW()),
    "few clipped rows by layer": ([403, 305, 7], 21, 2, {"activation": "leaky_relu"}, fastbp.SGD(clip_norm=0.5)),
    "single rows by layer": ([601, 300, 9], 12, 1, {"activation": "tanh"}, fastbp.SGD(momentum=0.9, nesterov=True)),
}
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = fastbp.get_num_threads()
    yield
    fastbp.set_num_threads(before)


def problem(sizes, rows, loss="squared_error", seed=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (rows, sizes[0]))
    if loss == "cross_entropy":
        return x, rng.integers(0, sizes[-1], rows)
    return x, rng.uniform(0, 1, (rows, sizes[-1]))


def made(sizes, dtype="float64", engine=fastbp, **options):
    return engine.Network(sizes, dtype=dtype, seed=3, **options)


def parameters(network):
    return [np.array(part, order="C") for part in (*network.weights, *network.biases)]


# --------------------------------------------------------------------------------------------------------------- bits


@pytest.mark.jit_only
@EVERY_CASE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(case, dtype):
    sizes, rows, batch, options, optimizer = case
    x, y = problem(sizes, rows, options.get("loss"))
    results = []
    for threads in (1, 2, 3, 7):
        fastbp.set_num_threads(threads)
        network = made(sizes, dtype, **options)
        history = network.fit(x, y, epochs=2, batch_size=batch, optimizer=optimizer, validation_fraction=0.3)
        loss, gradients = network.gradients(x, y)
        flat = [part for pair in gradients for part in pair]
        results.append([*history.values(), network.predict(x), np.float64(loss), *flat, *parameters(network)])
    for other in results[1:]:
        for one, wanted in zip(other, results[0], strict=True):
            assert_same_bits(one, wanted)


@pytest.mark.jit_only
def test_gradients_are_whole_where_an_infinite_weight_does_not_show():
    """Behind a relu it is 0, and so is its gradient. In several kernel calls: none may be left out."""
    x, y = problem([300, 200], 2000)
    networks = [made([300, 200], "float32", engine, output_activation="relu") for engine in (fastbp, fastbp.reference)]
    for network in networks:
        network.weights[0][0, 0] = -np.inf
    x[:, 0] = np.abs(x[:, 0])
    (loss, [(w, b)]), (wanted, [(wanted_w, wanted_b)]) = (network.gradients(x, y) for network in networks)
    assert loss == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(w, wanted_w, rtol=0, atol=1e-5 * np.abs(wanted_w).max())
    np.testing.assert_allclose(b, wanted_b, rtol=0, atol=1e-5 * np.abs(wanted_b).max())
    assert not w[:, 0].any()
    assert w.any()


def test_the_cases_take_every_way_through_the_kernels():
    """(few rows, layer by layer, cuts, fused update, shards, many lines of a batch, many tasks in the last of them)."""
    ways = {}
    for name, (sizes, rows, batch, options, optimizer) in CASES.items():
        architecture = made(sizes, "float32", **options).architecture
        clip_norm = optimizer.clip_norm or 0.0
        setup = setup_for(architecture, min(batch or rows, rows), sizes[-1], 2, TRAIN, clip_norm=clip_norm)
        plan = setup.plan
        way = plan.direct == 1, plan.shared == 1, plan.cuts > 1, plan.fused > 0, plan.shards > 1, setup.body > 6
        ways[name] = *way, bool(setup.program[-1, TASKS] > 1)
    assert ways == {
        "one panel": (False, False, False, True, False, False, False),
        "one panel of many layers": (False, False, False, True, False, False, False),
        "shards": (False, False, False, False, True, False, False),
        "ragged shards": (False, False, False, False, True, False, False),
        "shards, followed by two": (False, False, False, False, True, False, True),
        "shards, clipped by two": (False, False, False, False, True, False, True),
        "layer by layer": (False, True, False, True, False, False, False),
        "ragged layers": (False, True, False, True, False, False, True),
        "clipped layers": (False, True, False, False, False, False, True),
        "strips": (False, True, False, True, False, False, True),
        "strips of shards": (False, False, False, False, True, False, False),
        "copies": (False, False, False, False, True, False, True),
        "clipped copies": (False, False, False, False, True, False, True),
        "stretches": (False, True, False, False, False, True, True),
        "cuts": (False, True, True, True, False, False, True),
        "ragged cuts": (False, True, True, True, False, False, True),
        "clipped cuts": (False, True, True, False, False, False, True),
        "cuts of one layer": (False, True, True, True, False, False, True),
        "cuts of stretches": (False, True, True, False, False, True, True),
        "groups within cuts": (False, True, True, True, False, False, True),
        "groups within clipped cuts": (False, True, True, False, False, True, True),
        "few rows": (True, False, False, True, False, False, False),
        "few clipped rows": (True, False, False, False, False, False, False),
        "few rows by layer": (True, True, False, True, False, False, False),
        "few clipped rows by layer": (True, True, False, False, False, False, True),
        "single rows by layer": (True, True, False, True, False, False, False),
    }


@pytest.mark.parametrize(
    ("sizes", "batch", "shared"),
    [
        ([64, 64, 64, 64, 10], 32, False),
        ([100, 50, 50, 50, 5], 32, False),
        ([64, 64, 128, 64, 10], 32, True),
        ([128, 64, 10], 32, True),
        ([1001, 17, 10], 32, True),  # in cuts
    ],
)
def test_a_batch_goes_layer_by_layer_only_where_a_layer_is_several_tasks(sizes, batch, shared):
    """Else all that threads share is gradients, whose weights then change hands."""
    setup = setup_for(made(sizes, "float32").architecture, batch, sizes[-1], 2, TRAIN)
    assert setup.multiply_adds >= division.WORK_OF_LAYERS
    assert (setup.plan.shared == 1) == shared
    assert setup.plan.threads == (2 if shared else 1)


@pytest.mark.parametrize("name", ["groups within cuts", "groups within clipped cuts"])
def test_each_cut_of_the_inputs_has_groups_of_outputs_where_these_are_many(name):
    sizes, _, batch, options, optimizer = CASES[name]
    setup = setup_for(
        made(sizes, "float32", **options).architecture, batch, sizes[-1], 2, TRAIN, clip_norm=optimizer.clip_norm or 0.0
    )
    assert setup.program[1, TASKS] == setup.program[-1, TASKS] == 16 > setup.plan.cuts > 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["strips", "strips of shards"])
def test_large_panels_lie_in_strips(name, dtype):
    sizes, rows, batch, _, _ = CASES[name]
    plan = setup_for(made(sizes, dtype).architecture, batch or rows, sizes[-1], 2, TRAIN).plan
    tile = TILE_VECTORS * lanes_of(np.dtype(dtype).itemsize)
    assert (plan.strip == tile) == (plan.panel > 2 * tile)
    assert plan.strip == tile or REGISTER_BITS == 512
    assert sizes[0] % tile > 0


@pytest.mark.parametrize("name", CASES)
def test_weights_lie_anew_for_delta_where_layers_lie_in_strips(name):
    sizes, rows, batch, options, optimizer = CASES[name]
    clip_norm = optimizer.clip_norm or 0.0
    architecture = made(sizes, "float32", **options).architecture
    plan = setup_for(architecture, min(batch or rows, rows), sizes[-1], 2, TRAIN, clip_norm=clip_norm).plan
    in_strips = plan.shared == 1 and plan.strip == TILE_VECTORS * lanes_of(4)
    assert (plan.w_width > 0) == (in_strips and len(sizes) > 2)
    assert plan.w_width == 0 or plan.w_width >= max(sizes[2:])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[79, 408], [63, 510], [71, 384, 13], [10, 10, 2], [500, 700, 3]], ids=str)
@pytest.mark.parametrize("batch", [1, 64, 1024, 20_000])
def test_every_group_of_a_line_has_a_place_for_its_norm(sizes, batch, dtype):
    architecture = made(sizes, dtype).architecture
    session = Session(Kind(TRAIN, batch, sizes[-1], labels=False, threads=64, rule=0, clip_norm=1.0), architecture)
    assert session._setup.program[:, GROUPS].max() <= len(session._norm)


@EVERY_CASE
def test_every_way_gives_what_the_reference_gives(case):
    sizes, rows, batch, options, optimizer = case
    x, y = problem(sizes, rows, options.get("loss"))
    ours, theirs = made(sizes, **options), made(sizes, engine=reference, **options)
    got = ours.fit(x, y, epochs=2, batch_size=batch, optimizer=optimizer)["loss"]
    wanted = theirs.fit(x, y, epochs=2, batch_size=batch, optimizer=optimizer)["loss"]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    for one, other in zip(parameters(ours), parameters(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)
    assert ours.evaluate(x, y)["loss"] == pytest.approx(theirs.evaluate(x, y)["loss"], rel=1e-12)


@hypothesis.given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    rows=st.integers(1, 90),
    batch=st.integers(1, 90),
    dtype=st.sampled_from(["float32", "float64"]),
    activation=st.sampled_from(["sigmoid", "tanh", "relu", "leaky_relu", "identity"]),
    loss=st.sampled_from(["squared_error", "binary_cross_entropy", "cross_entropy"]),
    seed=st.integers(0, 99),
)
def test_every_residue_of_every_size_gives_what_the_reference_gives(sizes, rows, batch, dtype, activation, loss, seed):
    x, y = problem(sizes, rows, loss, seed)
    weight = np.random.default_rng(seed).uniform(0, 2, rows)
    ours, theirs = (made(sizes, dtype, engine, activation=activation, loss=loss) for engine in (fastbp, reference))
    options = {"batch_size": batch, "optimizer": fastbp.SGD(learning_rate=0.01), "sample_weight": weight}
    tolerance = {"rtol": 1e-3, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), **tolerance)
    np.testing.assert_allclose(ours.fit(x, y, **options)["loss"], theirs.fit(x, y, **options)["loss"], **tolerance)
    for one, other in zip(parameters(ours), parameters(theirs), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.jit_only
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_batch_in_several_lines_gives_what_the_reference_gives(monkeypatch, threads, clip_norm):
    sizes, batch, optimizer = [4, 32, 16, 4], 16_000, fastbp.SGD(clip_norm=clip_norm)
    monkeypatch.setattr(program, "LINE_WORK", 1)
    fastbp.set_num_threads(threads)
    ours, theirs = made(sizes), made(sizes, engine=reference)
    setup = setup_for(ours.architecture, batch, sizes[-1], threads, TRAIN)
    assert setup.body > 3
    assert setup.plan.shards > 1
    line = setup.program[1, LAST_ROW]
    for rows in (line - 1, line + 1):  # of the last batch: less than a line takes, and a line and the first shard
        x, y = problem(sizes, batch + rows)
        for network in (ours, theirs):
            network.fit(x, y, batch_size=batch, epochs=2, optimizer=optimizer)
        for one, other in zip(parameters(ours), parameters(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
        assert ours.evaluate(x, y)["loss"] == pytest.approx(theirs.evaluate(x, y)["loss"], rel=1e-12)


@pytest.mark.parametrize("sizes", [[20, 64, 64, 1], [4, 32, 16, 4], [784, 128, 10]], ids=str)
def test_no_line_of_a_batch_is_long(sizes):
    """Ctrl-C waits for the end of a line."""
    rows = 10_000_000
    setup = setup_for(made(sizes).architecture, rows, sizes[-1], 2, TRAIN)
    lines = setup.program[1 : 1 + setup.body, LAST_ROW] - setup.program[1 : 1 + setup.body, FIRST_ROW]
    assert lines.max() * (setup.multiply_adds / rows) <= program.LINE_WORK


def test_back_propagation_goes_through_the_weights_that_were_written():
    x, y = problem([5, 4, 3, 2], 40)
    ours, theirs = made([5, 4, 3, 2]), made([5, 4, 3, 2], engine=reference)
    for network in (ours, theirs):
        network.step(x, y)
        network.weights[1][...] *= -2
        network.step(x, y)
    for one, other in zip(parameters(ours), parameters(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_many_rows_go_forward_in_pieces_that_leave_no_seam():
    sizes, rows = [30, 70, 20], 40_001
    x, y = problem(sizes, rows, "cross_entropy")
    ours, theirs = (made(sizes, "float32", engine, loss="cross_entropy") for engine in (fastbp, reference))
    weight = np.linspace(0, 2, rows)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-4)
    got, wanted = (network.evaluate(x, y, sample_weight=weight) for network in (ours, theirs))
    assert got["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert got["accuracy"] == pytest.approx(wanted["accuracy"], abs=1e-4)


def test_rows_are_looked_through_once_where_a_weight_is_not_finite(monkeypatch):
    """Then no piece of them tells whether they are finite themselves."""
    looked_at = []
    monkeypatch.setattr(contract, "finite", lambda name, array: looked_at.append((name, array.shape)))
    monkeypatch.setattr(engine, "CALL_BYTES", 800)
    engine._most_rows.cache_clear()
    network = made([3, 5, 2])
    network.weights[0][0, 0] = np.nan
    x, y = problem([3, 2], 1000)
    try:
        network.evaluate(x, y)
    finally:
        engine._most_rows.cache_clear()
    assert looked_at == [("x", (1000, 3)), ("y", (1000, 2))]


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes",
    [
        [3, 2],
        [90, 13, 7],
        pytest.param([301, 1000, 7], marks=pytest.mark.jit_only),
        pytest.param([17, 999, 333, 3], marks=pytest.mark.jit_only),
    ],
    ids=str,
)
def test_few_rows_go_forward_like_the_reference_whatever_the_threads(sizes, dtype, loss):
    """As they lie or transposed, in one task or layer by layer."""
    x, y = problem(sizes, 40, loss)
    ours, theirs = (made(sizes, dtype, engine, loss=loss, activation="tanh") for engine in (fastbp, reference))
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    for rows in (1, 2, 3, 4, 5, 8, 15, 40):
        bits = []
        for threads in (1, 2, 3):
            fastbp.set_num_threads(threads)
            y_pred, scores = ours.predict(x[:rows]), ours.evaluate(x[:rows], y[:rows])
            np.testing.assert_allclose(y_pred, theirs.predict(x[:rows]), rtol=tolerance, atol=tolerance)
            assert scores == pytest.approx(theirs.evaluate(x[:rows], y[:rows]), rel=tolerance)
            bits.append(y_pred.tobytes() + np.array([*scores.values()]).tobytes())
        assert bits[0] == bits[1] == bits[2]


def test_forward_takes_every_way_through_the_kernels():
    """(row by row, layer by layer) of so many rows."""
    ways = {}
    for sizes, rows in (([290, 13, 7], 4), ([290, 13, 7], 5), ([301, 1000, 7], 4), ([301, 1000, 7], 15)):
        plan = setup_for(made(sizes, "float32").architecture, rows, 0, 2, PREDICT).plan
        ways[sizes[0], rows] = plan.direct == 1, plan.shared == 1
    assert ways == {(290, 4): (True, False), (290, 5): (False, False), (301, 4): (True, True), (301, 15): (False, True)}


# ------------------------------------------------------------------------------------------------------------- memory

SMALL_CHANGE = 64 * 1024


def peak_of(call):
    """The most bytes that were allocated during a call beyond those before it."""
    call()  # compiles, and makes the workspace
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.jit_only
@EVERY_CASE
def test_an_epoch_allocates_its_order_rates_and_losses_and_nothing_for_a_step(case):
    sizes, rows, batch, options, optimizer = case
    rows *= 20
    x, y = problem(sizes, rows, options.get("loss"))
    x = x.astype("float32")
    y = y if y.ndim == 1 else y.astype("float32")
    network = made(sizes, "float32", **options)
    updates = -(-rows // (batch or rows))
    copies = (1 + network.optimizer.slots + 2) * network._state.parameters.nbytes  # to return to
    labels = 4 * rows if y.ndim == 1 else 0
    allowed = 2 * 8 * rows + labels + updates * (8 * 4 + 8 + 8 * 8) + copies + SMALL_CHANGE
    peak = peak_of(lambda: network.fit(x, y, batch_size=batch, optimizer=optimizer))
    assert peak < allowed


@pytest.mark.jit_only
def test_forward_needs_no_memory_beyond_its_output_and_takes_x_in_place():
    network = made([50, 300, 2], "float32")
    x = np.random.default_rng(1).normal(0, 1, (100_000, 50)).astype("float32")
    assert peak_of(lambda: network.predict(x)) < 100_000 * 2 * 4 + SMALL_CHANGE
    y = np.ones((100_000, 2), "float32")
    assert peak_of(lambda: network.evaluate(x, y)) < 2 * SMALL_CHANGE + 1024 * 1024


# -------------------------------------------------------------------------------------------------------- compilation

COMPILING = """
import json
import numpy as np
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
import fastbp

def run(sizes, rows, batch, dtype="float32", optimizer=None, **options):
    network = fastbp.Network(sizes, dtype=dtype, **options)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, sizes[0])), rng.uniform(size=(rows, sizes[-1]))
    network.fit(x, y, batch_size=batch, optimizer=optimizer, validation_fraction=0.5, sample_weight=np.ones(rows))
    network.predict(np.asfortranarray(x)), network.gradients(x, y), network.step(x[:1], y[:1])

counts = []
for args in [
    dict(sizes=[3, 2], rows=5, batch=2),
    dict(sizes=[784, 128, 10], rows=500, batch=32, loss="cross_entropy", optimizer=fastbp.Adam(clip_norm=1.0)),
    dict(sizes=[4, 32, 16, 4], rows=9000, batch=None, activation="tanh", output_activation="identity",
         optimizer=fastbp.SGD(momentum=0.9, nesterov=True)),
    dict(sizes=[3, 2], rows=5, batch=2, dtype="float64"),
    dict(sizes=[64, 32, 10], rows=900, batch=32, dtype="float64", activation="relu", loss="binary_cross_entropy"),
]:
    run(**args)
    counts.append(sum(e.is_start for _, e in recorder.buffer))
    recorder.buffer.clear()
print(json.dumps(counts))
"""


@pytest.mark.jit_only
def test_one_compilation_for_each_dtype_serves_every_network(tmp_path):
    first, second, third, other_dtype, last = json.loads(in_a_process("-c", COMPILING, FASTBP_CACHE_DIR=str(tmp_path)))
    assert first > 0
    assert (second, third) == (0, 0)
    assert other_dtype > 0
    assert last == 0
    assert json.loads(in_a_process("-c", COMPILING, FASTBP_CACHE_DIR=str(tmp_path))) == [0] * 5


# -------------------------------------------------------------------------------------------------------------- files

RESUMING = """
import sys, numpy as np, fastbp
network = fastbp.Network.load(sys.argv[1])
data = np.load(sys.argv[2])
network.fit(data["x"], data["y"], epochs=5, batch_size=19)
network.save(sys.argv[1])
"""


@pytest.mark.parametrize(
    "optimizer",
    [
        fastbp.SGD(learning_rate=0.1, momentum=0.9),
        fastbp.Adam(learning_rate=fastbp.CosineDecay(0.01, steps=60, warmup=10)),
        fastbp.AdamW(learning_rate=fastbp.StepDecay(0.01, every=7), clip_norm=0.5),
        fastbp.SGD(learning_rate=0.1),
    ],
    ids=["momentum", "Adam", "AdamW", "SGD"],
)
def test_ten_epochs_are_five_saved_and_five_in_another_process(tmp_path, optimizer):
    x, y = problem([6, 9, 4], 100, "cross_entropy")
    network, whole = (made([6, 9, 4], loss="cross_entropy", activation="relu") for _ in range(2))
    path, data = tmp_path / "network.safetensors", tmp_path / "data.npz"
    np.savez(data, x=x, y=y)
    network.fit(x, y, epochs=5, batch_size=19, optimizer=optimizer)
    network.save(path)
    in_a_process("-c", RESUMING, str(path), str(data))
    whole.fit(x, y, epochs=10, batch_size=19, optimizer=optimizer)
    resumed = fastbp.Network.load(path)
    assert resumed.optimizer == optimizer
    for one, other in zip(parameters(resumed), parameters(whole), strict=True):
        assert_same_bits(one, other)
    for one, other in zip(resumed._state.slots, whole._state.slots, strict=True):
        assert_same_bits(one, other)
    assert (resumed.step(x, y), resumed.fit(x, y)["loss"]) == (whole.step(x, y), whole.fit(x, y)["loss"])


def test_the_file_is_one_that_safetensors_reads(tmp_path):
    from safetensors.numpy import load_file

    network = made([3, 4, 2], "float32")
    network.step(*problem([3, 4, 2], 9), optimizer=fastbp.Adam())
    network.save(tmp_path / "n")
    tensors = load_file(tmp_path / "n")
    assert sorted(tensors) == sorted(
        f"{slot}{kind}.{layer}"
        for slot in ("", "first.", "second.")
        for kind in ("weights", "biases")
        for layer in (0, 1)
    )
    assert_same_bits(tensors["weights.1"], np.ascontiguousarray(network.weights[1]))


def changed_metadata(path, **changes):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["fastbp"]) | changes
    save_file(tensors, path, {"fastbp": json.dumps(about)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99; 1 is wanted"),
        ({"sizes": [3, 10**12, 2]}, r"weights\.0 of shape \[3, 4\]; \[3, 1000000000000\] is wanted"),
        ({"sizes": [3, 4, 2, 5], "activations": ["relu"] * 3}, r"weights\.2 of shape None; \[2, 5\] is wanted"),
        ({"sizes": "many"}, "damaged metadata"),
        ({"activations": []}, "damaged metadata"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"dtype": "float64"}, "dtype float32; float64 is wanted"),
        ({"optimizer": {"name": "Rprop"}}, "'Rprop'"),
        ({"optimizer": None}, "damaged metadata"),
        ({"updates": -1}, "updates is -1"),
        ({"updates": 2**53}, "updates is 9007199254740992; 4503599627370496 at most is wanted"),
        ({"optimizer": fastbp.SGD(learning_rate=1e-60).to_dict()}, "learning_rate is 1e-60"),
        ({"format": "x" * 10**6}, r"format 'x{399}\.\.\.; 1 is wanted"),
        ({"random": {}}, "damaged metadata"),
        ({"random": 5}, "damaged metadata"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(tmp_path, changes, message):
    path = tmp_path / "network"
    made([3, 4, 2], "float32").save(path)
    changed_metadata(path, **changes)
    with pytest.raises(ValueError, match=message):
        fastbp.Network.load(path)


def test_a_negative_mean_of_squares_is_refused(tmp_path):
    path = tmp_path / "network"
    network = made([3, 4, 2], "float32")
    network.step(*problem([3, 4, 2], 9), optimizer=fastbp.Adam())
    network._state.slots[1][2] = -1e-9
    network.save(path)
    with pytest.raises(ValueError, match="network has negative numbers in second, the means of squares"):
        fastbp.Network.load(path)


def test_any_cut_and_any_changed_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "network"
    made([3, 4, 2], "float32").save(path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="network"):
            fastbp.Network.load(path)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 300):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :])
        with contextlib.suppress(ValueError):
            fastbp.Network.load(path)


def test_where_no_file_can_be_is_said_by_its_path(tmp_path):
    network = made([3, 1])
    with pytest.raises(ValueError, match=r"path is .*nowhere.file, but there is no folder"):
        network.save(tmp_path / "nowhere" / "file")
    with pytest.raises(ValueError, match="which is not a file"):
        network.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_file_says_so(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(FileNotFoundError):
        fastbp.Network.load(tmp_path / "nowhere")
    save_file({"a": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(ValueError, match="not one of a fastbp network"):
        fastbp.Network.load(tmp_path / "other")
    save_file({"a": np.zeros(3)}, tmp_path / "nested", {"fastbp": "[" * 100_000})
    with pytest.raises(ValueError, match="damaged metadata"):
        fastbp.Network.load(tmp_path / "nested")


# --------------------------------------------------------------------------------------------------- validation, ends


def test_held_out_rows_do_not_train_and_are_the_same_in_every_call():
    sizes = [4, 5, 1]
    x, y = problem(sizes, 50)
    network, blind = made(sizes), made(sizes)
    order = shuffled(np.random.default_rng((3, 50)), 50)  # of the seed and the number of rows
    spoiled = y.copy()
    spoiled[order[-10:]] = 1e3
    histories = [
        one.fit(x, targets, epochs=3, validation_fraction=0.2, batch_size=7)
        for one, targets in ((network, y), (blind, spoiled))
    ]
    for one, other in zip(parameters(network), parameters(blind), strict=True):
        assert_same_bits(one, other)
    assert histories[0]["val_loss"][-1] == pytest.approx(network.evaluate(x[order[-10:]], y[order[-10:]])["loss"])
    again = network.fit(x, y, epochs=1, validation_fraction=0.2)
    assert again["val_loss"][-1] == pytest.approx(network.evaluate(x[order[-10:]], y[order[-10:]])["loss"])


def test_validation_data_is_evaluated_after_each_epoch():
    sizes = [4, 5, 3]
    x, y = problem(sizes, 60, "cross_entropy")
    network = made(sizes, loss="cross_entropy")
    scores = []
    history = network.fit(
        x[:40],
        y[:40],
        epochs=4,
        validation_data=(x[40:], y[40:]),
        callback=lambda epoch, metrics: scores.append(network.evaluate(x[40:], y[40:])),
    )
    assert list(history) == ["loss", "learning_rate", "val_loss", "val_accuracy"]
    assert_same_bits(history["val_loss"], np.array([score["loss"] for score in scores]))
    assert_same_bits(history["val_accuracy"], np.array([score["accuracy"] for score in scores]))


def test_training_ends_when_validation_no_longer_gets_better_with_the_best_weights():
    """Every epoch makes the rows that are held out worse: their targets are the opposite."""
    x = np.repeat([[1.0, -1.0]], 40, axis=0)
    network = made([2, 1])
    before = parameters(network)[0]
    stopping = fastbp.EarlyStopping(patience=3)
    history = network.fit(
        x, np.ones(40), epochs=50, validation_data=(x, np.zeros(40)), early_stopping=stopping, batch_size=None
    )
    assert (len(history["loss"]), history.best_epoch) == (4, 0)
    once = made([2, 1])
    once.fit(x, np.ones(40), batch_size=None)
    assert (parameters(once)[0] != before).all()
    for one, other in zip(parameters(network), parameters(once), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("first", [fastbp.SGD(), fastbp.SGD(momentum=0.5), fastbp.Adam()], ids=str)
@pytest.mark.parametrize("then", [fastbp.SGD(), fastbp.SGD(momentum=0.5), fastbp.Adam(), fastbp.AdamW()], ids=str)
def test_the_best_weights_come_back_with_the_optimizer_that_they_are_of(first, then):
    """Another optimizer, used meanwhile, may remember more or less of an update."""
    x, y = problem([3, 1], 30)
    best, network = made([3, 1]), made([3, 1])
    best.fit(x, y, epochs=1, optimizer=first)

    def use_another(epoch, _):
        if epoch == 1:
            network.step(x, y, optimizer=then)

    stopping = fastbp.EarlyStopping(monitor="loss", patience=3, minimum_change=1.0)
    history = network.fit(x, y, epochs=9, optimizer=first, callback=use_another, early_stopping=stopping)
    assert (history.best_epoch, network.optimizer, network.updates) == (0, first, best.updates)
    best.step(x, y)
    network.step(x, y)
    for one, other in zip(parameters(network), parameters(best), strict=True):
        assert_same_bits(one, other)


def test_small_changes_are_no_progress_where_more_is_wanted():
    x, y = problem([3, 1], 30)
    stopping = fastbp.EarlyStopping(monitor="loss", patience=2, minimum_change=10.0)
    assert len(made([3, 1]).fit(x, y, epochs=9, early_stopping=stopping)["loss"]) == 3


SCHEDULED = {
    "sgd": fastbp.SGD(learning_rate=fastbp.StepDecay(0.1, every=7, warmup=5), momentum=0.9),
    "adam": fastbp.Adam(learning_rate=fastbp.CosineDecay(0.01, steps=70, warmup=40), clip_norm=0.1),
    "adamw": fastbp.AdamW(learning_rate=fastbp.CosineDecay(0.01, steps=70), weight_decay=0.1),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_steps_one_by_one_take_the_coefficients_of_an_epoch_of_them(name):
    x, y = problem([3, 1], 2 * 100)
    stepped, network = made([3, 1]), made([3, 1])
    other = fastbp.SGD(learning_rate=0.03)
    for first in range(0, 200, 2):  # more of them than are computed ahead, and another optimizer in between
        optimizer = other if 60 <= first < 66 else SCHEDULED[name]
        stepped.step(x[first : first + 2], y[first : first + 2], optimizer=optimizer)
    for rows, optimizer in ((slice(60), SCHEDULED[name]), (slice(60, 66), other), (slice(66, 200), SCHEDULED[name])):
        network.fit(x[rows], y[rows], batch_size=2, shuffle=False, optimizer=optimizer)
    assert stepped.updates == network.updates
    for one, two in zip(parameters(stepped), parameters(network), strict=True):
        assert_same_bits(one, two)


def test_an_epoch_after_the_end_of_a_schedule_is_warned_of():
    x, y = problem([3, 1], 30)
    network = made([3, 1])
    adam = fastbp.Adam(learning_rate=fastbp.CosineDecay(0.1, steps=4))
    network.fit(x, y, epochs=2, batch_size=16, optimizer=adam)
    assert network.updates == 4
    before = parameters(network)
    with pytest.warns(UserWarning, match=r"learning rate of 0.*CosineDecay\(initial=0.1, steps=4.*at update 4"):
        network.fit(x, y, epochs=1, batch_size=16, optimizer=adam)
    for one, other in zip(parameters(network), before, strict=True):
        assert_same_bits(one, other)


def test_a_callback_sees_each_epoch_and_may_end_training():
    x, y = problem([3, 1], 30)
    seen = []

    def callback(epoch, metrics):
        seen.append((epoch, metrics["loss"]))
        return epoch == 2

    history = made([3, 1]).fit(x, y, epochs=9, callback=callback)
    assert seen == list(enumerate(history["loss"].tolist()))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0; a number of 0 or more and below 1"),
        ({"validation_fraction": "half"}, TypeError, "validation_fraction is 'half'"),
        ({"validation_data": 5}, TypeError, r"validation_data is 5; \(x, y\) or \(x, y, sample_weight\) is wanted"),
        ({"validation_data": ([[1, 2]], [[1]])}, ValueError, r"validation_data: x has shape \(1, 2\); \(rows, 3\)"),
        (
            {"validation_data": ([[1, 2, np.nan]], [[1]])},
            ValueError,
            r"validation_data: x\[0, 2\] is nan;",
        ),
        ({"validation_data": ([[1, 2, 3]], [[1]]), "validation_fraction": 0.5}, ValueError, "are both given"),
        ({"early_stopping": 5}, TypeError, "early_stopping is 5; EarlyStopping or None"),
        ({"early_stopping": fastbp.EarlyStopping()}, ValueError, "there are no validation rows"),
        ({"callback": 5}, TypeError, "callback is 5; a function"),
        ({"progress": 1}, TypeError, "progress is 1; True or False"),
        ({"epochs": -1}, ValueError, "epochs is -1; 0 or more"),
    ],
)
def test_options_of_fit_are_refused_by_name_before_anything_changes(options, error, message):
    network = made([3, 1])
    before = parameters(network)
    with pytest.raises(error, match=message):
        network.fit(*problem([3, 1], 30), optimizer=fastbp.Adam(), **options)
    for one, other in zip(parameters(network), before, strict=True):
        assert_same_bits(one, other)
    assert network.optimizer == fastbp.SGD()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "accuracy"}, "monitor is 'accuracy'; 'val_loss' or 'loss'"),
        ({"patience": 0}, "patience is 0; 1 or more"),
        ({"minimum_change": -1}, "minimum_change is -1"),
    ],
)
def test_early_stopping_wants_sense(options, message):
    with pytest.raises(ValueError, match=message):
        fastbp.EarlyStopping(**options)


def test_a_history_is_drawn_with_what_it_has():
    x, y = problem([3, 1], 30)
    stopping = fastbp.EarlyStopping(monitor="loss", patience=1)
    history = made([3, 1]).fit(x, y, epochs=3, validation_fraction=0.5, early_stopping=stopping)
    ax = history.plot()
    assert plt.gcf() is ax.figure
    plt.close()
    assert [line.get_label() for line in ax.get_lines()] == ["training", "validation", "best"]
    assert_same_bits(np.asarray(ax.get_lines()[1].get_ydata()), history["val_loss"])
    assert history.plot(ax) is ax
    assert repr(history).startswith("History(3 epochs: loss, learning_rate, val_loss)")


def test_a_history_of_one_epoch_is_to_be_seen():
    x, y = problem([3, 1], 30)
    ax = made([3, 1]).fit(x, y).plot()
    plt.close()
    assert ax.get_lines()[0].get_marker() == "."
    assert [tick for tick in ax.get_xticks() if 0.9 < tick < 1.1] == [1]


def test_histories_are_equal_if_all_their_metrics_are():
    x, y = problem([3, 1], 30)
    one, same, other = (made([3, 1]).fit(x, y, epochs=epochs, validation_fraction=0.5) for epochs in (2, 2, 3))
    assert one == same
    assert one != other
    assert one != dict(one)
    assert one in [other, same]


def history_of(epochs, best=None):
    history = History()
    for metrics in epochs:
        history.append(metrics)
    history.best_epoch = best
    return history


@pytest.mark.parametrize("wrong", ["text", None, np.zeros(2), np.timedelta64(3)], ids=["text", "None", "array", "time"])
def test_a_history_takes_all_metrics_of_an_epoch_or_none(wrong):
    history = history_of([{"loss": 1.0}])
    with pytest.raises(TypeError, match="metrics"):
        history.append({"loss": 0.5, "accuracy": wrong})
    assert {name: values.tolist() for name, values in history.items()} == {"loss": [1.0], "learning_rate": []}


def test_metrics_are_float64_whatever_numbers_they_are_given_as():
    history = history_of([{"loss": 1}, {"loss": np.float32(0.5)}, {"loss": 10**400}])
    np.testing.assert_array_equal(history["loss"], np.array([1.0, 0.5, np.inf]), strict=True)


def test_a_history_takes_any_mapping():
    history = history_of([types.MappingProxyType({"loss": 1.0, "learning_rate": 0.1})])
    assert history == history_of([{"loss": 1.0, "learning_rate": 0.1}])


def test_histories_differ_if_their_best_epochs_or_the_names_of_their_metrics_do():
    losses = [{"loss": 2.0}, {"loss": 1.0}]
    assert history_of(losses, best=1) == history_of(losses, best=1)
    assert history_of(losses, best=1) != history_of(losses, best=0)
    assert history_of(losses, best=1) != history_of(losses)
    validated = [metrics | {"val_loss": 1.0} for metrics in losses]
    assert history_of(losses) != history_of(validated)
    assert history_of(validated) != history_of(losses)


def test_a_nan_in_two_histories_is_the_same():
    accuracies = [{"loss": 2.0, "val_accuracy": np.nan}]
    assert history_of(accuracies) == history_of(accuracies)


def test_epochs_are_drawn_from_1_on_and_the_best_one_where_it_is():
    history = history_of([{"loss": loss, "val_loss": loss} for loss in (3.0, 1.0, 2.0)], best=1)
    lines = {line.get_label(): np.asarray(line.get_xdata()).tolist() for line in history.plot().get_lines()}
    plt.close()
    assert lines == {"training": [1, 2, 3], "validation": [1, 2, 3], "best": [2, 2]}


def test_early_stopping_is_patient_for_ten_epochs_of_the_validation_loss_unless_told_otherwise():
    assert fastbp.EarlyStopping() == fastbp.EarlyStopping(monitor="val_loss", patience=10, minimum_change=0.0)


def test_an_epoch_has_the_optimizer_of_its_own_call_whatever_comes_in_between():
    network, used = made([4, 3]), []
    x, y = problem([4, 3], 8, None)

    def between(epoch, _metrics):
        used.append(type(network.optimizer))
        if epoch == 0:
            network.step(x, y, optimizer=fastbp.SGD())

    network.fit(x, y, epochs=3, optimizer=fastbp.Adam(), callback=between)
    network.fit(x, y, epochs=2, callback=between)  # that of the call before
    assert used == [fastbp.Adam] * 5


def test_a_bar_shows_more_epochs_than_it_can_count(capsys):
    x, y = problem([4, 3], 8, None)
    made([4, 3]).fit(x, y, epochs=10**400, progress=True, callback=lambda epoch, _: epoch == 1)
    assert "2epoch" in capsys.readouterr().err.replace(" ", "")


# ------------------------------------------------------------------------------------------- several epochs in a call

# rows, batch_size, options of fit
TOGETHER = {
    "whole batches": (12, 4, {}),
    "a smaller last batch": (13, 5, {}),
    "all rows": (9, None, {}),
    "as they lie": (13, 5, {"shuffle": False}),
    "weighted": (13, 5, {"sample_weight": np.linspace(0, 2, 13)}),
    "scheduled": (13, 5, {"optimizer": fastbp.Adam(learning_rate=fastbp.CosineDecay(0.01, steps=1000))}),
    "clipped": (9, 3, {"optimizer": fastbp.SGD(momentum=0.9, clip_norm=0.1)}),
}


def one_by_one(_epoch, _metrics):
    """A callback, for which every epoch is trained by itself."""


@pytest.mark.parametrize("case", TOGETHER.values(), ids=TOGETHER)
def test_epochs_that_are_trained_together_give_what_each_gives_by_itself(case):
    rows, batch, options = case
    x, y = problem([4, 3], rows, None)
    together, alone = made([4, 3]), made([4, 3])
    for _ in "12":
        histories = [
            network.fit(x, y, epochs=30, batch_size=batch, callback=callback, **options)
            for network, callback in ((together, None), (alone, one_by_one))
        ]
        assert histories[0] == histories[1]
        assert everything(together) == everything(alone)


@pytest.mark.jit_only
def test_short_epochs_take_few_kernel_calls(monkeypatch):
    network, (x, y) = made([4, 3]), problem([4, 3], 9, None)
    network.fit(x, y)
    calls = interrupt_after(monkeypatch, kernels.run, None, network.architecture.dtype)
    network.fit(x, y, epochs=1000, batch_size=2)
    assert len(calls) < 5
    network.fit(x, y, epochs=10, batch_size=2, callback=one_by_one)
    assert len(calls) in range(10, 15)


@pytest.mark.parametrize("batch", [0, 1, 2], ids=["first batch", "second batch", "last batch"])
def test_divergence_in_the_middle_of_many_epochs_leaves_what_it_leaves_in_each(batch):
    """A momentum of nearly 1 and a rate that is far too high: the first number that is not finite comes late."""
    x, y = problem([4, 3], 13, None)
    options = {"epochs": 400, "batch_size": 5, "optimizer": fastbp.SGD(learning_rate=2.0 + batch, weight_decay=0.9)}
    networks = [made([4, 3], "float32", output_activation="identity") for _ in "12"]
    said = []
    for network, callback in zip(networks, (None, one_by_one), strict=True):
        with pytest.raises(FloatingPointError, match=r"diverged in step \d\d+, in epoch \d+:") as error:
            network.fit(x, y, callback=callback, **options)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert everything(networks[0]) == everything(networks[1])


@pytest.mark.jit_only
@pytest.mark.parametrize("calls", range(1, 12))
def test_ctrl_c_between_epochs_that_are_trained_together_leaves_the_random_numbers_of_those_begun(monkeypatch, calls):
    x, y = problem([4, 3], 13, None)
    network, again = made([4, 3]), made([4, 3])
    interrupt_after(monkeypatch, kernels.run, calls, network.architecture.dtype)
    monkeypatch.setattr(pace, "CALL_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        network.fit(x, y, epochs=20, batch_size=5)
    monkeypatch.undo()
    epochs, batches = divmod(network.updates, 3)
    again.fit(x, y, epochs=epochs, batch_size=5, callback=one_by_one)
    if batches:
        order = shuffled(generator_of(again), 13)
        for first in range(0, 5 * batches, 5):
            again.step(x[order[first : first + 5]], y[order[first : first + 5]])
    assert everything(network) == everything(again)


def test_a_rate_that_ends_at_0_in_the_middle_of_many_epochs_is_told_for_each_that_begins_with_it():
    x, y = problem([4, 3], 12, None)
    optimizer = fastbp.SGD(learning_rate=fastbp.CosineDecay(0.1, steps=9))
    networks = [made([4, 3]) for _ in "12"]
    told = []
    for network, callback in zip(networks, (None, one_by_one), strict=True):
        with pytest.warns(UserWarning, match="has ended, at update 9|has ended, at update 12") as warned:
            network.fit(x, y, epochs=5, batch_size=4, optimizer=optimizer, callback=callback)
        told.append([(str(each.message), each.filename) for each in warned])
    assert told[0] == told[1]
    assert len(told[0]) == 2
    assert {name for _, name in told[0]} == {__file__}
    assert everything(networks[0]) == everything(networks[1])
