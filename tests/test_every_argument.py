"""Every argument of every public function and method, in every way that it can be wrong.

The functions and their arguments are found in the package, the ways to spoil an argument are made from a good one: a
case is one argument, one way. For each argument a table says which ways are good, and which end as divergence; any
other must raise ValueError or TypeError that names the argument, says what it was and what is wanted. Then nothing has
changed: no array that was passed, and nothing of a network. Both engines must use the same words.
"""

import datetime
import fractions
import functools
import inspect
import itertools
import re
from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ENGINES, LAYOUTS
from network_state import everything
from test_bad_input import assert_explains

import fastbp
from fastbp import SGD, Adam, EarlyStopping
from fastbp.reference.network import shuffled

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

HUGE = 10**14  # numbers, which no memory has

# ------------------------------------------------------------------------------------------------- ways to be another


def with_last(value):
    """Spoil one element: the last, where a kernel that looks at whole vectors only would miss it."""

    def spoil(array):
        if array.dtype.kind not in "iuf":
            raise TypeError("no array of numbers")
        array = array.astype(np.result_type(array, type(value)))
        array.reshape(-1)[-1:] = value
        return array[()]

    return spoil


def huge(array):
    """So many rows that no memory has, one row over and over."""
    return np.broadcast_to(array[:1] if array.ndim else array, (HUGE, *array.shape[1:]))


# Each way makes something else of a good array; where that is senseless it raises IndexError, TypeError or ValueError.
OF_ARRAYS = {
    "itself": lambda array: array[()],
    "a dimension less": lambda array: array[0],
    "a dimension more": lambda array: array[np.newaxis],
    "a row of dimension 1": lambda array: array.reshape(-1),
    "no rows": lambda array: array[:0],
    "no columns": lambda array: array[..., :0] if array.ndim > 1 else array[:, :0],
    "one too many": lambda array: np.concatenate([array, array[..., :1]], axis=-1),
    "one too few": lambda array: array[..., :-1],
    "a row too few": lambda array: array[:-1] if array.ndim > 1 else array[:, :0],
    "transposed": lambda array: np.swapaxes(array, 0, 1),
    "one element": lambda array: array.reshape(-1)[:1].reshape((1,) * max(1, array.ndim)),
    "a 0-d array": lambda array: np.array(array.reshape(-1)[0]),
    **{
        dtype: lambda array, dtype=dtype: array.astype(dtype)[()]
        for dtype in ["c16", "?", "i8", "u1", "f2", "f4", "f8", "g", "S", "U", "datetime64[s]", "timedelta64[s]"]
    },
    "StringDType": lambda array: array[:, ...].astype(str).astype(np.dtypes.StringDType()),
    "objects": lambda array: array[:, ...].astype(object),
    "a structure": lambda array: array.astype([("value", array.dtype)])[()],
    **{name: lambda array, layout=layout: layout(array[:, ...]) for name, layout in LAYOUTS.items() if name != "C"},
    "one row over and over": lambda array: np.broadcast_to(array[:1], array.shape),
    "one element over and over": lambda array: np.lib.stride_tricks.as_strided(
        array[:, ...], strides=(0,) * array.ndim
    ),
    "nan in it": with_last(np.nan),
    "inf in it": with_last(np.inf),
    "-inf in it": with_last(-np.inf),
    "1e300 in it": with_last(1e300),
    "beyond float64": with_last(np.longdouble("1e4000")),
    "-1 in it": with_last(-1.0),
    "a list": lambda array: array.tolist() if array.ndim else [array.tolist()],
    "nan in a list": lambda array: with_last(np.nan)(array[:, ...]).tolist(),
    "a tuple": lambda array: tuple(array.tolist()),
    "a ragged list": lambda array: [*array.tolist()[:-1], [1.0]],
    "a list ragged in depth": lambda array: [*array.tolist()[:-1], [[1.0], 2.0, 3.0]],
    "a generator": lambda array: (element for element in array.tolist()),
    "a memoryview": lambda array: memoryview(array[:, ...]),
    "bytes": lambda array: array.tobytes(),
    "np.matrix": np.matrix,
    "a masked array": lambda array: np.ma.masked_array(array, np.zeros(array.shape, bool)),
    "a dictionary": lambda array: {"values": array},
    "huge": huge,
    "huge and of bytes": lambda array: huge(array.astype(np.int8)),
    "huge and wide": lambda array: np.broadcast_to(array[0, 0], (10**7, 10**7)),
}
CONSTANTS = {
    repr(value)[:30]: value
    for value in [
        None,
        "text",
        "",
        b"text",
        True,
        np.True_,
        0,
        0.0,
        -1,
        -0.1,
        2.5,
        3,
        1e300,
        1e-60,
        np.nan,
        np.inf,
        -np.inf,
        1j,
        fractions.Fraction(1, 4),
        Decimal("0.5"),
        np.timedelta64(1, "s"),
        np.datetime64("2019-05-12"),
        datetime.date(2019, 5, 12),
        ...,
        np.ma.masked,
        np,
    ]
} | {
    "10**18": 10**18,
    "10**400": 10**400,
    "-10**30": -(10**30),
    "a whole number of 5000 digits": 10**5000,
    "less than 0, of 5000 digits": -(10**5000),
    "a fraction beyond float64": fractions.Fraction(10**400),
    "an object": object(),
    "a function": lambda *arguments: None,
    "an empty list": [],
    "an empty dictionary": {},
    "an empty set": set(),
    "numbers from 0 on": range(3),
    "a list that holds itself": [0],
    "a long list": [0.5] * 1000,
}
CONSTANTS["a list that holds itself"][0] = CONSTANTS["a list that holds itself"]


def ways_of(good):
    """(way, value): all that is made of a good argument."""
    if isinstance(good, (np.ndarray, list, float, int, str)) and not isinstance(good, bool):
        for way, make in OF_ARRAYS.items():
            try:
                yield way, make(np.asarray(good))
            except (IndexError, TypeError, ValueError):
                continue
    else:
        yield "itself", good
    yield from CONSTANTS.items()


# ------------------------------------------------------------------------------------------------------ good arguments


def of_layer():
    """5 rows, 4 inputs, 3 outputs."""
    rng = np.random.default_rng(2019)
    return {
        "x": rng.uniform(0.1, 0.9, (5, 4)),
        "y": rng.uniform(0.1, 0.9, (5, 3)),
        "y_pred": rng.uniform(0.1, 0.9, (5, 3)),
        "w": rng.normal(0, 1, (4, 3)),
        "b": rng.normal(0, 1, 3),
        "learning_rate": 0.5,
        "bias_reduction": "mean",
        "steps": 2,
        "progress": False,
    }


def of_network():
    """For a network of 4 inputs and 3 outputs: 6 rows, of which the last are in a second batch; one epoch."""
    rng = np.random.default_rng(2020)
    x, y, sample_weight = rng.uniform(0.1, 0.9, (6, 4)), rng.uniform(0.1, 0.9, (6, 3)), rng.uniform(0.1, 0.9, 6)
    return {
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "optimizer": Adam(),  # another than before, which must not be taken over from a call that is refused
        "epochs": 2,
        "batch_size": 4,
        "shuffle": True,
        "validation_data": (x[:2].copy(), y[:2].copy(), sample_weight[:2].copy()),
        "validation_fraction": None,
        "early_stopping": EarlyStopping(monitor="loss"),
        "callback": lambda epoch, metrics: True,
        "progress": False,
        "path": "network.safetensors",
    }


OF_ADAM = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.5, "epsilon": 0.5, "weight_decay": 0.5, "clip_norm": 0.5}
SETTINGS = {
    "Network": {
        "sizes": [4, 5, 3],
        "activation": "tanh",
        "output_activation": "sigmoid",
        "loss": "squared_error",
        "dtype": "float64",
        "seed": 3,
    },
    "SGD": {"learning_rate": 0.5, "momentum": 0.5, "nesterov": False, "weight_decay": 0.5, "clip_norm": 0.5},
    "Adam": OF_ADAM,
    "AdamW": OF_ADAM,
    "StepDecay": {"initial": 0.5, "every": 3, "factor": 0.5, "warmup": 2},
    "CosineDecay": {"initial": 0.5, "steps": 3, "final": 0.5, "warmup": 2},
    "EarlyStopping": {"monitor": "loss", "patience": 3, "minimum_change": 0.5},
    "History.append": {"metrics": {"loss": 0.5}},
    "History.plot": {"ax": None},
    "set_num_threads": {"n": 2},
}


def good_arguments(name, arguments):
    owner, _, method = name.partition(".")
    known = SETTINGS.get(name) or (of_network() if owner == "Network" else {"step": 3} if method else of_layer())
    return {argument: known[argument] for argument in arguments}


# ----------------------------------------------------------------------------------------------------------- the table


class Row(NamedTuple):
    """The ways that are good for an argument, and those that are found to diverge; all others are refused."""

    good: set[str]
    diverges: Collection[str] = ()


ANYWHERE = (set(LAYOUTS) - {"C", "big-endian"}) | {"one row over and over", "one element over and over"}
REALS = {"?", "i8", "u1", "f2", "f4", "f8", "g", "big-endian"}
CONTAINERS = {"a list", "a tuple", "a memoryview", "np.matrix"}
NOT_FINITE = {"nan in it", "inf in it", "-inf in it"}
MATRIX = {"itself", "-1 in it"} | ANYWHERE | REALS | CONTAINERS
ANY_SHAPE = {
    *("a dimension less", "a dimension more", "a row of dimension 1", "no rows", "no columns", "one too many"),
    *("one too few", "a row too few", "transposed", "one element", "a 0-d array", "an empty list", "numbers from 0 on"),
    *("a long list", "True", "0", "0.0", "-1", "-0.1", "2.5", "3", "10**18", "1e+300", "1e-60", "nan", "inf", "-inf"),
    "np.True_",
}
LARGE = {"1e300 in it"}

ELEMENTS = Row(MATRIX | LARGE | ANY_SHAPE | NOT_FINITE | {"beyond float64", "nan in a list"})
X_ALONE = Row(MATRIX | LARGE | {"a row too few"})
X = Row(MATRIX | LARGE)
Y = Row(MATRIX, diverges=LARGE)
READ_W = Row({"itself", "f8", "-1 in it", "np.matrix"} | ANYWHERE | LARGE)
READ_B = Row(READ_W.good - {"np.matrix"} | {"a row of dimension 1"})
FLAT_W, FLAT_B = (  # where a weight is infinite, a sigmoid is flat and its gradient 0
    Row(row.good | NOT_FINITE - {"nan in it"}) for row in (READ_W, READ_B)
)
UPDATED_W = Row({"itself", "f8", "-1 in it", "np.matrix", "unaligned"} | LARGE)
UPDATED_B = Row(UPDATED_W.good - {"np.matrix"} | {"a row of dimension 1", "Fortran", "inside a larger array"})
ROW_WEIGHTS = Row(MATRIX - {"-1 in it", "np.matrix"} | {"a row of dimension 1", "None"} | LARGE)
LARGE_ROW_WEIGHTS = Row(ROW_WEIGHTS.good - LARGE, diverges=LARGE)

OF_FLOAT = {"itself", "f2", "f4", "f8", "g", "1e-60", "Fraction(1, 4)"}
POSITIVE = Row(OF_FLOAT | {"1e300 in it", "2.5", "3", "10**18", "1e+300"})
POSITIVE_OR_NONE = Row(POSITIVE.good | {"None"})
NOT_NEGATIVE = Row(POSITIVE.good | {"0", "0.0", "i8", "u1"})
BELOW_1 = Row(OF_FLOAT | {"0", "0.0", "i8", "u1"})
ONE_AT_MOST = Row(OF_FLOAT)
FEW = Row({"itself", "a 0-d array", "i8", "u1", "3", "0"})
FEW_FROM_1 = Row(FEW.good - {"0"})
FROM_0 = Row(FEW.good | {"10**18", "10**400", "a whole number of 5000 digits"})
FROM_1 = Row(FROM_0.good - {"0"})
SEED = Row(FEW.good | {"10**18"})
FROM_1_OR_NONE = Row(FROM_1.good | {"None"})
FLAG = Row({"itself", "True", "np.True_"})
NAME = Row({"itself", "U"})
ALONE = Row({"itself"})
OR_NONE = Row({"itself", "None"})
SIZES = Row(
    {"itself", "a row of dimension 1", "one too many", "one too few", "i8", "u1", "objects", "big-endian"}
    | ANYWHERE
    | CONTAINERS - {"np.matrix"}
    | {"a generator", "a masked array"}  # of which a masked element is no whole number
)
FILE = Row({"itself", "U", "'text'"})

OF_OPTIMIZER = {"learning_rate": POSITIVE, "weight_decay": NOT_NEGATIVE, "clip_norm": POSITIVE_OR_NONE}
LIKE_ADAM = OF_OPTIMIZER | {"beta1": BELOW_1, "beta2": BELOW_1, "epsilon": POSITIVE}
OF_UPDATE = {"w": UPDATED_W, "b": UPDATED_B, "learning_rate": POSITIVE, "bias_reduction": NAME}
TABLE = {
    "sigmoid": {"x": ELEMENTS},
    "sigmoid_gradient": {"x": ELEMENTS},
    "cost": {"y_pred": X, "y": X},
    "cost_gradient": {"y_pred": X, "y": X},
    "forward": {
        "x": Row(X_ALONE.good - {"f4"}),
        "w": Row(READ_W.good | NOT_FINITE),
        "b": Row(READ_B.good | NOT_FINITE),
    },
    "gradients": {"x": Row(X.good - {"f4"}), "y": Y, "w": FLAT_W, "b": FLAT_B, "bias_reduction": NAME},
    "backward": {"x": Row(X.good - {"f4"}), "y_pred": Y, "y": Y} | OF_UPDATE,
    "step": {"x": Row(X.good - {"f4"}), "y": Y} | OF_UPDATE,
    "train": {"x": Row(X.good - {"f4"}), "y": Y} | OF_UPDATE | {"steps": FEW, "progress": FLAG},
    "Network": {
        "sizes": SIZES,
        "activation": Row(NAME.good | {"a list"}),
        "output_activation": Row(NAME.good | {"None"}),
        "loss": NAME,
        "dtype": Row(NAME.good | {"S"}),
        "seed": SEED,
    },
    "Network.predict": {"x": X_ALONE},
    "Network.predict_classes": {"x": X_ALONE},
    "Network.evaluate": {"x": X, "y": X, "sample_weight": ROW_WEIGHTS},
    "Network.gradients": {"x": X, "y": Y, "sample_weight": ROW_WEIGHTS},
    "Network.step": {"x": X, "y": Y, "optimizer": OR_NONE, "sample_weight": LARGE_ROW_WEIGHTS},
    "Network.fit": {
        "x": X,
        "y": Y,
        "epochs": FROM_0,
        "batch_size": FROM_1_OR_NONE,
        "optimizer": OR_NONE,
        "shuffle": FLAG,
        "sample_weight": LARGE_ROW_WEIGHTS,
        "validation_data": OR_NONE,
        "validation_fraction": OR_NONE,
        "early_stopping": OR_NONE,
        "callback": Row(OR_NONE.good | {"a function"}),
        "progress": FLAG,
    },
    "Network.save": {"path": FILE},
    "Network.load": {"path": FILE},
    "SGD": OF_OPTIMIZER | {"momentum": BELOW_1, "nesterov": FLAG},
    "SGD.rate": {"step": FEW},
    "Adam": LIKE_ADAM,
    "Adam.rate": {"step": FEW},
    "AdamW": LIKE_ADAM,
    "AdamW.rate": {"step": FEW},
    "StepDecay": {"initial": POSITIVE, "every": FEW_FROM_1, "factor": ONE_AT_MOST, "warmup": FEW},
    "StepDecay.__call__": {"step": FEW},
    "CosineDecay": {"initial": POSITIVE, "steps": FEW_FROM_1, "final": NOT_NEGATIVE, "warmup": FEW},
    "CosineDecay.__call__": {"step": FEW},
    "EarlyStopping": {"monitor": NAME, "patience": FROM_1, "minimum_change": NOT_NEGATIVE},
    "History.append": {"metrics": Row({"itself", "an empty dictionary"})},
    "History.plot": {"ax": OR_NONE},
    "set_num_threads": {"n": FROM_1},
}
CASES = [(name, argument) for name, rows in TABLE.items() for argument in rows]


def public(engine):
    """The arguments of all that is public and takes some, by its name: functions, classes, fastbp's own methods."""
    found = {}
    for name in set(engine.__all__) - {"Gradients", "__version__"}:  # what the engines made, and what takes nothing
        found[name] = thing = getattr(engine, name)
        if inspect.isclass(thing):
            own = {
                attribute for kind in thing.__mro__ if kind.__module__.startswith("fastbp") for attribute in vars(kind)
            }
            methods = {attribute for attribute in own if not attribute.startswith("_") or attribute == "__call__"}
            found |= {
                f"{name}.{method}": getattr(thing, method) for method in methods if callable(getattr(thing, method))
            }
    arguments = {name: set(inspect.signature(thing).parameters) - {"self"} for name, thing in found.items()}
    return {name: names for name, names in arguments.items() if names}


PUBLIC = {name: public(engine) for name, engine in ENGINES.items()}


def test_no_way_hides_another_of_its_name():
    ways = [way for way, _ in ways_of(np.ones((5, 4)))]
    assert len(ways) == len(set(ways)) == len(OF_ARRAYS) + len(CONSTANTS)


def test_every_public_argument_is_in_the_table():
    assert PUBLIC["fastbp"] == {name: set(row) for name, row in TABLE.items()}


def test_the_reference_takes_nothing_that_the_table_does_not_have():
    for name, arguments in PUBLIC["reference"].items():
        assert arguments <= set(TABLE[name])


# ----------------------------------------------------------------------------------------------------- what comes of it


@pytest.fixture(autouse=True)
def _left_as_it_was(tmp_path, monkeypatch):
    """Files are written into a folder of the test's own, and the number of threads is what it was."""
    monkeypatch.chdir(tmp_path)
    threads = fastbp.get_num_threads()
    yield
    fastbp.set_num_threads(threads)


def subject(engine, name):
    """The function, or a method of a new object, and a function that tells what of it must not change."""
    owner, _, method = name.partition(".")
    if not method:
        return getattr(engine, name), fastbp.get_num_threads
    if owner != "Network":
        made = getattr(engine, owner)(**SETTINGS.get(owner, {}))
        return getattr(made, method), lambda: repr([made, dict(made) if owner == "History" else ()])
    made = engine.Network([4, 5, 3], dtype="float64")
    made.step(of_network()["x"], of_network()["y"], optimizer=SGD(momentum=0.9))
    if method == "load":
        made.save("network.safetensors")
        made.save("text")
    return getattr(made, method), lambda: everything(made)


def bits(values):
    """The bits of all arrays, and the first ones of those that no memory has."""
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray) and value.dtype != object}
    return {name: np.asarray(array)[(slice(5),) * array.ndim].tobytes() for name, array in arrays.items()}


def outcome(engine, name, arguments):
    """`good`, `diverges`, or the error that refused: then all is as it was."""
    function, state = subject(engine, name)
    before = bits(arguments), state()
    try:
        function(**arguments)
    except FloatingPointError:
        assert bits(arguments) == before[0]  # of what a network keeps, test_divergence tells
        return "diverges"
    except OSError:
        assert name == "Network.load"
        return "no file"
    except (TypeError, ValueError) as error:
        refusal = type(error), re.sub(r"0x[0-9a-f]+", "0x", str(error))
    else:
        return "good"
    assert (bits(arguments), state()) == before, refusal
    return refusal


ENDLESS = {"epochs": {"10**18", "10**400", "a whole number of 5000 digits"}}  # without a callback that ends them


@functools.cache
def outcomes(engine, name, argument):
    """What comes of each way; the ways are made anew for each call, as some of them can be used only once."""
    skipped = ENDLESS.get(argument, ()) if engine == "reference" else ()
    ends = {}
    for i, (way, _) in enumerate(ways_of(good_arguments(name, [argument])[argument])):
        if way not in skipped:
            arguments = good_arguments(name, PUBLIC[engine][name])
            arguments[argument] = next(itertools.islice(ways_of(arguments[argument]), i, None))[1]
            ends[way] = outcome(ENGINES[engine], name, arguments)
    return ends


@pytest.mark.parametrize(("name", "argument"), CASES, ids=[".".join(case) for case in CASES])
def test_what_is_not_good_is_refused_by_name_before_anything_changes(name, argument):
    row, ends = TABLE[name][argument], outcomes("fastbp", name, argument)
    assert {way for way, end in ends.items() if end == "good"} == set(row.good) & set(ends)
    assert {way for way, end in ends.items() if end == "diverges"} == set(row.diverges) & set(ends)
    for end in ends.values():
        if isinstance(end, tuple):
            assert_explains(end[1], argument)
            assert "\n" not in end[1]
            assert len(end[1]) < 400


SHARED = [case for case in CASES if case[1] in PUBLIC["reference"].get(case[0], ())]


@pytest.mark.parametrize(("name", "argument"), SHARED, ids=[".".join(case) for case in SHARED])
def test_both_engines_accept_the_same_and_refuse_in_the_same_words(name, argument):
    plain, fused = (outcomes(engine, name, argument) for engine in ("reference", "fastbp"))
    assert plain == {way: fused[way] for way in plain}


# ------------------------------------------------------------------------------------- what the table has no column for


@pytest.mark.parametrize(("part", "good"), [("x", X), ("y", X), ("sample_weight", ROW_WEIGHTS)])
def test_the_parts_of_validation_data_are_refused_by_name(part, good):
    names = ["x", "y", "sample_weight"]
    accepted, ways = set(), dict(ways_of(of_network()["validation_data"][names.index(part)]))
    for way, value in ways.items():
        arguments = good_arguments("Network.fit", TABLE["Network.fit"])
        known = dict(zip(names, arguments["validation_data"], strict=True)) | {part: value}
        end = outcome(fastbp, "Network.fit", arguments | {"validation_data": tuple(known.values())})
        if end == "good":
            accepted.add(way)
        else:
            assert end[1].startswith("validation_data: ")
            assert_explains(end[1], part)
    assert accepted == set(good.good) & set(ways)


# 10**14 weights, or layers that never end, and one that is larger than any array may be.
SIZES_BEYOND_MEMORY = {
    "a wide layer": [10**7, 10**7],
    "a hidden layer": [4, HUGE, 3],
    "beyond what an array may have": [4, 10**30],
    "of too many digits": [4, 10**5000],
    "no end": itertools.repeat(2),
    "a long list": np.broadcast_to(2, HUGE),
}


@pytest.mark.parametrize("sizes", SIZES_BEYOND_MEMORY.values(), ids=SIZES_BEYOND_MEMORY)
def test_a_network_that_no_memory_has_is_refused(network_class, sizes):
    with pytest.raises(ValueError, match=r"^sizes is .* wanted$"):
        network_class(sizes)


@pytest.mark.parametrize("argument", ["x", "y", "sample_weight"])
@pytest.mark.parametrize("method", ["step", "fit"])
def test_rows_that_overlap_the_weights_of_the_network_are_refused(network_class, method, argument):
    """The training would change its own rows."""
    network = network_class([4, 1], dtype="float64")
    weights = network.weights[0]
    weights[:] = 0.5
    known = {"x": np.ones((1, 4)), "y": np.ones((1, 1)), "sample_weight": np.ones(1)}
    known[argument] = {"x": weights.T, "y": weights[:1], "sample_weight": weights[2]}[argument]
    before = everything(network)
    with pytest.raises(ValueError, match=rf"^{argument} and the network's weights overlap in memory; .* must be apart"):
        getattr(network, method)(**known, optimizer=Adam())
    assert everything(network) == before
    getattr(network, method)(**known | {argument: known[argument].copy()})


@pytest.mark.parametrize("argument", ["x", "y"])
def test_no_epochs_still_refuse_what_is_not_finite(network_class, argument):
    network, known = network_class([4, 3]), {"x": np.ones((6, 4)), "y": np.ones((6, 3))}
    known[argument][5, 2] = np.inf
    with pytest.raises(ValueError, match=rf"^{argument}\[5, 2\] is inf; a finite number in dtype float32 is wanted"):
        network.fit(**known, epochs=0)


@pytest.mark.parametrize("argument", ["x", "y"])
def test_rows_that_are_held_out_must_be_finite_too(argument):
    network, known = fastbp.Network([4, 3]), {"x": np.ones((6, 4)), "y": np.ones((6, 3))}
    held_out = shuffled(np.random.default_rng((0, 6)), 6)[-1]  # of the seed and the number of rows
    known[argument][held_out, 2] = np.nan
    before = everything(network)
    with pytest.raises(ValueError, match=rf"^{argument}\[{held_out}, 2\] is nan; a finite number"):
        network.fit(**known, validation_fraction=0.2, optimizer=Adam())
    assert everything(network) == before


def test_more_threads_than_any_machine_has_change_no_bit():
    arguments = good_arguments("train", PUBLIC["fastbp"]["train"])
    few = fastbp.train(**arguments)
    fastbp.set_num_threads(10**18)
    rng = np.random.default_rng(7)
    x, w, b = rng.normal(size=(5000, 40)), rng.normal(size=(40, 30)), rng.normal(size=30)
    many = fastbp.forward(x, w, b)
    np.testing.assert_array_equal(fastbp.train(**good_arguments("train", PUBLIC["fastbp"]["train"])), few)
    fastbp.set_num_threads(1)
    np.testing.assert_array_equal(fastbp.forward(x, w, b), many)
