"""Whatever a network cannot use is refused by name, before anything changes; and divergence leaves it as it was."""

import re

import numpy as np
import pytest
from test_network import EVERY_ACTIVATION, SIZES, assert_same_bits, fitted, made, parameters, problem

from fastbp import Network, contract
from fastbp.optimizers import SGD, Adam, AdamW
from fastbp.schedules import CosineDecay, StepDecay

NO_NETWORK = [  # arguments besides sizes = [4, 3, 2], and what is said of them
    ({"sizes": 4}, TypeError, "sizes is 4; a list of whole numbers is wanted"),
    ({"sizes": "4,3"}, TypeError, "sizes is '4,3'"),
    ({"sizes": []}, ValueError, "sizes is []; at least two are wanted"),
    ({"sizes": [4]}, ValueError, "sizes is [4]; at least two are wanted"),
    ({"sizes": [4, 0, 2]}, ValueError, "sizes[1] is 0; 1 or more is wanted"),
    ({"sizes": [4, 2.0]}, TypeError, "sizes[1] is 2.0; a whole number is wanted"),
    ({"sizes": [True, 2]}, TypeError, "sizes[0] is True"),
    (
        {"activation": "swish"},
        ValueError,
        "activation is 'swish'; 'sigmoid', 'tanh', 'relu', 'leaky_relu' or 'identity'",
    ),
    ({"activation": "softmax"}, ValueError, "activation is 'softmax'; 'sigmoid'"),
    ({"activation": None}, TypeError, "activation is None"),
    ({"activation": ["relu", "relu"]}, ValueError, "activation has 2 names; one for all hidden layers is wanted, or 1"),
    ({"activation": ["ReLU"]}, ValueError, "activation[0] is 'ReLU'"),
    ({"activation": [None]}, TypeError, "activation[0] is None"),
    ({"output_activation": "linear"}, ValueError, "output_activation is 'linear'; 'sigmoid'"),
    ({"output_activation": 1}, TypeError, "output_activation is 1"),
    (
        {"loss": "mse"},
        ValueError,
        "loss is 'mse'; 'squared_error', 'binary_cross_entropy' or 'cross_entropy' is wanted",
    ),
    ({"loss": None}, TypeError, "loss is None"),
    (
        {"loss": "cross_entropy", "output_activation": "sigmoid"},
        ValueError,
        "output_activation is 'sigmoid'; 'softmax' is wanted, as loss is 'cross_entropy'",
    ),
    (
        {"loss": "binary_cross_entropy", "output_activation": "softmax"},
        ValueError,
        "output_activation is 'softmax'; 'sigmoid' is wanted, as loss is 'binary_cross_entropy'",
    ),
    *(
        ({"dtype": dtype}, TypeError, f"dtype is {dtype!r}; float32 or float64 is wanted")
        for dtype in ("float16", None, int, ">f4", "nonsense", 3)
    ),
    *(({"seed": seed}, TypeError, f"seed is {seed!r}; a whole number is wanted") for seed in (None, 1.0, "1", True)),
    ({"seed": -1}, ValueError, "seed is -1; 0 or more is wanted"),
    ({"seed": 2**128}, ValueError, f"seed is {2**128}; {2**128 - 1} at most is wanted"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), NO_NETWORK)
def test_what_is_no_network_is_refused(network_class, arguments, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        network_class(**{"sizes": [4, 3, 2]} | arguments)


def test_all_but_the_sizes_goes_by_name_alone(network_class):
    with pytest.raises(TypeError, match="positional"):
        network_class([4, 2], "relu")
    network = network_class([4, 3])
    for method in (network.step, network.fit, network.gradients, network.evaluate):
        with pytest.raises(TypeError, match="positional"):
            method(*problem()[:2], 1)


def with_one(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


class NoArray:
    """Like a tensor that is part of a graph."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it still computes")


X, Y, _ = problem()
SHARES, LABELS = problem("shares")[1], problem("labels")[1]
BAD_X = [
    (X[0], ValueError, "x has shape (4,); two dimensions are wanted"),
    (X[:, :3], ValueError, "x has shape (9, 3); (rows, 4) is wanted, as the network has 4 inputs"),
    (X[:0], ValueError, "x has shape (0, 4), which is empty"),
    (X.astype(complex), TypeError, "x has dtype complex128; real numbers are wanted"),
    (None, TypeError, "x has dtype object"),
    ([[1, 2], [3]], ValueError, "x is ragged"),
    (NoArray(), ValueError, "x is no array (it still computes); a rectangular array of numbers is wanted"),
    (np.ma.masked_less(X, 0), TypeError, "x is a masked array"),
    ([np.ma.masked_less(row, 0) for row in X], TypeError, "x holds a masked array"),
    (with_one(X, np.nan), ValueError, "x[8, 3] is nan; a finite number in dtype float64 is wanted"),
    (with_one(X, -np.inf), ValueError, "x[8, 3] is -inf; a finite number in dtype float64 is wanted"),
]
BAD_Y = [
    (Y[:8], ValueError, "y has shape (8, 3) and dtype float64; (9, 3) is wanted, as x has 9 rows"),
    (Y[:, :2], ValueError, "y has shape (9, 2) and dtype float64; (9, 3) is wanted"),
    (Y[:, 0], ValueError, "y has shape (9,) and dtype float64; (9, 3) is wanted"),
    (LABELS, ValueError, "y has shape (9,) and dtype int64; (9, 3) is wanted"),
    (Y.astype(str), TypeError, "y has dtype <U"),
    (None, TypeError, "y has dtype object"),
    (0.5, ValueError, "y has shape () and dtype float64; (9, 3) is wanted"),
    (np.ma.masked_less(Y, 0), TypeError, "y is a masked array"),
    (tuple(np.ma.masked_less(Y, 0)), TypeError, "y holds a masked array"),
    (with_one(Y, np.nan), ValueError, "y[8, 2] is nan; a finite number in dtype float64 is wanted"),
    (with_one(Y, np.inf), ValueError, "y[8, 2] is inf; a finite number in dtype float64 is wanted"),
]
BAD_LABELS = [
    (LABELS - 4, ValueError, f"y[0] is {LABELS[0] - 4}; a label in 0 ... 2 is wanted"),
    (with_one(LABELS, 3), ValueError, "y[8] is 3; a label in 0 ... 2 is wanted"),
    (with_one(LABELS, -1), ValueError, "y[8] is -1; a label in 0 ... 2 is wanted"),
    (with_one(LABELS.astype(np.uint64), 2**64 - 1), ValueError, "y[8] is 18446744073709551615"),
    (
        LABELS.astype(float),
        ValueError,
        "y has shape (9,) and dtype float64; (9, 3), or (9,) of integer dtype for labels",
    ),
    (LABELS[:8], ValueError, "y has shape (8,) and dtype int64; (9, 3), or (9,) of integer dtype for labels"),
    (LABELS[:, None], ValueError, "y has shape (9, 1) and dtype int64"),
    (with_one(Y, np.nan), ValueError, "y[8, 2] is nan; a finite number in dtype float64 is wanted"),
    (with_one(SHARES, -0.5), ValueError, "y[8, 2] is -0.5; 0 or more is wanted for the loss 'cross_entropy'"),
]
BAD_SHARES = [
    (
        with_one(SHARES, 1.5),
        ValueError,
        "y[8, 2] is 1.5; a number in 0 ... 1 is wanted for the loss 'binary_cross_entropy'",
    ),
    (with_one(SHARES, -1), ValueError, "y[8, 2] is -1.0; a number in 0 ... 1 is wanted for the loss"),
    (with_one(SHARES, np.inf), ValueError, "y[8, 2] is inf; a finite number in dtype float64 is wanted"),
]
BAD_WEIGHT = [
    (np.ones(8), ValueError, "sample_weight has shape (8,); (9,) is wanted, as x has 9 rows"),
    (np.ones((9, 1)), ValueError, "sample_weight has shape (9, 1); (9,) is wanted"),
    (1.0, ValueError, "sample_weight has shape (); (9,) is wanted"),
    (with_one(np.ones(9), -1), ValueError, "sample_weight[8] is -1.0; 0 or more is wanted"),
    (with_one(np.ones(9), np.nan), ValueError, "sample_weight[8] is "),
    (with_one(np.ones(9), np.inf), ValueError, "sample_weight[8] is "),
    ("balanced", TypeError, "sample_weight has dtype <U8; real numbers are wanted"),
]
WRONG_OPTIMIZER = [
    ("adam", TypeError, "optimizer is 'adam'; SGD or Adam or AdamW is wanted"),
    (SGD, TypeError, "optimizer is <class 'fastbp.optimizers.SGD'>; SGD or Adam or AdamW is wanted"),
    (0.1, TypeError, "optimizer is 0.1; SGD or Adam or AdamW is wanted"),
]
OF_FIT = [
    ("epochs", -1, ValueError, "epochs is -1; 0 or more is wanted"),
    ("epochs", 2.0, TypeError, "epochs is 2.0; a whole number is wanted"),
    ("epochs", None, TypeError, "epochs is None"),
    ("batch_size", 0, ValueError, "batch_size is 0; 1 or more is wanted"),
    ("batch_size", "32", TypeError, "batch_size is '32'; a whole number is wanted"),
    ("shuffle", 1, TypeError, "shuffle is 1; True or False is wanted"),
]
BOTH, TRAINING = ("gradients", "evaluate", "step", "fit"), ("step", "fit")
REFUSED = [
    *((("predict", "predict_classes", *BOTH), "squared_error", "x", *case) for case in BAD_X),
    *((BOTH, "squared_error", "y", *case) for case in BAD_Y),
    *((BOTH, "cross_entropy", "y", *case) for case in BAD_LABELS),
    *((BOTH, "binary_cross_entropy", "y", *case) for case in BAD_SHARES),
    *((BOTH, "squared_error", "sample_weight", *case) for case in BAD_WEIGHT),
    *((TRAINING, "squared_error", "optimizer", *case) for case in WRONG_OPTIMIZER),
    *((("fit",), "squared_error", *case) for case in OF_FIT),
]


@pytest.mark.parametrize(("methods", "loss", "argument", "value", "error", "message"), REFUSED)
def test_refused_by_name_before_anything_changes(network_class, methods, loss, argument, value, error, message):
    network, untouched = (made(network_class, loss=loss) for _ in range(2))
    y = Y if loss == "squared_error" else SHARES
    for method in methods:
        arguments = {"x": X} if method.startswith("predict") else {"x": X, "y": y}
        if method in TRAINING and argument != "optimizer":
            arguments["optimizer"] = Adam()  # which must not be taken over either
        if method == "fit" and argument not in {"x", "y"}:
            arguments["batch_size"] = None
        with pytest.raises(error, match="^" + re.escape(message)):
            getattr(network, method)(**arguments | {argument: value})
    assert_same_bits(parameters(network), parameters(untouched))
    arguments = {"x": X, "y": y, "epochs": 2, "batch_size": 2}
    if "finite" not in message:  # which is seen after the rows were shuffled
        assert_same_bits([fitted(network, **arguments)], [fitted(untouched, **arguments)])


def test_float32_sees_what_overflows_it_as_infinite(network_class):
    network = network_class(SIZES)
    with pytest.raises(ValueError, match=re.escape("x[8, 3] is inf; a finite number in dtype float32 is wanted")):
        network.step(with_one(X, 1e300), Y)


# A nan or inf meets relus that are off and sigmoids that are flat, where only 0 * inf = nan can tell.
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0.0, 50.0, -50.0])
@EVERY_ACTIVATION
def test_no_activation_hides_an_infinite_x(network_class, dtype, value, weight, hidden):
    network = network_class([3, 4, 2], activation=hidden, dtype=dtype)
    for w in network.weights:
        w[:] = weight
    for rows in (4, 5, 300):  # which go forward in different ways
        x, y = np.ones((rows, 3)), np.zeros((rows, 2))
        x[3, 1] = value
        for method in (network.gradients, network.step, network.fit, network.evaluate):
            with pytest.raises(ValueError, match=re.escape(f"x[3, 1] is {value}")):
                method(x, y)
        for method in (network.predict, network.predict_classes):
            with pytest.raises(ValueError, match=re.escape(f"x[3, 1] is {value}")):
                method(x)


def test_a_finite_x_may_overflow_on_its_way_forward(network_class, dtype):
    network = network_class([2, 1], output_activation="identity", dtype=dtype)
    network.weights[0][:] = np.finfo(dtype).max
    for rows in (1, 7):
        assert np.all(network.predict(np.full((rows, 2), 4.0)) == np.inf)


# ---------------------------------------------------------------------------------------------------------- divergence


def test_divergence_names_the_step_and_keeps_the_last_finite_state(network_class, dtype):
    """Each step multiplies the weights by some 1e30, or more: no dtype holds that for long."""
    network, kept = (
        made(network_class, activation="identity", output_activation="identity", dtype=dtype) for _ in "12"
    )
    steps, message = 0, ""
    while not message:
        try:
            network.step(X, Y, optimizer=SGD(learning_rate=1e30))
            steps += 1
        except FloatingPointError as error:
            message = str(error)
    assert message.startswith(f"training diverged in step {steps}: its loss or its update is not finite")
    assert 1 <= steps < 20
    for _ in range(steps):
        kept.step(X, Y, optimizer=SGD(learning_rate=1e30))
    assert_same_bits(parameters(network), parameters(kept))
    assert all(np.isfinite(array).all() for array in parameters(network))


@pytest.mark.parametrize("method", ["gradients", "step", "fit"])
def test_a_loss_that_overflows_is_divergence(network_class, method):
    """(y_pred - y)^2 is beyond float64, though the gradients and the update are not."""
    network, untouched = made(network_class), made(network_class)
    wanted = "the loss or a gradient is not finite" if method == "gradients" else r"training diverged in step 0\b"
    with pytest.raises(FloatingPointError, match=wanted):
        getattr(network, method)(X, with_one(Y, 1e200))
    assert_same_bits(parameters(network), parameters(untouched))


def test_divergence_in_fit_names_the_epoch_too(network_class):
    network = made(network_class)
    network.fit(X, Y, epochs=2, batch_size=4)  # 6 steps
    with pytest.raises(FloatingPointError, match=r"^training diverged in step 6, in epoch 0: "):
        network.fit(X, Y + 1e200, epochs=2, batch_size=4)


def test_what_is_remembered_outlives_divergence(network_class):
    network, kept = made(network_class), made(network_class)
    for one in (network, kept):
        one.step(X, Y, optimizer=Adam())
    for failing, wanted in ((network.step, r"step 1\b"), (network.fit, r"step 1\b"), (network.gradients, "a gradient")):
        with pytest.raises(FloatingPointError, match=wanted):
            failing(X, Y + 1e200)
    for one in (network, kept):
        one.step(X, Y)
    assert_same_bits(parameters(network), parameters(kept))


@pytest.mark.parametrize("value", [np.nan, -np.inf], ids=str)
def test_weights_that_are_not_finite_are_named_and_nothing_changes(network_class, value):
    network = made(network_class)
    network.biases[-1][0], network.weights[0][1, 2] = np.nan, value
    before = parameters(network)
    for failing in (network.step, network.fit, network.gradients):
        with pytest.raises(ValueError, match=rf"^weights\[0\]\[1, 2\] is {value}; a finite number in dtype "):
            failing(X, Y)
    network.weights[0][1, 2] = 0
    with pytest.raises(ValueError, match=r"^biases\[\d\]\[0\] is nan; a finite number in dtype "):
        network.step(X, Y)
    network.weights[0][1, 2] = value
    assert_same_bits(parameters(network), before)
    assert network.updates == 0


def test_numbers_beyond_float32_are_no_weights(network_class):
    network = made(network_class, dtype="float32")
    before = parameters(network)
    for beyond, shown in ((1e300, "1e+300"), (np.full(network.biases[0].shape, -1e39), "-1e+39")):
        message = f"the array for layer 0 holds {shown}, which float32 does not have; smaller numbers are wanted"
        with pytest.raises(ValueError, match=re.escape(message)):
            network.biases[0] = beyond
    assert_same_bits(parameters(network), before)


def test_numbers_below_float32_are_weights_of_0_whatever_numpy_does_of_underflow(network_class):
    network = made(network_class, dtype="float32")
    with np.errstate(all="raise"):
        network.biases[0] = 1e-60
    assert not network.biases[0].any()


@pytest.mark.parametrize("rate", [1e-60, 1e60, CosineDecay(1e-60, steps=9)], ids=str)
def test_a_rate_that_float32_does_not_have_is_refused_before_anything_changes(network_class, rate):
    network = made(network_class, dtype="float32")
    before = parameters(network)
    for training in (network.step, network.fit):
        with pytest.raises(ValueError, match=r"learning_rate is 1e[-+]60; a finite positive number in dtype float32"):
            training(X, Y, optimizer=Adam(learning_rate=rate))
    assert_same_bits(parameters(network), before)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (SGD(learning_rate=CosineDecay(0.1, steps=9, final=1e60)), "learning_rate is 1e+60; a finite positive number"),
        (SGD(weight_decay=1e300), "weight_decay is 1e+300; a number that is above 0 and finite"),
        (SGD(clip_norm=1e300), "clip_norm is 1e+300; a number that is above 0 and finite"),
        (SGD(clip_norm=1e-60), "clip_norm is 1e-60; a number that is above 0 and finite"),
        (Adam(epsilon=1e-60), "epsilon is 1e-60; a number that is above 0 and finite"),
        (Adam(epsilon=1e300), "epsilon is 1e+300; a number that is above 0 and finite"),
        (SGD(momentum=1 - 1e-12), "momentum is 0.999999999999; a number that is above 0 and below 1"),
        (Adam(beta1=1 - 1e-12), "beta1 is 0.999999999999; a number that is above 0 and below 1"),
        (AdamW(beta2=1 - 1e-12), "beta2 is 0.999999999999; a number that is above 0 and below 1"),
    ],
    ids=lambda value: value.split(";")[0] if isinstance(value, str) else "",
)
def test_a_setting_that_is_another_in_float32_is_refused_before_anything_changes(network_class, optimizer, message):
    """It would be 0, infinite or 1, and training would stand still or diverge."""
    network = made(network_class, dtype="float32")
    before = parameters(network)
    for training in (network.step, network.fit):
        with pytest.raises(ValueError, match="^" + re.escape(message) + ".* in dtype float32 "):
            training(X, Y, optimizer=optimizer)
    assert_same_bits(parameters(network), before)


def test_labels_that_the_dtype_cannot_tell_apart_are_refused():
    """16777217 is 16777216 in float32."""
    outputs = 2**24
    y = np.array([0, outputs - 1])
    assert contract.targets(y, 2, outputs, np.dtype("float32"), "cross_entropy")[1]
    with pytest.raises(ValueError, match=f"y is labels, but the network has {outputs + 1} outputs, more than float32"):
        contract.targets(y, 2, outputs + 1, np.dtype("float32"), "cross_entropy")
    assert contract.targets(y, 2, outputs + 1, np.dtype("float64"), "cross_entropy")[1]


@pytest.mark.parametrize(
    "rate", [CosineDecay(1e-60, steps=9, final=0.1), StepDecay(1e-60, every=1, warmup=4)], ids=["cosine", "step"]
)
def test_a_schedule_that_begins_at_0_in_float32_is_refused(network_class, rate):
    network = network_class([2, 1], dtype="float32")
    for training in (network.step, network.fit):
        with pytest.raises(ValueError, match="learning_rate is 1e-60; a finite positive number in dtype float32"):
            training([[1, 2]], [[1]], optimizer=SGD(learning_rate=rate))


def test_a_dtype_that_python_cannot_parse_is_refused_as_any_other(network_class):
    with pytest.raises(TypeError, match=re.escape("dtype is 'f4,('; float32 or float64 is wanted")):
        network_class([2, 1], dtype="f4,(")


@pytest.mark.parametrize("sizes", [[2, 10**14], [10**14, 2], [2, 10**7, 10**7, 1]], ids=str)
def test_sizes_that_fit_into_no_memory_are_refused_whichever_is_too_large(network_class, sizes):
    with pytest.raises(ValueError, match=re.escape(f"sizes is {sizes}; what fits into memory is wanted")):
        network_class(sizes)


def test_a_setting_that_a_network_does_not_have_is_refused():
    network = made(Network)
    for name in ("learning_rate", "activation", "weights"):
        with pytest.raises(AttributeError, match=name):
            setattr(network, name, 5)


def test_what_is_assigned_to_a_layers_array_is_taken_whole_or_refused_by_name():
    network = made(Network)
    before = network.weights[0].copy()
    shape = before.shape
    for values, message in [
        (None, "layer 0 has dtype object"),
        (np.datetime64("2020-01-01"), "layer 0 has dtype datetime64"),
        (np.full(shape, 1j), "layer 0 has dtype complex"),
        (np.ma.masked_array(np.ones(shape), mask=np.ones(shape)), "layer 0 is a masked array"),
        ([[*range(shape[1] - 1), "x"]] * shape[0], "layer 0 has dtype <U"),
        ([[1.0], [1.0, 2.0]], "layer 0 is ragged"),
        (np.ones(3), r"layer 0 has shape \(3,\); .* or a number is wanted"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            network.weights[0] = values
        np.testing.assert_array_equal(network.weights[0], before)
    with pytest.raises(TypeError, match=r"layer is slice\(0, 1, None\); the number of one is wanted"):
        network.weights[0:1] = [before]
    network.weights[0] = before.astype(float).tolist()
    network.weights[0] += 1
    np.testing.assert_array_equal(network.weights[0], before + 1)
