"""What is wrong with several arguments together, or in some shapes alone, is refused before anything changes.

`test_every_argument` has all that is wrong with one argument alone. What is refused leaves every array as it was, to
the bit, and the message names the argument, what it was and what was wanted.
"""

import collections
import re

import numpy as np
import pytest
from planning import WAYS, gone_through

import fastbp

# Arguments in the order of each function. The first group takes a layer; the second, outputs; the third, anything.
LAYERED = {
    "forward": "x w b",
    "gradients": "x y w b",
    "backward": "x y_pred y w b",
    "step": "x y w b",
    "train": "x y w b",
}
PAIRED = {"cost": "y_pred y", "cost_gradient": "y_pred y"}
ELEMENTWISE = {"sigmoid": "x", "sigmoid_gradient": "x"}
FUNCTIONS = {name: arguments.split() for name, arguments in (LAYERED | PAIRED | ELEMENTWISE).items()}
UPDATING = ["backward", "step", "train"]


def with_value(value):
    """Spoil one element: the last, where a kernel that looks at whole vectors only would miss it."""

    def spoil(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return spoil


def arguments_of(function, dtype="float64"):
    """Good arguments by name: 5 rows, 4 inputs, 3 outputs."""
    rng = np.random.default_rng(2019)
    known = {
        "x": rng.uniform(-1, 1, (5, 4)),
        "y": rng.uniform(0, 1, (5, 3)),
        "y_pred": rng.uniform(0.1, 0.9, (5, 3)),
        "w": rng.normal(0, 1, (4, 3)),
        "b": rng.normal(0, 1, 3),
    }
    arguments = {name: known[name].astype(dtype) for name in FUNCTIONS[function]}
    return arguments | ({"steps": 2} if function == "train" else {})


def bits(arguments):
    return {name: value.tobytes() for name, value in arguments.items() if isinstance(value, np.ndarray)}


def refusal(engine, function, arguments, errors=(ValueError, TypeError)):
    """The error that `engine` raises for these arguments, having changed none of them."""
    before = bits(arguments)
    with pytest.raises(errors) as raised:
        getattr(engine, function)(**arguments)
    assert bits(arguments) == before
    return raised.value


def assert_explains(message, argument):
    assert re.search(rf"\b{argument}\b", message), f"does not name {argument}: {message}"
    assert re.search(r"\b(has|is|are|overlap|contains)\b", message), f"does not say what it was: {message}"
    assert re.search(r"\b(wanted|must)\b|fill it", message), f"does not say what was wanted: {message}"


def test_good_arguments_are_accepted(engine, dtype):
    for function in FUNCTIONS:
        getattr(engine, function)(**arguments_of(function, dtype))


@pytest.mark.parametrize("function", UPDATING)
@pytest.mark.parametrize("updated", ["w", "b"])
@pytest.mark.parametrize("kind", ["itself", "transposed", "reversed", "a memoryview"])
def test_inputs_that_overlap_what_is_updated_are_refused(engine, function, updated, kind):
    arguments = arguments_of(function)
    memory = np.random.default_rng(3).uniform(0.1, 0.9, 40)
    arguments["w"] = memory[:12].reshape(4, 3)
    arguments["b"] = memory[20:23]
    first = {"w": 0, "b": 20}[updated]
    overlapping = {
        "itself": lambda rows, columns: memory[first : first + rows * columns].reshape(rows, columns),
        "transposed": lambda rows, columns: memory[first : first + rows * columns].reshape(columns, rows).T,
        "reversed": lambda rows, columns: memory[first : first + rows * columns][::-1].reshape(rows, columns),
        "a memoryview": lambda rows, columns: memoryview(memory[first : first + rows * columns].reshape(rows, columns)),
    }[kind]
    for argument in set(FUNCTIONS[function]) - {"w", "b"}:
        spoiled = arguments | {argument: overlapping(*arguments[argument].shape)}
        error = refusal(engine, function, spoiled, ValueError)
        assert_explains(str(error), argument)
        assert_explains(str(error), updated)


class _ArrayLike:
    """Makes an array of itself, as others' tensors do: each of these, one after the other; without any it fails."""

    def __init__(self, answers):
        self._answers = answers

    def __array__(self, dtype=None, copy=None):
        if not self._answers:
            raise RuntimeError("it cannot")
        return self._answers.pop(0)


@pytest.mark.parametrize("function", UPDATING)
def test_what_makes_an_array_of_itself_does_so_once_or_is_refused_by_name(engine, function):
    arguments = arguments_of(function)
    for argument in set(FUNCTIONS[function]) - {"w", "b"}:
        for bad in (_ArrayLike([]), collections.deque([[1, 2], [3]])):
            error = refusal(engine, function, arguments | {argument: bad}, ValueError)
            assert_explains(str(error), argument)
        answers = [arguments[argument], np.zeros(9)]  # a second one would be looked at by nobody
        getattr(engine, function)(**(arguments | {argument: _ArrayLike(answers)}))
        assert len(answers) == 1


OF_OWN_MEMORY = {
    "itself": lambda array: array,
    "a view": lambda array: array[:],
    "a view of a view": lambda array: array[::-1][::-1],
    "transposed": lambda array: array.T,
    "an ndarray on its buffer": lambda array: np.ndarray(array.shape, array.dtype, buffer=array),
    "strided by hand": lambda array: np.lib.stride_tricks.as_strided(array),
}


@pytest.mark.parametrize("function", UPDATING)
@pytest.mark.parametrize("kind", OF_OWN_MEMORY)
def test_inputs_in_the_memory_of_w_or_b_are_refused_also_where_these_own_it(engine, function, kind):
    random = np.random.default_rng(3)
    square = {name: random.uniform(0.1, 0.9, (4, 4)) for name in ("x", "y", "y_pred", "w")} | {"b": np.zeros(4)}
    one_row = {name: random.uniform(0.1, 0.9, (1, 3)) for name in ("x", "y", "y_pred")}
    one_row |= {"w": random.uniform(0.1, 0.9, (3, 3)), "b": np.zeros(3)}
    for known, updated in ((square, "w"), (one_row, "b")):
        arguments = {name: known[name] for name in FUNCTIONS[function]}
        assert arguments[updated].flags.owndata
        taken = arguments[updated] if updated == "w" else arguments[updated][np.newaxis]
        for argument in set(arguments) - {"w", "b"}:
            error = refusal(engine, function, arguments | {argument: OF_OWN_MEMORY[kind](taken)}, ValueError)
            assert_explains(str(error), argument)
            assert_explains(str(error), updated)


@pytest.mark.parametrize("function", UPDATING)
def test_w_and_b_that_overlap_are_refused(engine, function):
    arguments = arguments_of(function)
    arguments["b"] = arguments["w"][-1]
    error = refusal(engine, function, arguments, ValueError)
    assert_explains(str(error), "w")
    assert_explains(str(error), "b")


@pytest.mark.parametrize("function", UPDATING)
def test_inputs_may_lie_around_what_is_updated(engine, function):
    """Rows 0, 4 and 8 of one block are x, those between are w, y, and y_pred: near, but apart."""
    block = np.random.default_rng(4).uniform(0, 1, (12, 3))
    known = {"x": block[:9:4], "w": block[1:4], "y": block[5:8], "y_pred": block[9:], "b": np.zeros(3)}
    x = known["x"].copy()
    getattr(engine, function)(**{name: known[name] for name in FUNCTIONS[function]})
    np.testing.assert_array_equal(known["x"], x)


@pytest.mark.parametrize("function", ["forward", "gradients"])
def test_what_is_only_read_may_overlap_and_be_read_only(engine, function):
    memory = np.arange(1.0, 17.0).reshape(4, 4) / 16
    memory.flags.writeable = False
    arguments = {"x": memory, "y": memory.T, "w": memory, "b": memory[0]}
    getattr(engine, function)(**{name: arguments[name] for name in FUNCTIONS[function]})


@pytest.mark.parametrize("function", LAYERED)
@pytest.mark.parametrize("value", [1e300, -1e300])
def test_what_overflows_float32_is_refused_as_infinite(engine, function, value):
    for argument in set(FUNCTIONS[function]) - {"w", "b"}:
        arguments = arguments_of(function, "float32")
        arguments[argument] = arguments[argument].tolist()
        arguments[argument][-1][-1] = value
        error = refusal(engine, function, arguments, ValueError)
        assert_explains(str(error), argument)
        assert "inf" in str(error)


@pytest.mark.parametrize("function", UPDATING)
@pytest.mark.parametrize("rate", [1e300, 1e-60])
def test_a_rate_beyond_the_dtype_is_refused(engine, function, rate):
    error = refusal(engine, function, arguments_of(function, "float32") | {"learning_rate": rate}, ValueError)
    assert_explains(str(error), "learning_rate")


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32"), (">f8", "float32")], ids=str)
@pytest.mark.parametrize("function", LAYERED)
def test_weights_must_have_the_dtype_of_x(engine, function, dtypes):
    arguments = arguments_of(function)
    of_x, of_weights = dtypes
    arguments |= {"x": arguments["x"].astype(of_x)} | {name: arguments[name].astype(of_weights) for name in ("w", "b")}
    error = refusal(engine, function, arguments, TypeError)
    assert_explains(str(error), "w")


@pytest.mark.parametrize("function", ["gradients", *UPDATING])
@pytest.mark.parametrize("argument", ["w", "b"])
def test_nan_in_the_weights_is_named_and_no_divergence(engine, dtype, function, argument):
    arguments = arguments_of(function, dtype)
    arguments[argument] = with_value(np.nan)(arguments[argument])
    error = refusal(engine, function, arguments, ValueError)
    assert re.fullmatch(rf"{argument}\[[0-9, ]+\] is nan; a finite number in dtype {dtype} is wanted", str(error))


@pytest.mark.parametrize("function", ["gradients", "step", "train"])
def test_a_cost_that_overflows_is_divergence(engine, function):
    arguments = arguments_of(function)
    arguments["y"] = with_value(1e300)(arguments["y"])
    error = refusal(engine, function, arguments, FloatingPointError)
    assert re.search(r"a gradient is not finite" if function == "gradients" else r"\bstep 0\b", str(error))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("argument", ["x", "y"])
def test_no_steps_still_refuse_what_is_not_finite(engine, dtype, argument, value):
    arguments = arguments_of("train", dtype) | {"steps": 0}
    arguments[argument] = with_value(value)(arguments[argument])
    assert_explains(str(refusal(engine, "train", arguments, ValueError)), argument)


# Where an infinite x meets a sigmoid that is flat, or a weight of 0, only nan = 0 * inf can tell.
HIDING = {"flat at 1": 50.0, "flat at 0": -50.0, "weight 0": 0.0}


@pytest.mark.parametrize("function", LAYERED)
@pytest.mark.parametrize("weight", HIDING.values(), ids=HIDING)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (2, 1, 1), (3, 4, 1), (9, 8, 2), (33, 17, 16)], ids=str)
def test_no_shape_hides_an_infinite_x(engine, dtype, function, weight, shape):
    rows, inputs, outputs = shape
    for row, column in {(0, 0), (rows - 1, inputs - 1), (rows // 2, inputs // 3)}:
        for value in (np.nan, np.inf, -np.inf):
            x = np.ones((rows, inputs), dtype)
            x[row, column] = value
            outs, w, b = np.zeros((rows, outputs), dtype), np.full((inputs, outputs), weight, dtype), np.zeros(outputs)
            known = {"x": x, "y": outs, "y_pred": outs.copy(), "w": w, "b": b.astype(dtype)}
            error = refusal(engine, function, {name: known[name] for name in FUNCTIONS[function]}, ValueError)
            assert f"x[{row}, {column}] is {value}" in str(error)


@pytest.mark.parametrize("way", [*WAYS])
def test_no_way_forward_hides_an_infinite_x(dtype, way):
    with gone_through(way):
        for rows, inputs, outputs in [(1, 5, 3), (40, 9, 13), (70, 3, 33), (130, 40, 1)]:
            w, b = np.zeros((inputs, outputs), dtype), np.zeros(outputs, dtype)
            for row, column in {(0, 0), (rows - 1, inputs - 1), (rows // 2, inputs // 3)}:
                x = np.ones((rows, inputs), dtype)
                x[row, column] = -np.inf
                with pytest.raises(ValueError, match=re.escape(f"x[{row}, {column}] is -inf")):
                    fastbp.forward(x, w, b)


def test_a_finite_x_may_overflow_on_its_way_forward(engine, dtype):
    for rows in (1, 7, 200):
        for outputs in (1, 20):
            x, w = np.full((rows, 2), 4.0, dtype), np.full((2, outputs), np.finfo(dtype).max, dtype)
            assert np.all(engine.forward(x, w, np.zeros(outputs, dtype)) == 1.0)


def test_messages_say_where(engine):
    arguments = arguments_of("step")
    arguments["y"][2, 1] = np.nan
    with pytest.raises(ValueError, match=re.escape("y[2, 1] is nan; a finite number in dtype float64 is wanted")):
        engine.step(**arguments)


def test_options_go_by_name_alone(engine):
    for function in ("gradients", *UPDATING):
        with pytest.raises(TypeError, match="positional"):
            getattr(engine, function)(*arguments_of(function).values(), 0.1, "mean")
