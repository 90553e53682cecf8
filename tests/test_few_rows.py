"""Steps on few rows, where the weights stay in the caller's memory: as exact as all others, whatever the shape.

And an update in place changes all weights or none, though it is not known by a copy of them.
"""

import numpy as np
import pytest
from conftest import COMPILED
from planning import gone_through
from test_exactness import SIZES, SMALL, assert_exact, residues
from test_threads import THREADS, all_results, assert_all_same_bits
from test_training import (
    RULES,
    assert_all_is_updated_or_nothing,
    assert_same_bits,
    assert_the_last_finite_state_is_kept,
)

import fastbp
from fastbp import reference
from fastbp.kernels.layer_arrays import SURE
from fastbp.layers import call, plan
from fastbp.tiles.registers import lanes_of


@pytest.fixture(autouse=True)
def _few_rows():
    threads = fastbp.get_num_threads()
    with gone_through("few rows"):
        yield
    fastbp.set_num_threads(threads)


def test_these_tests_are_of_few_rows(dtype):
    for outputs in (16, 2 * lanes_of(dtype.itemsize) + 1):
        assert plan.plan_for(3, 1, outputs, dtype, 2, forward=False, update=True).few
    for rows in (5, 30):
        cut = plan.plan_for(rows, 40, 70, dtype, 2, forward=False, update=True).few_rows
        assert cut.cuts > 1
        assert cut.groups > 1
        assert cut.block_outputs < cut.width
    cut = plan.plan_for(64, 512, 128, dtype, 2, forward=False, update=True).few_rows
    assert 0 < cut.block_inputs < 512 / 4  # several blocks for each cut


@pytest.mark.parametrize("rows", SIZES if COMPILED else SMALL)
def test_no_shape_leaves_a_residue_out(dtype, layer, rows):
    for shape in residues(SIZES if COMPILED else SMALL, rows):
        assert_exact(fastbp, *layer(*shape, dtype))


@RULES
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 26, 9), (13, 40, 33), (40, 3, 70)], ids=str)
@pytest.mark.parametrize("function", ["step", "train", "backward"])
def test_updates_are_those_of_the_reference(dtype, layer, shape, function, bias_reduction):
    x, y, *weights = layer(*shape, dtype)
    arguments = {"learning_rate": 0.5, "bias_reduction": bias_reduction}
    if function == "train":
        arguments["steps"] = 3
    if function == "backward":
        arguments["y_pred"] = reference.forward(x, *weights)
    ends = []
    for engine in (reference, fastbp):
        w, b = (part.copy() for part in weights)
        costs = getattr(engine, function)(x=x, y=y, w=w, b=b, **arguments)
        ends.append([w, b] if costs is None else [w, b, costs])
    assert np.abs(ends[0][0] - weights[0]).max() > 0.01  # it says something
    for got, wanted in zip(ends[1], ends[0], strict=True):
        error = 2e-5 if dtype == np.float32 else 5e-14
        np.testing.assert_allclose(got, wanted, rtol=error, atol=error)


@pytest.mark.jit_only
@pytest.mark.parametrize("shape", [(1, 300, 301), (29, 50, 40), (64, 512, 128), (3, 1, 200), (50, 200, 17)], ids=str)
def test_same_bits_for_any_number_of_threads(dtype, layer, shape):
    results = []
    for threads in THREADS:
        fastbp.set_num_threads(threads)
        results.append(all_results(*layer(*shape, dtype)))
    for other in results[1:]:
        assert_all_same_bits(other, results[0])


# ------------------------------------------------------------------------------------------ all weights change, or none


@RULES
def test_divergence_keeps_the_last_finite_state(dtype, bias_reduction):
    assert_the_last_finite_state_is_kept(fastbp, dtype, bias_reduction, outputs=2 * lanes_of(dtype.itemsize) + 1)


@pytest.mark.parametrize("function", ["backward", "step", "train"])
def test_an_update_that_overflows_in_part_changes_nothing(dtype, function):
    assert_all_is_updated_or_nothing(fastbp, dtype, function, outputs=2 * lanes_of(dtype.itemsize) + 1)


ROWS, INPUTS, OUTPUTS = 30, 40, 70
EDGES = [(i, o) for i in (0, 17, INPUTS - 1) for o in (0, 33, OUTPUTS - 1)]


def at_rest(dtype):
    """x, y, w, b where each a is 0, and so y_pred 1/2 and delta -1/4."""
    ones = np.ones((ROWS, INPUTS), dtype), np.ones((ROWS, OUTPUTS), dtype)
    return *ones, np.zeros((INPUTS, OUTPUTS), dtype), np.zeros(OUTPUTS, dtype)


@pytest.mark.parametrize("threads", [1, 3] if COMPILED else [1])
@pytest.mark.parametrize("at", EDGES, ids=str)
def test_one_weight_that_overflows_keeps_all_others_as_they_were(dtype, at, threads):
    """Whichever task it is in: x is 0 where the weight is huge, but for one row, and the rate is huge too."""
    fastbp.set_num_threads(threads)
    x, y, w, b = at_rest(dtype)
    i, o = at
    huge = np.finfo(dtype).max
    x[:, i], w[i, o] = 0, huge  # a is 0 still
    before = w.copy(), b.copy()
    assert np.isfinite(fastbp.step(x, y, w, b, learning_rate=1.0))  # the update is finite: it was rehearsed, and taken
    assert w[i, o] == huge
    assert (np.delete(w, i, axis=0) > 0).all()

    w, b = (part.copy() for part in before)
    x[7, i] = (
        2 / huge
    )  # a is 2 there; the gradient of that weight is some 1e-38 or 1e-308, but its rate makes up for it
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        fastbp.step(x, y, w, b, learning_rate=float(huge))
    assert_same_bits(w, before[0])
    assert_same_bits(b, before[1])


@pytest.mark.parametrize("o", [0, 33, OUTPUTS - 1])
def test_a_bias_that_overflows_keeps_the_weights_as_they_were(dtype, o):
    x, y, w, b = at_rest(dtype)
    x[:] = 0
    y[:] = 0.5
    y[:, o] = 0  # only these have a delta
    rate = float(np.finfo(dtype).max)
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        fastbp.step(x, y, w, b, learning_rate=rate, bias_reduction="sum")
    assert not w.any()
    assert not b.any()


def test_outputs_that_no_sigmoid_gives_are_no_way_around_the_rehearsal(dtype):
    """Of `backward`: their slope is not at most 1/4, and their delta overflows though the cost does not."""
    x, y, w, b = at_rest(dtype)
    y_pred = np.full_like(y, 0.5)
    y_pred[17, 33] = {"float32": 1e15, "float64": 1e120}[dtype.name]
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        fastbp.backward(x, y_pred, y, w, b)
    assert not w.any()
    assert not b.any()


@pytest.mark.parametrize("largest", ["a weight", "a bias"])
def test_a_small_update_of_the_largest_number_there_is_changes_nothing(dtype, largest):
    """a is 0 and delta -1/4: another huge number is in the way. All that the update multiplies is small beside it."""
    huge = np.finfo(dtype).max
    y = np.full((1, OUTPUTS), 0.5, dtype)
    y[0, 5] = 1
    w, b = np.zeros((2, OUTPUTS), dtype), np.zeros(OUTPUTS, dtype)
    if largest == "a weight":
        x = np.array([[1, 1]], dtype)
        w[:, 5] = huge, -huge
    else:
        x = np.array([[2**13, 0]], dtype)
        w[0, 5], b[5] = -huge / 2**13, huge
    before = w.copy(), b.copy()
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        fastbp.step(x, y, w, b, learning_rate=float(huge) / 2**18)
    assert_same_bits(w, before[0])
    assert_same_bits(b, before[1])


def _was_sure():
    """Whether the last update of the call that was kept last need not be rehearsed."""
    return next(reversed(call._kept.calls.values()))._state[SURE] == 1


@pytest.mark.parametrize("shape", [(1, 187, 40), (2, 300, 33), (9, 29, 70), (33, 64, 16)], ids=str)
def test_ordinary_updates_are_not_rehearsed(dtype, layer, shape):
    x, y, w, b = layer(*shape, dtype)
    fastbp.step(x, y, w, b)
    assert _was_sure()
    w[0, 0] = np.finfo(dtype).max / 16  # times the lanes it may overflow
    x[:, 0] = 0
    fastbp.step(x, y, w, b)
    assert not _was_sure()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_squares_are_those_of_all_numbers_and_no_others(dtype, rows):
    """Each task has some inputs of x, and weights that lie in one piece or do not."""
    lanes = lanes_of(dtype.itemsize)
    rng = np.random.default_rng(3)
    for inputs, outputs in [(inputs, 3 * lanes + inputs % 5) for inputs in range(1, 9 * lanes + 2)]:
        numbers = (rng.integers(-9, 10, shape) / 8 for shape in [(rows, inputs), (inputs, outputs), outputs])
        x, w, b = (array.astype(dtype) for array in numbers)  # in eighths: their squares add up exactly
        of_x, of_w = (x.astype(float) ** 2).sum(), (w.astype(float) ** 2).sum() + (b.astype(float) ** 2).sum()
        fastbp.step(x, np.ones((rows, outputs), dtype), w, b, learning_rate=1e-3)
        of_call = next(reversed(call._kept.calls.values()))
        squares = of_call.memory[of_call.plan.few_rows.squares :][: 2 * of_call.plan.few_rows.tasks * lanes]
        assert squares.reshape(-1, 2, lanes).sum(axis=(0, 2)).tolist() == [of_x, of_w], f"{inputs} -> {outputs}"


@pytest.mark.parametrize("outputs", [40, 37])
def test_a_rehearsal_changes_no_bit_of_what_follows(dtype, layer, outputs):
    """A weight whose input is 0 and that is huge has each update rehearsed, and must not be felt else."""
    x, y, w, b = layer(9, 20, outputs, dtype)
    x[:, 3] = 0
    ends = []
    for size in (1, np.finfo(dtype).max):
        new_w, new_b = w.copy(), b.copy()
        new_w[3, 5] = size
        costs = fastbp.train(x, y, new_w, new_b, steps=4, learning_rate=0.25)
        assert new_w[3, 5] == size
        ends.append((costs, new_b, np.delete(new_w, 3, axis=0)))
    for one, other in zip(*ends, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("engine", [fastbp, reference], ids=["fastbp", "reference"])
def test_a_gradient_that_overflows_is_divergence_though_its_rate_would_bring_it_back(dtype, engine):
    """delta is -1/4 in 30 rows: dC/dw of the huge input is 7.5 times the largest number; the update would be 0.0075."""
    x, y, w, b = at_rest(dtype)
    x[:, 7] = np.finfo(dtype).max
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        engine.step(x, y, w, b, learning_rate=1e-3)
    assert not w.any()
    assert not b.any()


@pytest.mark.parametrize("bad", ["x", "y"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_and_nothing_changes(dtype, layer, bad, number):
    x, y, w, b = layer(9, 20, 40, dtype)
    before = w.copy(), b.copy()
    {"x": x, "y": y}[bad][5, 11] = number
    for function in (fastbp.step, fastbp.train):
        with pytest.raises(ValueError, match=rf"^{bad}\[5, 11\] is .*; a finite number"):
            function(x, y, w, b)
    assert_same_bits(w, before[0])
    assert_same_bits(b, before[1])
    if bad == "x":
        with pytest.raises(ValueError, match=r"^x\[.*\] is .*; a finite number"):
            fastbp.forward(x, w, b)
