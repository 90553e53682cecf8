"""What training promises: one step worked by hand, the same bits by every road, and a last state that is finite."""

import numpy as np
import pytest
from conftest import ENGINES, LAYOUTS
from test_exactness import Bounds, unit

from fastbp import reference

RULES = pytest.mark.parametrize("bias_reduction", ["mean", "sum"])


def assert_same_bits(got, wanted):
    np.testing.assert_array_equal(got, wanted, strict=True)


def by_steps(engine, x, y, w, b, steps, **options):
    """What `train` returns, from a loop of `step`, each of which gives the cost before its update."""
    costs = [engine.step(x, y, w, b, **options) for _ in range(steps)]
    return np.array([*costs, *engine.train(x, y, w, b, steps=0)])


# -------------------------------------------------------------------------------------------------- worked by hand

# Both rows of x are orthogonal to both columns of w, so a = 0, y_pred = 1/2 and g' = 1/4 throughout, and
# delta = 1/4 * 2 (1/2 - y) = 1/4 where y is 0, -1/4 where y is 1. All numbers are exact in float32.
#
#     delta    = [-1/4  1/4]     dC/dw = x^T delta = [1 2]  delta = [-3/4 -1/4]     C = 4 * 1/4 = 1
#                [-1/4 -1/4]                         [2 4]          [-3/2 -1/2]
#     mean over the rows = [-1/4 0]     sum over the rows = [-1/2 0]
BY_HAND = {
    "x": [[1, 2], [2, 4]],
    "y": [[1, 0], [1, 1]],
    "w": [[1, -2], [-0.5, 1]],
    "b": [0, 0],
    "y_pred": [[0.5, 0.5], [0.5, 0.5]],
    "dC/dw": [[-0.75, -0.25], [-1.5, -0.5]],
    "dC/db": {"mean": [-0.25, 0], "sum": [-0.5, 0]},
    "C": 1.0,
    # after one step with a learning rate of 1/2
    "new w": [[1.375, -1.875], [0.25, 1.25]],
    "new b": {"mean": [0.125, 0], "sum": [0.25, 0]},
}


@pytest.fixture
def by_hand(dtype):
    return [np.array(BY_HAND[name], dtype) for name in ("x", "y", "w", "b")]


@RULES
def test_gradients_worked_by_hand(engine, dtype, by_hand, bias_reduction):
    x, _, w, b = by_hand
    assert_same_bits(engine.forward(x, w, b), np.array(BY_HAND["y_pred"], dtype))
    got = engine.gradients(*by_hand, bias_reduction=bias_reduction)
    assert_same_bits(got.w, np.array(BY_HAND["dC/dw"], dtype))
    assert_same_bits(got.b, np.array(BY_HAND["dC/db"][bias_reduction], dtype))
    assert got.cost == BY_HAND["C"]


@RULES
@pytest.mark.parametrize("function", ["backward", "step", "train"])
def test_one_step_worked_by_hand(engine, dtype, by_hand, function, bias_reduction):
    x, y, w, b = (array.copy() for array in by_hand)
    options = {"learning_rate": 0.5, "bias_reduction": bias_reduction}
    if function == "backward":
        assert engine.backward(x, np.array(BY_HAND["y_pred"], dtype), y, w, b, **options) is None
    elif function == "step":
        assert engine.step(x, y, w, b, **options) == BY_HAND["C"]
    else:
        assert engine.train(x, y, w, b, steps=1, **options)[0] == BY_HAND["C"]
    assert_same_bits(w, np.array(BY_HAND["new w"], dtype))
    assert_same_bits(b, np.array(BY_HAND["new b"][bias_reduction], dtype))


# ------------------------------------------------------------------------------------------ the same bits by every road

SHAPES = [(1, 1, 1), (2, 3, 2), (5, 4, 3), (9, 17, 8), (33, 16, 10), (16, 33, 1)]
LARGE = [pytest.param(shape, marks=pytest.mark.jit_only) for shape in [(300, 100, 10), (65, 129, 64), (2048, 64, 3)]]
ANY_SHAPE = pytest.mark.parametrize("shape", [*SHAPES, *LARGE], ids=str)


@ANY_SHAPE
@RULES
def test_training_is_a_loop_of_steps(engine, dtype, layer, shape, bias_reduction):
    """costs[i] is the cost after i updates."""
    x, y, w, b = layer(*shape, dtype)
    w_by_steps, b_by_steps = w.copy(), b.copy()
    costs = engine.train(x, y, w, b, steps=7, learning_rate=0.05, bias_reduction=bias_reduction)
    options = {"learning_rate": 0.05, "bias_reduction": bias_reduction}
    assert_same_bits(costs, by_steps(engine, x, y, w_by_steps, b_by_steps, 7, **options))
    assert_same_bits(w, w_by_steps)
    assert_same_bits(b, b_by_steps)


@ANY_SHAPE
def test_training_in_two_parts_is_training_in_one(engine, dtype, layer, shape):
    x, y, w, b = layer(*shape, dtype)
    w_in_parts, b_in_parts = w.copy(), b.copy()
    whole = engine.train(x, y, w, b, steps=7)
    first, second = (engine.train(x, y, w_in_parts, b_in_parts, steps=steps) for steps in (3, 4))
    assert_same_bits(np.concatenate([first, second[1:]]), whole)
    assert first[-1] == second[0]
    assert_same_bits(w_in_parts, w)
    assert_same_bits(b_in_parts, b)


@ANY_SHAPE
def test_training_twice_gives_the_same_bits(engine, dtype, layer, shape):
    x, y, w, b = layer(*shape, dtype)
    w_again, b_again = w.copy(), b.copy()
    assert_same_bits(engine.train(x, y, w, b, steps=3), engine.train(x, y, w_again, b_again, steps=3))
    assert_same_bits(w_again, w)
    assert_same_bits(b_again, b)


def test_no_steps_change_nothing_and_return_the_cost(engine, dtype, layer):
    x, y, w, b = layer(dtype=dtype)
    held = w.copy(), b.copy()
    costs = engine.train(x, y, w, b, steps=0)
    assert_same_bits(costs, np.array([engine.gradients(x, y, w, b).cost]))
    assert_same_bits(w, held[0])
    assert_same_bits(b, held[1])


def test_costs_are_float64_and_one_more_than_the_steps(engine, dtype, layer):
    costs = engine.train(*layer(dtype=dtype), steps=4)
    assert (costs.shape, costs.dtype) == ((5,), np.float64)
    assert type(engine.step(*layer(dtype=dtype))) is float


@pytest.mark.parametrize("steps", [np.int64(3), np.uint8(3), np.array(3)], ids=repr)
def test_steps_may_be_any_whole_number(engine, layer, steps):
    assert_same_bits(engine.train(*layer(), steps=steps), engine.train(*layer(), steps=3))


@pytest.mark.parametrize("rate", [1, np.float32(1), np.float64(1), np.int8(1)], ids=repr)
def test_learning_rate_may_be_any_real_number(engine, dtype, layer, rate):
    costs = engine.train(*layer(dtype=dtype), steps=3, learning_rate=rate)
    assert_same_bits(costs, engine.train(*layer(dtype=dtype), steps=3, learning_rate=1.0))


# ------------------------------------------------------------------------------------------- near steps, near results


@ANY_SHAPE
@RULES
def test_backward_of_forward_is_a_step(engine, dtype, layer, shape, bias_reduction):
    """Both are w - rate * gradient: apart by what the gradient may be off, and by the rounding of the update."""
    x, y, w, b = layer(*shape, dtype)
    w_by_step, b_by_step = w.copy(), b.copy()
    engine.backward(x, engine.forward(x, w, b), y, w, b, bias_reduction=bias_reduction)
    engine.step(x, y, w_by_step, b_by_step, bias_reduction=bias_reduction)
    off = update_bounds(x, y, *layer(*shape, dtype)[2:], bias_reduction)
    assert np.all(abs(np.subtract(w, w_by_step, dtype=np.float64)) <= 2 * off[0])
    assert np.all(abs(np.subtract(b, b_by_step, dtype=np.float64)) <= 2 * off[1])


@ANY_SHAPE
@RULES
def test_a_step_moves_against_the_gradient(engine, dtype, layer, shape, bias_reduction):
    x, y, w, b = layer(*shape, dtype)
    old_w, old_b = w.copy(), b.copy()
    gradients = engine.gradients(x, y, w, b, bias_reduction=bias_reduction)
    assert engine.step(x, y, w, b, bias_reduction=bias_reduction) == gradients.cost
    off = update_bounds(x, y, old_w, old_b, bias_reduction)
    assert np.all(abs(w - (old_w.astype(np.float64) - 0.1 * gradients.w)) <= 2 * off[0])
    assert np.all(abs(b - (old_b.astype(np.float64) - 0.1 * gradients.b)) <= 2 * off[1])


def update_bounds(x, y, w, b, bias_reduction, learning_rate=0.1):
    """How far w and b may be from the truth after one step: the bound of their gradients, and three roundings.

    The three are of the learning rate, of its product with the gradient, and of the difference.
    """
    bounds = Bounds.of(x, y, w, b, bias_reduction=bias_reduction, dtype=w.dtype)
    exact = reference.gradients(*(array.astype(np.float64) for array in (x, y, w, b)), bias_reduction=bias_reduction)
    u = unit(w.dtype)
    moves = learning_rate * (abs(exact.w) + bounds.w), learning_rate * (abs(exact.b) + bounds.b)
    return (
        learning_rate * bounds.w + 2 * u * moves[0] + u * (abs(w) + moves[0]),
        learning_rate * bounds.b + 2 * u * moves[1] + u * (abs(b) + moves[1]),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@RULES
def test_training_lowers_the_cost(engine, dtype, layer, shape, bias_reduction):
    """At a rate well below the inverse of the curvature, every step does."""
    x, y, w, b = layer(*shape, dtype)
    rate = 0.1 / np.sum(x.astype(np.float64) ** 2 + 1)
    costs = engine.train(x, y, w, b, steps=20, learning_rate=rate, bias_reduction=bias_reduction)
    assert np.all(np.diff(costs) < 0)


# ------------------------------------------------------------------------------ the same numbers, given in other ways

# Numbers that every dtype below holds exactly.
WHOLE_X = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
WHOLE_Y = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]])

DTYPES = ["?", "i1", "u1", "i2", ">i2", "u4", "i8", ">i8", "u8", "f2", ">f2", "g"]


def left_behind(engine, function, x, y, dtype, layer):
    """Everything that a call leaves behind, from the same weights each time."""
    w, b = (array.astype(dtype) for array in layer()[2:])
    options = {"train": {"steps": 3}, "backward": {"y_pred": np.full((5, 3), 0.25, dtype)}}.get(function, {})
    targets = {} if function == "forward" else {"y": y}
    result = getattr(engine, function)(x=x, w=w, b=b, **targets, **options)
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part) for part in (*parts, w, b) if part is not None]


def assert_same_training(engine, x, y, plain_x, plain_y, dtype, layer):
    for function in ("forward", "gradients", "backward", "step", "train"):
        got = left_behind(engine, function, x, y, dtype, layer)
        wanted = left_behind(engine, function, plain_x, plain_y, dtype, layer)
        for part, plain in zip(got, wanted, strict=True):
            assert_same_bits(part, plain)


@pytest.mark.parametrize("given", DTYPES)
def test_any_real_dtype_of_x_and_y_gives_the_same_bits(engine, dtype, layer, given):
    plain = WHOLE_X.astype(dtype), WHOLE_Y.astype(dtype)
    assert_same_training(engine, WHOLE_X.astype(given), WHOLE_Y.astype(given), *plain, dtype, layer)


@pytest.mark.parametrize("of_y", ["f4", "f8", ">f4", ">f8"])
def test_y_may_have_another_float_dtype_than_x(engine, dtype, layer, of_y):
    plain = WHOLE_X.astype(dtype), WHOLE_Y.astype(dtype)
    assert_same_training(engine, plain[0], WHOLE_Y.astype(of_y), *plain, dtype, layer)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_x_and_y_gives_the_same_bits(engine, dtype, layer, layout):
    x, y = layer(dtype=dtype)[:2]
    assert_same_training(engine, LAYOUTS[layout](x), LAYOUTS[layout](y), x, y, dtype, layer)


CONTAINERS = {
    "a list": lambda array: array.tolist(),
    "a tuple of arrays": tuple,
    "a memoryview": memoryview,
    "a matrix": lambda array: array.view(np.matrix),
    "what has __array__": lambda array: type("Column", (), {"__array__": lambda self, dtype=None, copy=None: array})(),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("container", CONTAINERS)
def test_any_container_of_numbers_gives_the_same_bits(engine, dtype, layer, container):
    x, y = layer(dtype=dtype)[:2]
    assert_same_training(engine, CONTAINERS[container](x), CONTAINERS[container](y), x, y, dtype, layer)


def test_the_same_row_over_and_over_is_as_good_as_its_copies(engine, dtype, layer):
    x, y = layer(dtype=dtype)[:2]
    x, y = np.broadcast_to(x[0], x.shape), np.broadcast_to(y[0], y.shape)
    assert_same_training(engine, x, y, x.copy(), y.copy(), dtype, layer)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_mapped_x_and_y_give_the_same_bits(engine, dtype, layer, tmp_path, mode):
    x, y = layer(dtype=dtype)[:2]
    mapped = []
    for name, array in (("x", x), ("y", y)):
        array.tofile(tmp_path / name)  # not np.save: in several threads Python 3.11's parser may fail on the header
        mapped.append(np.memmap(tmp_path / name, dtype, mode, shape=array.shape))
    assert_same_training(engine, *mapped, x, y, dtype, layer)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"big-endian"}))
def test_weights_that_are_only_read_may_have_any_layout(engine, dtype, layer, layout):
    x, y, w, b = layer(dtype=dtype)
    other_w, other_b = LAYOUTS[layout](w), LAYOUTS[layout](b)
    assert_same_bits(engine.forward(x, other_w, other_b), engine.forward(x, w, b))
    for part, wanted in zip(engine.gradients(x, y, other_w, other_b), engine.gradients(x, y, w, b), strict=True):
        assert_same_bits(part, wanted)


def _memory_mapped(array, folder):
    mapped = np.memmap(folder / f"{array.ndim}.bin", array.dtype, mode="w+", shape=array.shape)
    mapped[...] = array
    return mapped


UPDATABLE = {
    "unaligned": lambda array, folder: LAYOUTS["unaligned"](array),
    "in the middle of a vector": lambda array, folder: np.pad(array.ravel(), 3)[3:-3].reshape(array.shape),
    "memory-mapped": _memory_mapped,
    "a subclass": lambda array, folder: array.view(np.matrix) if array.ndim == 2 else array.view(np.recarray),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("function", ["backward", "step", "train"])
@pytest.mark.parametrize("kind", UPDATABLE)
def test_weights_are_updated_where_they_lie(engine, dtype, layer, kind, function, tmp_path):
    x, y, w, b = layer(dtype=dtype)
    there_w, there_b = (UPDATABLE[kind](array, tmp_path) for array in (w, b))
    y_pred = {"y_pred": engine.forward(x, w, b)} if function == "backward" else {}
    getattr(engine, function)(x=x, y=y, w=there_w, b=there_b, **y_pred)
    getattr(engine, function)(x=x, y=y, w=w, b=b, **y_pred)
    assert_same_bits(np.asarray(there_w), w)
    assert_same_bits(np.asarray(there_b), b)


def test_nothing_beside_the_weights_is_written(engine, dtype, layer):
    """A store that is a vector too long would show in the memory around w and b."""
    for shape in SHAPES:
        x, y, w, b = layer(*shape, dtype)
        around = [np.full(array.size + 64, 7, dtype) for array in (w, b)]
        inside = [memory[32:-32].reshape(array.shape) for memory, array in zip(around, (w, b), strict=True)]
        for place, array in zip(inside, (w, b), strict=True):
            place[...] = array
        engine.train(x, y, *inside, steps=2)
        for memory in around:
            np.testing.assert_array_equal(np.concatenate([memory[:32], memory[-32:]]), 7)


@pytest.mark.parametrize("function", ["forward", "gradients", "backward", "step", "train"])
def test_x_and_y_are_left_as_they_were(engine, dtype, layer, function):
    x, y, w, b = layer(33, 17, 9, dtype)
    arguments = {"x": x, "y": y, "y_pred": np.full_like(y, 0.25), "w": w, "b": b}
    held = {name: array.copy() for name, array in arguments.items()}
    wanted = {"forward": "x w b", "backward": "x y_pred y w b"}.get(function, "x y w b").split()
    getattr(engine, function)(**{name: arguments[name] for name in wanted})
    unchanged = ("x", "y", "y_pred") if function in ("backward", "step", "train") else arguments
    for name in unchanged:
        assert_same_bits(arguments[name], held[name])


def test_results_are_the_callers_own(engine, dtype, layer):
    """No result is a view of a buffer that the next call overwrites."""
    x, y, w, b = layer(dtype=dtype)
    y_pred, gradients, costs = engine.forward(x, w, b), engine.gradients(x, y, w, b), engine.train(x, y, w, b, steps=2)
    held = [np.copy(part) for part in (y_pred, *gradients, costs)]
    engine.train(x, 1 - y, w, b, steps=2)
    engine.gradients(-x, y, w, b)
    engine.forward(-x, w, b)
    for part, before in zip((y_pred, *gradients, costs), held, strict=True):
        assert_same_bits(np.asarray(part), before)
    assert all(part.flags.writeable for part in (y_pred, gradients.w, gradients.b, costs))


def test_the_callers_numpy_error_state_does_not_matter(engine, dtype, layer):
    x, y, w, b = layer(dtype=dtype)
    x, w = 100 * x, 100 * w  # saturated: e^-a overflows and underflows
    quiet = engine.train(x, y, w.copy(), b.copy(), steps=2)
    with np.errstate(all="raise"):
        assert_same_bits(engine.train(x, y, w.copy(), b.copy(), steps=2), quiet)
        engine.forward(x, w, b)
        engine.sigmoid(np.array([-1e4, 1e4], dtype))
        engine.sigmoid_gradient(np.array([-1e4, 1e4], dtype))
        engine.cost_gradient(np.array([-np.finfo(dtype).max], dtype), np.array([np.finfo(dtype).max], dtype))


# -------------------------------------------------------------------------------------------------------- divergence

# Divergence in step 3, after three good ones, in any order of rounding. Row 0 has x = 0 and drives b down: 3, 1.9,
# -0.6, -4.9. Row 1 has a = `a` + b; its sigmoid rounds to 1, so its delta is 0, until b = -4.9 wakes it: then its
# gradient, delta x with a huge x and a huge y, is beyond the dtype.
SLEEPING = {"float32": {"a": 19.2, "x": 1e30, "y": -1e18}, "float64": {"a": 39.6, "x": 1e180, "y": -1e150}}
STEP_OF_DIVERGENCE = 3


def diverging(dtype, bias_reduction, outputs=1):
    """x, y, w, b and the learning rate, which makes up for the rule; every output is the same."""
    sleeping = SLEEPING[dtype.name]
    layer = [[0], [sleeping["x"]]], [[-2], [sleeping["y"]]], [[sleeping["a"] / sleeping["x"]]], [3]
    x, y, w, b = (np.array(values, dtype) for values in layer)
    y, w, b = (np.repeat(part, outputs, axis=-1) for part in (y, w, b))
    return x, y, w, b, {"mean": 8.0, "sum": 4.0}[bias_reduction]


@RULES
def test_divergence_keeps_the_last_finite_state(engine, dtype, bias_reduction):
    assert_the_last_finite_state_is_kept(engine, dtype, bias_reduction)


def assert_the_last_finite_state_is_kept(engine, dtype, bias_reduction, outputs=1):
    """It is what as many steps leave, and what another step leaves, which raises as well."""
    x, y, w, b, rate = diverging(dtype, bias_reduction, outputs)
    options = {"learning_rate": rate, "bias_reduction": bias_reduction}
    with pytest.raises(FloatingPointError, match=rf"\bstep {STEP_OF_DIVERGENCE}\b"):
        engine.train(x, y, w, b, steps=50, **options)

    x, y, w_by_steps, b_by_steps, _ = diverging(dtype, bias_reduction, outputs)
    for _ in range(STEP_OF_DIVERGENCE):
        engine.step(x, y, w_by_steps, b_by_steps, **options)
    for _ in range(2):
        assert_same_bits(w, w_by_steps)
        assert_same_bits(b, b_by_steps)
        np.testing.assert_allclose(b, -4.9, atol=0.1)
        with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
            engine.step(x, y, w_by_steps, b_by_steps, **options)


@RULES
def test_training_that_stops_before_it_diverges_raises_nothing(engine, dtype, bias_reduction):
    *layer, rate = diverging(dtype, bias_reduction)
    options = {"learning_rate": rate, "bias_reduction": bias_reduction}
    assert np.all(np.isfinite(engine.train(*layer, steps=STEP_OF_DIVERGENCE, **options)))


@RULES
def test_both_engines_diverge_in_the_same_step_and_words(dtype, bias_reduction):
    said = set()
    for engine in ENGINES.values():
        *layer, rate = diverging(dtype, bias_reduction)
        with pytest.raises(FloatingPointError) as raised:
            engine.train(*layer, steps=50, learning_rate=rate, bias_reduction=bias_reduction)
        said.add(str(raised.value))
    assert len(said) == 1


@pytest.mark.parametrize("function", ["backward", "step", "train"])
def test_an_update_that_overflows_in_part_changes_nothing(engine, dtype, function):
    assert_all_is_updated_or_nothing(engine, dtype, function, 3)


def assert_all_is_updated_or_nothing(engine, dtype, function, outputs):
    """Every number of w and b is updated, or none: here that of w[1] overflows, those of w[0] and b would not."""
    x, y, w, b = (np.zeros(shape, dtype) for shape in ((1, 2), (1, outputs), (2, outputs), (outputs,)))
    x[0], y[:] = (1, np.finfo(dtype).max / 2), -1
    y_pred = {"y_pred": np.full((1, outputs), 0.5, dtype)} if function == "backward" else {}
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        getattr(engine, function)(x=x, y=y, w=w, b=b, learning_rate=10, **y_pred)
    assert_same_bits(w, np.zeros((2, outputs), dtype))
    assert_same_bits(b, np.zeros(outputs, dtype))


def test_no_steps_find_a_cost_that_is_not_finite(engine, layer):
    x, y, w, b = layer()
    y[-1, -1] = 1e300
    with pytest.raises(FloatingPointError, match=r"\bstep 0\b"):
        engine.train(x, y, w, b, steps=0)


# ---------------------------------------------------------------------------------------------------------- progress


def test_progress_is_shown_on_stderr_and_changes_no_bit(engine, dtype, layer, capfd):
    x, y, w, b = layer(dtype=dtype)
    silent_w, silent_b = w.copy(), b.copy()
    silent = engine.train(x, y, silent_w, silent_b, steps=20)
    assert capfd.readouterr() == ("", "")
    assert_same_bits(engine.train(x, y, w, b, steps=20, progress=True), silent)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "20/20" in shown.err
    assert_same_bits(w, silent_w)
    assert_same_bits(b, silent_b)
