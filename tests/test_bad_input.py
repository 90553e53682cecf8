"""Whatever cannot be used is refused before anything changes: by name, with what it was and what was wanted.

A case is one function, one argument and one way to spoil it. Every case must raise ValueError or TypeError, name the
argument, and leave every array as it was, to the bit; and both engines must use the same words.
"""

import datetime
import re
from fractions import Fraction

import numpy as np
import pytest
from conftest import ENGINES

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


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# What is no array of real numbers, wherever numbers are wanted.
NOT_NUMBERS = {
    "None": lambda array: None,
    "text": lambda array: "weights.npy",
    "a dictionary": lambda array: {"values": array},
    "complex": lambda array: array.astype(complex),
    "object": lambda array: array.astype(object),
    "strings": lambda array: array.astype(str),
    "bytes": lambda array: array.astype("S8"),
    "dates": lambda array: array.astype("datetime64[s]"),
    "a date": lambda array: datetime.date(2019, 5, 12),
    "a structure": lambda array: array.astype([("value", float)]),
    "masked": lambda array: np.ma.masked_less(array, 0.5),
}
WRONG_SHAPE = {
    "a dimension less": lambda array: array[0],
    "a dimension more": lambda array: array[np.newaxis],
    "a number": lambda array: 0.5,
    "no rows": lambda array: array[:0],
    "no elements": lambda array: [],
    "an element too many": lambda array: np.concatenate([array, array[..., :1]], axis=-1),
    "an element too few": lambda array: array[..., :-1],
}
ONLY_OF_MATRICES = {
    "no columns": lambda array: array[:, :0],
    "transposed": lambda array: array.T,
    "ragged": lambda array: [*array.tolist()[:-1], [1.0]],
    "ragged in depth": lambda array: [*array.tolist()[:-1], [[1.0], 2.0, 3.0]],
}
NOT_FINITE = {
    "nan": with_value(np.nan),
    "inf": with_value(np.inf),
    "-inf": with_value(-np.inf),
    "nan in a list": lambda array: with_value(np.nan)(array).tolist(),
    "beyond float64": lambda array: with_value(np.longdouble("1e4000"))(array.astype(np.longdouble)),
}
NOT_UPDATABLE = {
    "a list": lambda array: array.tolist(),
    "float16": lambda array: array.astype(np.float16),
    "longdouble": lambda array: array.astype(np.longdouble),
    "integers": lambda array: array.astype(int),
    "booleans": lambda array: array.astype(bool),
    "big-endian": lambda array: array.astype(">f8"),
    "the other float dtype": lambda array: array.astype(np.float32),
}
NOT_WRITEABLE = {
    "read-only": read_only,
    "every other element": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[::-1],
    "one element repeated": lambda array: np.lib.stride_tricks.as_strided(array, strides=(0,) * array.ndim),
}
NO_RATE = [0, 0.0, -0.0, -0.1, np.nan, np.inf, -np.inf, 10**400, Fraction(10**400), None, "0.1", True, 1j, [0.1], {}]
NO_COUNT = [True, -1, -(10**30), 1.0, 1e300, np.nan, None, "3", [3], 1j]
NO_REDUCTION = ["max", "", "Mean", b"mean", None, 0, True, ["mean"], np.array(["mean", "sum"])]


def longdouble_is_wider(way):
    return ("longdouble" not in way and "beyond" not in way) or np.finfo(np.longdouble).max > np.finfo(float).max


def every_case():
    """(function, argument, way, spoil) for all that must be refused with ValueError or TypeError."""
    for function, arguments in FUNCTIONS.items():
        for argument in arguments:
            ways = dict(NOT_NUMBERS)
            if function in LAYERED:
                ways |= WRONG_SHAPE
                if argument != "b":
                    ways |= ONLY_OF_MATRICES
                if argument in ("w", "b"):
                    ways |= NOT_UPDATABLE
                    ways |= NOT_WRITEABLE if function in UPDATING else {}
                else:
                    ways |= NOT_FINITE
                    ways |= {"the other float dtype": lambda array: array.astype(np.float32)} if argument == "x" else {}
            elif function in PAIRED:
                ways |= WRONG_SHAPE | ONLY_OF_MATRICES | NOT_FINITE
            else:
                ways |= {"ragged": ONLY_OF_MATRICES["ragged"]}
            for way, spoil in ways.items():
                if longdouble_is_wider(way):
                    yield function, argument, way, spoil
        if function in ("gradients", *UPDATING):
            for value in NO_REDUCTION:
                yield function, "bias_reduction", repr(value), lambda _, value=value: value
        if function in UPDATING:
            for value in NO_RATE:
                yield function, "learning_rate", repr(value)[:20], lambda _, value=value: value
    for value in NO_COUNT:
        yield "train", "steps", repr(value), lambda _, value=value: value


CASES = [pytest.param(*case, id="-".join(case[:3])) for case in every_case()]


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


@pytest.mark.parametrize(("function", "argument", "way", "spoil"), CASES)
def test_refused_by_name_before_anything_changes(engine, function, argument, way, spoil):
    arguments = arguments_of(function)
    arguments[argument] = spoil(arguments.get(argument))
    error = refusal(engine, function, arguments)
    assert_explains(str(error), argument)


@pytest.mark.parametrize(("function", "argument", "way", "spoil"), CASES)
def test_both_engines_refuse_in_the_same_words(function, argument, way, spoil):
    said = []
    for engine in ENGINES.values():
        arguments = arguments_of(function)
        arguments[argument] = spoil(arguments.get(argument))
        error = refusal(engine, function, arguments)
        said.append((type(error), str(error)))
    assert len(set(said)) == 1


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
def test_nan_in_the_weights_is_divergence_before_the_first_step(engine, dtype, function, argument):
    arguments = arguments_of(function, dtype)
    arguments[argument] = with_value(np.nan)(arguments[argument])
    error = refusal(engine, function, arguments, FloatingPointError)
    assert re.search(r"\bstep 0\b", str(error))


@pytest.mark.parametrize("function", ["gradients", "step", "train"])
def test_a_cost_that_overflows_is_divergence(engine, function):
    arguments = arguments_of(function)
    arguments["y"] = with_value(1e300)(arguments["y"])
    error = refusal(engine, function, arguments, FloatingPointError)
    assert re.search(r"\bstep 0\b", str(error))


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


def test_messages_say_where(engine):
    arguments = arguments_of("step")
    arguments["y"][2, 1] = np.nan
    with pytest.raises(ValueError, match=re.escape("y must be finite in dtype float64, but y[2, 1] is nan")):
        engine.step(**arguments)


def test_options_go_by_name_alone(engine):
    for function in ("gradients", *UPDATING):
        with pytest.raises(TypeError, match="positional"):
            getattr(engine, function)(*arguments_of(function).values(), 0.1, "mean")
