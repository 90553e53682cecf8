"""Training that runs away: an error names the step, and all is as it was before that step.

Everywhere the oracle is a network, or a layer, of the same engine that was trained up to there and no further, to the
bit; and the reference must name the same step in the same words.
"""

import copy
import dataclasses
import itertools
import re

import numpy as np
import pytest
from conftest import NETWORKS
from network_state import arrays_of, everything, generator_of, progress_of, slots_of
from test_network import HIDDEN, TARGETS, assert_close, assert_same_bits, made, problem

import fastbp
from fastbp import SGD, Adam, AdamW, CosineDecay, EarlyStopping, StepDecay, reference
from fastbp.reference.network import shuffled

LARGEST = {name: float(np.finfo(name).max) for name in ("float32", "float64")}
ROOT = {name: largest**0.5 for name, largest in LARGEST.items()}  # what has no square


@pytest.fixture(autouse=True)
def _same_threads_after():
    before = fastbp.get_num_threads()
    yield
    fastbp.set_num_threads(before)


def said(call, *arguments, **options):
    """What a call that diverges says."""
    with pytest.raises(FloatingPointError) as raised:
        call(*arguments, **options)
    return str(raised.value)


def trained_up_to(network, x, y, *, steps, batch, sample_weight=None, optimizer=None):
    """The network after so many steps on whole batches, which come as in `fit`: epochs of it, and steps of the rest."""
    epochs, rest = divmod(steps, len(x) // batch)
    if epochs:
        network.fit(x, y, epochs=epochs, batch_size=batch, sample_weight=sample_weight, optimizer=optimizer)
    if rest:
        order = shuffled(generator_of(network), len(x))
        for some in order[: rest * batch].reshape(rest, batch):
            weight = None if sample_weight is None else sample_weight[some]
            network.step(x[some], y[some], sample_weight=weight, optimizer=optimizer)
    return network


# ------------------------------------------------------------------------------------------ rates that are far too high

# With weight decay, each step multiplies the weights by some 10 ROOT, whatever the gradient says, and Adam remembers
# the square of that: no dtype holds either for long.
RUNNING_AWAY = {
    "SGD": lambda rate: SGD(learning_rate=rate, weight_decay=10.0),
    "momentum": lambda rate: SGD(learning_rate=rate, momentum=0.9, weight_decay=10.0),
    "nesterov": lambda rate: SGD(learning_rate=rate, momentum=0.9, nesterov=True, weight_decay=10.0),
    "clipped": lambda rate: SGD(learning_rate=rate, weight_decay=10.0, clip_norm=0.5),
    "Adam": lambda rate: Adam(learning_rate=rate, weight_decay=10.0),
    "clipped Adam": lambda rate: Adam(learning_rate=rate, weight_decay=10.0, clip_norm=0.5),
    "AdamW": lambda rate: AdamW(learning_rate=rate, weight_decay=10.0),
    "StepDecay": lambda rate: SGD(learning_rate=StepDecay(rate, every=3, factor=0.5, warmup=2), weight_decay=10.0),
    "CosineDecay": lambda rate: AdamW(learning_rate=CosineDecay(0.01, steps=8, final=rate), weight_decay=10.0),
}
EVERY_CASE = list(itertools.product(RUNNING_AWAY, TARGETS, HIDDEN, LARGEST))


def test_rates_that_are_far_too_high_diverge_where_the_reference_says(rounds):
    cases = np.random.default_rng(1).permutation(len(EVERY_CASE))
    for case in cases[: rounds(300, len(cases))]:
        name, (loss, output, kind), hidden, dtype = EVERY_CASE[case]
        x, y, _ = problem(kind, rows=12)
        ends = []
        for network_class in NETWORKS.values():
            network, kept = (
                made(network_class, dtype=dtype, activation=hidden, loss=loss, output_activation=output) for _ in "12"
            )
            for one in (network, kept):  # so that something is remembered
                one.fit(x, y, epochs=1, batch_size=4, optimizer=RUNNING_AWAY[name](0.001))
            optimizer = RUNNING_AWAY[name](2 * ROOT[dtype])
            message = said(network.fit, x, y, epochs=9, batch_size=4, optimizer=optimizer)
            step, epoch = map(int, re.match(r"training diverged in step (\d+), in epoch (\d+): ", message).groups())
            assert epoch == (step - 3) // 3
            trained_up_to(kept, x, y, steps=step - 3, batch=4, optimizer=optimizer)
            assert everything(network) == everything(kept), EVERY_CASE[case]
            ends.append((message, progress_of(network)))
        assert ends[0] == ends[1], EVERY_CASE[case]


# ----------------------------------------------------------------------------------------- a batch that cannot be taken

RATE = 1e-4
OPTIMIZERS = {
    "SGD": SGD(learning_rate=RATE),
    "momentum": SGD(learning_rate=RATE, momentum=0.9),
    "nesterov": SGD(learning_rate=RATE, momentum=0.9, nesterov=True, weight_decay=0.01),
    "clipped": SGD(learning_rate=RATE, clip_norm=0.5),
    "Adam": Adam(learning_rate=RATE, weight_decay=0.01),
    "clipped Adam": Adam(learning_rate=RATE, clip_norm=0.5),
    "AdamW": AdamW(learning_rate=RATE),
    "StepDecay": Adam(learning_rate=StepDecay(RATE, every=2, warmup=1)),
    "CosineDecay": SGD(learning_rate=CosineDecay(RATE, steps=9), momentum=0.5),
}
EVERY_OPTIMIZER = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
SIZES, ROWS, BATCH = (20, 64, 48, 3), 192, 64  # enough work for several threads
MESSAGE = "training diverged in step 7, in epoch 2: its loss or its update is not finite; weights and biases hold the "


def rows_of(dtype):
    """x, y and sample_weight in the dtype of the network, which takes them where they lie."""
    x, y, _ = problem(rows=ROWS, inputs=SIZES[0])
    return x.astype(dtype), y.astype(dtype), np.full(ROWS, BATCH, dtype)


def network_of(network_class, dtype):
    return made(network_class, SIZES, dtype, activation=["tanh", "relu"], output_activation="identity")


def spoiled(y, network):
    """y with a number in the second batch of the next epoch whose gradient is twice the largest float."""
    order = shuffled(copy.deepcopy(generator_of(network)), ROWS)
    y = y.copy()
    y[order[BATCH + 3], 1] = np.finfo(y.dtype).max
    return y


def runs_into_it(dtype, optimizer, **options):
    """A network whose fit diverges in the second batch of its third epoch, what it said and its metrics; and another.

    The other was trained for two epochs and one batch.
    """
    x, y, weight = rows_of(dtype)
    network, kept = (network_of(fastbp.Network, dtype) for _ in "12")
    arguments = {"batch_size": BATCH, "optimizer": optimizer, "sample_weight": weight}
    history = kept.fit(x, y, epochs=2, **arguments)
    spoiling, given, metrics = spoiled(y, kept), y.copy(), []

    def callback(epoch, some):
        metrics.append(some["loss"])
        if epoch == 1:
            given[...] = spoiling

    message = said(network.fit, x, given, epochs=5, callback=callback, **arguments, **options)
    assert metrics == history["loss"].tolist()
    trained_up_to(kept, x, y, steps=1, batch=BATCH, sample_weight=weight)
    return network, kept, message


@EVERY_OPTIMIZER
def test_a_batch_in_the_middle_diverges_and_those_before_it_count(dtype, optimizer):
    """For any number of threads; and training goes on from there."""
    x, y, weight = rows_of(dtype)
    ends = []
    for threads in (1, 2, 3):
        fastbp.set_num_threads(threads)
        network, kept, message = runs_into_it(dtype, optimizer)
        assert message.startswith(MESSAGE)
        assert everything(network) == everything(kept)
        slower = dataclasses.replace(optimizer, learning_rate=RATE / 10)
        losses = [
            one.fit(x, y, epochs=2, batch_size=BATCH, optimizer=slower, sample_weight=weight)["loss"]
            for one in (network, kept)
        ]
        assert_same_bits(*losses)
        assert np.isfinite(losses[0]).all()
        ends.append((message, everything(network)))
    assert ends[0] == ends[1] == ends[2]


@EVERY_OPTIMIZER
def test_what_a_batch_in_the_middle_leaves_is_what_the_reference_leaves(dtype, optimizer):
    x, y, weight = rows_of(dtype)
    plain = network_of(reference.Network, dtype)
    arguments = {"batch_size": BATCH, "optimizer": optimizer, "sample_weight": weight}
    plain.fit(x, y, epochs=2, **arguments)
    message = said(plain.fit, x, spoiled(y, plain), epochs=3, **arguments)
    network, _, fused = runs_into_it(dtype, optimizer)
    assert message == fused.replace("epoch 2", "epoch 0")  # of this call
    assert progress_of(network) == progress_of(plain)
    off = {"float32": 1e-4, "float64": 1e-10}[dtype.name]
    for one, other in zip(
        [arrays_of(network.weights, network.biases), *slots_of(network)],
        [arrays_of(plain.weights, plain.biases), *slots_of(plain)],
        strict=True,
    ):
        assert_close(one, other, off)


def test_divergence_leaves_the_last_weights_and_not_the_best_ones(dtype):
    """Those of early stopping, which are known since the first epoch: each one makes the validation worse."""
    x, y, weight = rows_of(dtype)
    opposite = 2 * network_of(fastbp.Network, dtype).predict(x) - y
    options = {"validation_data": (x, opposite), "early_stopping": EarlyStopping(patience=9)}
    whole = network_of(fastbp.Network, dtype)
    history = whole.fit(x, y, epochs=2, batch_size=BATCH, optimizer=OPTIMIZERS["Adam"], sample_weight=weight, **options)
    assert history.best_epoch == 0
    network, kept, message = runs_into_it(dtype, OPTIMIZERS["Adam"], **options)
    assert message.startswith(MESSAGE)
    assert everything(network) == everything(kept)


@pytest.mark.parametrize("method", ["step", "fit"])
def test_an_optimizer_that_diverges_at_once_is_not_taken_over(network_class, dtype, method):
    """Nor are what the one before remembers, its count of updates or the random numbers lost."""
    x, y, weight = rows_of(dtype)
    network = network_of(network_class, dtype)
    network.fit(x, y, epochs=2, batch_size=BATCH, optimizer=SGD(learning_rate=RATE, momentum=0.9))
    before = everything(network)
    y[:, 1] = np.finfo(dtype).max
    message = said(getattr(network, method), x, y, optimizer=Adam(), sample_weight=weight)
    assert message.startswith("training diverged in step 0")
    assert everything(network) == before


# ------------------------------------------------------------------------------------------------------ what overflows


def one_weight(network_class, dtype, w=0.0, **options):
    """y_pred = x w + b."""
    network = network_class([1, 1], output_activation="identity", dtype=dtype, **options)
    network.weights[0][:] = w
    return network


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("loss", "output", "kind"), TARGETS[:-2])
def test_a_forward_pass_that_overflows_is_divergence_and_told_as_it_is(dtype, hidden, loss, output, kind):
    """Two hidden numbers are infinite, and their difference nan: no activation behind them hides it."""
    x, y, _ = problem(kind)
    predictions, scores, messages = [], [], []
    for network_class in NETWORKS.values():
        network = network_class(
            [4, 2, 2, 3], activation=["identity", hidden], loss=loss, output_activation=output, dtype=dtype
        )
        network.weights[0][...] = np.finfo(dtype).max
        network.weights[1][...] = [[1, 1], [-1, -1]]
        x[0] = 4
        before = everything(network)
        messages.append({said(network.step, x, y), said(network.fit, x, y).replace(", in epoch 0", "")})
        assert said(network.gradients, x, y) == (
            f"the loss or a gradient is not finite in dtype {dtype}; "
            f"smaller numbers in x, y, weights or biases are wanted"
        )
        assert everything(network) == before
        predictions.append(network.predict(x))
        scores.append(network.evaluate(x, y)["loss"])
    assert messages[0] == messages[1]
    assert len(messages[0]) == 1
    assert np.isnan(predictions[0][0]).all()
    assert np.isnan(predictions[1][0]).all()
    assert np.isnan(scores).all()


# x, y, which make the loss, the gradient 2 x y and its square.
GRADIENT_OVERFLOWS = {"float32": (1e30, 1e10), "float64": (1e200, 1e150)}
SQUARE_OVERFLOWS = {"float32": (1e10, 1e10), "float64": (1e100, 1e100)}
EVERY_RULE = pytest.mark.parametrize(
    "optimizer",
    [SGD(), SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), SGD(clip_norm=1.0), Adam(), AdamW(clip_norm=1.0)],
    ids=["SGD", "momentum", "nesterov", "clipped", "Adam", "clipped AdamW"],
)


def test_a_loss_that_overflows_is_divergence(network_class):
    """Though the update would be finite."""
    network = one_weight(network_class, "float64")
    before = everything(network)
    for training in (network.step, network.fit):
        message = said(training, [[1.0]], [[1e200]], optimizer=SGD(learning_rate=1e-10))
        assert message.startswith("training diverged in step 0")
        assert everything(network) == before


def test_gradients_that_are_not_finite_are_told_however_often_they_are_asked_for():
    network = fastbp.Network([2, 2], output_activation="identity", dtype="float64")
    x, y = np.full((3, 2), 1e308), np.zeros((3, 2))
    for _ in range(1100):  # a call that ends early was once taken for a fast one: the next took twice as many lines
        with pytest.raises(FloatingPointError):
            network.gradients(x, y)


@EVERY_RULE
def test_a_gradient_that_overflows_is_divergence(network_class, dtype, optimizer):
    """Though the loss is finite, and all weights are."""
    x, y = GRADIENT_OVERFLOWS[dtype.name]
    network = one_weight(network_class, dtype)
    assert np.isfinite(network.evaluate([[x]], [[y]])["loss"])
    before = everything(network)
    for training in (network.step, network.fit):
        assert said(training, [[x]], [[y]], optimizer=optimizer).startswith("training diverged in step 0")
        assert everything(network) == before
    said(network.gradients, [[x]], [[y]])


@pytest.mark.parametrize("optimizer", [Adam(), AdamW()], ids=["Adam", "AdamW"])
def test_a_second_moment_that_overflows_is_divergence(network_class, dtype, optimizer):
    """The weights would stay finite, and never move again; plain descent takes the step."""
    x, y = SQUARE_OVERFLOWS[dtype.name]
    network = one_weight(network_class, dtype)
    before = everything(network)
    assert said(network.step, [[x]], [[y]], optimizer=optimizer).startswith("training diverged in step 0")
    assert everything(network) == before
    assert network.step([[x]], [[y]], optimizer=SGD(learning_rate=0.5)) == pytest.approx(y * y)
    assert network.weights[0][0, 0] == pytest.approx(x * y)


def test_a_velocity_that_overflows_is_divergence(network_class, dtype):
    """v is 0.8 of the largest float, and then would be 1.5 of it; the rate is so small that the weight hardly moves."""
    largest = float(np.finfo(dtype).max)
    x, y = 0.4 * largest**0.51, largest**0.49
    optimizer = SGD(learning_rate=20 * float(np.finfo(dtype).smallest_subnormal), momentum=0.9)
    network, kept = (one_weight(network_class, dtype) for _ in "12")
    for one in (network, kept):
        one.step([[x]], [[y]], optimizer=optimizer)
    assert slots_of(network)[0][0][0, 0] == pytest.approx(-0.8 * largest, rel=1e-4)
    assert 0 < network.weights[0][0, 0] < 1e-3
    assert said(network.step, [[x]], [[y]]).startswith("training diverged in step 1")
    assert everything(network) == everything(kept)


def test_clipping_takes_any_gradient_that_has_a_norm(network_class):
    """That of float32 always has one, in float64."""
    network = one_weight(network_class, "float32")
    network.step([[1e19]], [[1e19]], optimizer=SGD(learning_rate=0.5, clip_norm=3.0))
    assert network.weights[0][0, 0] == pytest.approx(1.5)


def test_a_gradient_whose_norm_overflows_is_divergence(network_class):
    """Clipped to 0, it would pass for an update, and training would stand still."""
    network = one_weight(network_class, "float64")
    before = everything(network)
    for optimizer in (SGD(clip_norm=3.0), Adam(clip_norm=3.0)):
        for training in (network.step, network.fit):
            said(training, [[1e100]], [[1e100]], optimizer=optimizer)
            assert everything(network) == before


def test_the_loss_of_an_epoch_is_finite_where_those_of_its_batches_are(network_class):
    """Their sum is not: each row costs 10^308."""
    network = one_weight(network_class, "float64")
    x, y = np.zeros((4, 1)), np.full((4, 1), 1e154)
    assert network.evaluate(x, y)["loss"] == pytest.approx(1e308)
    for batch in (1, 3, 4):
        history = network.fit(x, y, epochs=1, batch_size=batch, optimizer=SGD(learning_rate=1e-200))
        assert history["loss"] == pytest.approx([1e308])


def test_an_infinite_validation_loss_is_told_and_never_the_best():
    x, y = np.ones((8, 1)), np.zeros((8, 1))
    network, kept = (one_weight(fastbp.Network, "float64", w=1.0) for _ in "12")
    plain = one_weight(reference.Network, "float64", w=1.0)
    assert plain.evaluate(x, np.full((8, 1), 1e200)) == {"loss": np.inf}
    history = network.fit(
        x, y, epochs=9, validation_data=(x, np.full((8, 1), 1e200)), early_stopping=EarlyStopping(patience=3)
    )
    assert history["val_loss"].tolist() == [np.inf] * 3
    assert history.best_epoch is None
    kept.fit(x, y, epochs=3)
    assert everything(network) == everything(kept)


def test_sample_weights_may_be_as_large_as_the_gradient_allows(network_class, dtype):
    """y_pred is 0, y 1: the gradient is -2 weight, and twice the largest float is no float."""
    largest = float(np.finfo(dtype).max)
    network = one_weight(network_class, dtype)
    network.step([[1.0]], [[1.0]], optimizer=SGD(learning_rate=1 / largest), sample_weight=[largest / 4])
    assert network.weights[0][0, 0] == pytest.approx(0.5)
    network = one_weight(network_class, dtype)
    before = everything(network)
    said(network.step, [[1.0]], [[1.0]], optimizer=SGD(learning_rate=1 / largest), sample_weight=[largest])
    assert everything(network) == before


def test_accuracy_is_told_where_sample_weights_are_huge(network_class):
    """Their sum is no float32."""
    network = network_class([2, 2], loss="cross_entropy")
    network.weights[0][...] = np.eye(2)
    weight = np.full(8, np.finfo(np.float32).max)
    scores = network.evaluate(np.tile(np.eye(2), (4, 1)), [0, 1, 0, 0, 0, 1, 0, 0], sample_weight=weight)
    assert scores["accuracy"] == pytest.approx(0.75)


def test_the_callers_numpy_error_state_does_not_matter(network_class, dtype):
    """The powers of beta1 fade to 0 after 350 updates, which is an underflow."""
    x, y, _ = rows_of(dtype)
    quiet, strict = (network_of(network_class, dtype) for _ in "12")
    arguments = {"epochs": 400, "batch_size": None, "optimizer": Adam(learning_rate=RATE, beta1=0.1)}
    quiet.fit(x[:8], y[:8], **arguments)
    with np.errstate(all="raise"):
        strict.fit(x[:8], y[:8], **arguments)
        assert everything(strict) == everything(quiet)
        runaway = AdamW(learning_rate=10 * ROOT[dtype.name], weight_decay=10 * ROOT[dtype.name])
        assert said(strict.step, x, y, optimizer=runaway).startswith("training diverged in step 0")
    assert everything(strict) == everything(quiet)


# -------------------------------------------------------------------------------------------- the functions of a layer

# Shapes that take every way through the kernels: one that is tiny, one thread, shards, strips and groups.
SHAPES = [(4, 3, 2), (100, 20, 5), (2000, 64, 10), (1500, 400, 300), (1500, 900, 300), (32, 784, 128), (16, 784, 10)]


def waking(shape, dtype, bias_reduction):
    """x, y, w, b and a learning rate that diverge in step 3, in any order of rounding.

    All rows but the last have x = 0, and drive the last bias down: 3, 1.9, -0.6, -4.9. The sigmoid of the last row
    rounds to 1, so that its delta is 0, until that bias wakes it: then its gradient is beyond the dtype. The other
    outputs are 0.5, as they should be.
    """
    rows, inputs, outputs = shape
    a, large, y_of_last = {"float32": (19.2, 1e30, -1e18), "float64": (39.6, 1e180, -1e150)}[dtype.name]
    x, w, b = np.zeros((rows, inputs), dtype), np.zeros((inputs, outputs), dtype), np.zeros(outputs, dtype)
    y = np.full((rows, outputs), 0.5, dtype)
    x[-1, -1], w[-1, -1], b[-1] = large, a / large, 3
    y[:, -1] = -2
    y[-1, -1] = y_of_last
    rate = 4 / (rows - 1)
    return x, y, w, b, rate * rows if bias_reduction == "mean" else rate


@pytest.mark.jit_only
@pytest.mark.parametrize("bias_reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_layer_of_any_shape_keeps_the_steps_before_the_one_that_diverges(dtype, shape, bias_reduction):
    """For any number of threads, as single steps leave it, in the words of the reference; and it goes on from there."""
    ends = []
    for engine, threads in [(reference, 1), *((fastbp, threads) for threads in (1, 2, 3))]:
        fastbp.set_num_threads(threads)
        x, y, w, b, rate = waking(shape, dtype, bias_reduction)
        options = {"learning_rate": rate, "bias_reduction": bias_reduction}
        by_steps = w.copy(), b.copy()
        message = said(engine.train, x, y, w, b, steps=9, **options)
        for _ in range(3):
            engine.step(x, y, *by_steps, **options)
        assert_same_bits((w, b), by_steps)
        said(engine.step, x, y, w, b, **options)
        said(engine.backward, x, engine.forward(x, w, b), y, w, b, **options)
        assert said(engine.gradients, x, y, w, b) == (
            f"the cost or a gradient is not finite in dtype {dtype}; smaller numbers in x, y, w or b are wanted"
        )
        assert_same_bits((w, b), by_steps)
        ends.append((message, w, b))
        x[-1], y[-1] = 0, 0.5  # without the row that woke
        assert np.isfinite(engine.train(x, y, w.copy(), b.copy(), steps=2, learning_rate=rate / 10)).all()
    assert {message for message, _, _ in ends} == {ends[0][0]}
    assert ends[0][0].startswith("training diverged in step 3: ")
    for _, w, b in ends[2:]:
        assert_same_bits((w, b), ends[1][1:])
    assert_close(ends[1][1:], ends[0][1:], {"float32": 1e-4, "float64": 1e-12}[dtype.name])
