"""What a network promises: its gradients, and how it trains.

The truth comes from outside: numbers worked by hand, central differences of the loss, and PyTorch, where installed.
"""

import inspect
import math

import numpy as np
import pytest
from conftest import LAYOUTS
from test_signatures import bare

from fastbp import reference
from fastbp.optimizers import SGD, Adam, AdamW
from fastbp.reference.network import shuffled
from fastbp.schedules import CosineDecay, StepDecay

HIDDEN = ["sigmoid", "tanh", "relu", "leaky_relu", "identity"]
TARGETS = [  # the loss, the output activation, what kind of y
    *(("squared_error", output, "numbers") for output in [*HIDDEN, "softmax"]),
    ("binary_cross_entropy", "sigmoid", "shares"),
    ("cross_entropy", "softmax", "shares"),  # which do not sum to 1
    ("cross_entropy", "softmax", "one-hot"),
    ("cross_entropy", "softmax", "labels"),
]
EVERY_LOSS = pytest.mark.parametrize(("loss", "output", "kind"), TARGETS)
EVERY_ACTIVATION = pytest.mark.parametrize("hidden", HIDDEN)
WEIGHTED = pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
SIZES = (4, 7, 5, 3)

SCHEDULE = CosineDecay(0.1, steps=6, final=0.01, warmup=2)
OPTIMIZERS = {
    "SGD": SGD(learning_rate=0.1),
    "momentum": SGD(learning_rate=0.1, momentum=0.9),
    "nesterov": SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    "weight decay": SGD(learning_rate=0.1, momentum=0.5, weight_decay=0.1),
    "clipped SGD": SGD(learning_rate=0.1, momentum=0.9, clip_norm=0.3),
    "scheduled SGD": SGD(learning_rate=SCHEDULE, momentum=0.9, nesterov=True),
    "Adam": Adam(learning_rate=0.01),
    "Adam, other betas": Adam(learning_rate=0.01, beta1=0.5, beta2=0.8, epsilon=1e-3),
    "Adam, weight decay": Adam(learning_rate=0.01, weight_decay=0.1),
    "clipped Adam": Adam(learning_rate=0.01, clip_norm=0.3),
    "scheduled Adam": Adam(learning_rate=StepDecay(0.1, every=3, factor=0.5, warmup=2)),
    "AdamW": AdamW(learning_rate=0.01),
    "AdamW, weight decay": AdamW(learning_rate=0.01, weight_decay=0.3, clip_norm=1),
    "scheduled AdamW": AdamW(learning_rate=SCHEDULE, weight_decay=0.1),
}
EVERY_OPTIMIZER = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def problem(kind="numbers", rows=9, inputs=4, outputs=3, weighted=False):
    """x, y of a kind, and a sample_weight, or None: always the same numbers for the same arguments."""
    rng = np.random.default_rng([rows, inputs, outputs])
    x = rng.normal(0, 1, (rows, inputs))
    labels = rng.integers(0, outputs, rows)
    y = {
        "numbers": rng.normal(0, 1, (rows, outputs)),
        "shares": rng.uniform(0, 1, (rows, outputs)),
        "one-hot": np.eye(outputs)[labels],
        "labels": labels,
    }[kind]
    weight = np.where(np.arange(rows) == 1, 0, rng.uniform(0, 3, rows))  # one row counts for nothing
    return x, y, weight if weighted else None


def made(network_class, sizes=SIZES, dtype="float64", **options):
    """A network whose biases are not 0 either."""
    network = network_class(sizes, dtype=dtype, **options)
    for b in network.biases:
        b[:] = np.random.default_rng(len(b)).uniform(-0.5, 0.5, len(b))
    return network


def parameters(network):
    """Copies of w_1, b_1, ..., b_L."""
    return [array.copy() for layer in zip(network.weights, network.biases, strict=True) for array in layer]


def fitted(network, *arguments, **options):
    """Fit; the loss of each epoch."""
    return network.fit(*arguments, **options)["loss"]


def assert_close(got, wanted, off=1e-10):
    """Each array is within `off` of the wanted one, as a share of its largest number."""
    for one, other in zip(got, wanted, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=off * np.abs(other).max(initial=1e-300))


def assert_same_bits(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


# -------------------------------------------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("options", "y", "loss"),
    [
        ({}, [[1, 0], [0, -1]], (0.25 + 0.25 + 0.25 + 2.25) / 2),
        ({"output_activation": "identity"}, [[1, 0], [0, -3]], (1 + 0 + 0 + 9) / 2),
        ({"output_activation": "softmax"}, [[1, 0], [0.5, 0]], (0.25 + 0.25 + 0 + 0.25) / 2),
        ({"loss": "binary_cross_entropy"}, [[1, 0], [0.3, 0.9]], 2 * math.log(2)),
        ({"loss": "cross_entropy"}, [[1, 0], [0, 1]], math.log(2)),
        ({"loss": "cross_entropy"}, [[1, 0], [1, 1]], 1.5 * math.log(2)),
        ({"loss": "cross_entropy"}, [0, 1], math.log(2)),
    ],
)
def test_loss_where_all_weights_are_0(network_class, dtype, options, y, loss):
    """The outputs are 1/2 then, or 0 of the identity."""
    network = network_class([3, 2], dtype=dtype, **options)
    network.weights[0][:] = 0
    x = np.arange(6).reshape(2, 3)
    assert network.gradients(x, y)[0] == pytest.approx(loss, rel=1e-7 if dtype == "float32" else 1e-15)
    assert network.evaluate(x, y)["loss"] == pytest.approx(loss, rel=1e-7 if dtype == "float32" else 1e-15)


def test_weights_and_biases_of_a_layer_can_be_assigned_and_reduced(network_class, dtype):
    network = network_class([3, 2], dtype=dtype)
    network.weights[0] = np.ones((3, 2))
    network.weights[0] -= [[0, 1], [0.5, 0], [0, 0]]
    network.biases[0] += [1, 2]
    np.testing.assert_array_equal(network.weights[0], np.array([[1, 0], [0.5, 1], [1, 1]], dtype))
    np.testing.assert_array_equal(network.biases[0], np.array([1, 2], dtype))
    with pytest.raises(ValueError, match=r"for layer 0 has shape \(2, 3\); \(3, 2\) or a number is wanted"):
        network.weights[0] = np.ones((2, 3))
    np.testing.assert_allclose(network.predict([[1, 1, 0]]), 1 / (1 + np.exp([[-2.5, -3]])), rtol=1e-6)


# w_1 = [1 -1], b_1 = [0 1], relu; w_2 = [2 3]^T, b_2 = [-1], identity. For x = 2: a_1 = [2 -1], p_1 = [2 0],
# y_pred = 3. With y = 1: C = 4, delta_2 = 2 (3 - 1) = 4, dC/dw_2 = [8 0]^T, delta_1 = [4 * 2, 0], dC/dw_1 = [16 0].
def test_two_layers_worked_by_hand(network_class, dtype):
    network = network_class([1, 2, 1], activation="relu", output_activation="identity", dtype=dtype)
    network.weights[0][:], network.biases[0][:] = [[1, -1]], [0, 1]
    network.weights[1][:], network.biases[1][:] = [[2], [3]], [-1]
    assert_same_bits([network.predict([[2]])], [np.array([[3]], dtype)])
    loss, layers = network.gradients([[2]], [[1]])
    assert loss == 4
    gradients = [[[16, 0]], [8, 0], [[8], [0]], [4]]
    assert_same_bits([g for layer in layers for g in layer], [np.array(g, dtype) for g in gradients])

    assert network.step([[2]], [[1]], optimizer=SGD(learning_rate=0.125)) == 4
    after = [[[-1, -1]], [-1, 1], [[1], [3]], [-1.5]]
    assert_same_bits(parameters(network), [np.array(p, dtype) for p in after])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("a", [40.0, 1000.0, -1000.0])
def test_cross_entropies_do_not_overflow(network_class, dtype, a):
    """y_pred rounds to 0 and 1, but the loss is still a: log y_pred is never taken."""
    wrong, right = ([[0.0]], [[1.0]]) if a > 0 else ([[1.0]], [[0.0]])
    network = network_class([1, 1], loss="binary_cross_entropy", dtype=dtype)
    network.weights[0][:] = a
    assert network.gradients([[1]], wrong)[0] == pytest.approx(abs(a), rel=1e-12)
    assert network.gradients([[1]], right)[0] == pytest.approx(0, abs=1e-15)
    assert network.gradients([[1]], wrong)[1][0][1][0] == (1 if a > 0 else -1)

    network = network_class([1, 2], loss="cross_entropy", dtype=dtype)
    network.weights[0][:] = [[a, 0]]
    best = 0 if a > 0 else 1
    assert network.gradients([[1]], [1 - best])[0] == pytest.approx(abs(a), rel=1e-12)
    assert network.gradients([[1]], [best])[0] == pytest.approx(0, abs=1e-15)


def test_accuracy_counts_the_rows_whose_class_is_right(network_class):
    network = network_class([3, 3], loss="cross_entropy", dtype="float64")
    network.weights[0][:] = 5 * np.eye(3)
    x = np.eye(3)[[0, 1, 2, 2]]
    assert network.predict_classes(x).tolist() == [0, 1, 2, 2]
    assert network.predict_classes(x).dtype == np.int64
    assert network.evaluate(x, [0, 1, 2, 0])["accuracy"] == 0.75
    assert network.evaluate(x, np.eye(3)[[0, 1, 1, 0]])["accuracy"] == 0.5
    assert network.evaluate(x, [0, 1, 2, 0], sample_weight=[1, 0, 0, 3])["accuracy"] == 0.25
    assert math.isnan(network.evaluate(x, [0, 1, 2, 0], sample_weight=[0, 0, 0, 0])["accuracy"])


@pytest.mark.parametrize("options", [{"loss": "cross_entropy"}, {"output_activation": "softmax"}], ids=str)
def test_a_softmax_of_one_output_which_is_always_1_is_refused(network_class, options):
    with pytest.raises(ValueError, match=r"^sizes\[2\] is 1, and a softmax of one output is always 1; two or more are"):
        network_class([2, 3, 1], **options)


@pytest.mark.parametrize("margin", [1.0, 10.0, 16.0, 18.0, 25.0, 60.0])
def test_a_row_that_is_nearly_certain_still_has_a_loss(network_class, margin):
    network = network_class([1, 3], loss="cross_entropy")
    network.weights[0][:] = [[0, margin, 0]]
    loss = math.log1p(2 * math.exp(-margin))
    assert network.evaluate([[1]], [1])["loss"] == pytest.approx(loss, rel=1e-6)
    assert network.evaluate([[1]], [[0, 1, 0]])["loss"] == pytest.approx(loss, rel=1e-6)


def test_ten_thousand_equal_outputs_are_as_probable_as_they_are(network_class):
    """Of a running sum in float32 one in 25000 would be lost."""
    network = network_class([1, 10_000], loss="cross_entropy")
    network.weights[0][:], network.biases[0][0] = 0, 1.2
    total = math.exp(1.2) + 9999
    assert network.predict([[1]]).sum(dtype=float) == pytest.approx(1, rel=1e-6)
    assert network.evaluate([[1]], [1])["loss"] == pytest.approx(math.log(total), rel=1e-6)
    assert network.gradients([[1]], [1])[1][0][1][5] == pytest.approx(1 / total, rel=1e-6)


def test_one_output_is_a_class_above_a_half(network_class):
    network = network_class([1, 1], loss="binary_cross_entropy", dtype="float64")
    network.weights[0][:] = 1
    assert network.predict_classes([[-1], [0], [1e-9], [3]]).tolist() == [0, 0, 1, 1]
    assert network.evaluate([[-1], [1], [2]], [0, 0, 1])["accuracy"] == pytest.approx(2 / 3)


def test_squared_error_has_no_accuracy(network_class):
    assert list(network_class([4, 3]).evaluate(*problem()[:2])) == ["loss"]


# -------------------------------------------------------------------------------------------------------- signatures

# The methods of reference.Network, word for word; others have these arguments, and may have more.
API = {
    "__init__": (
        "(self, sizes, *, activation='sigmoid', output_activation=None, loss='squared_error', dtype='float32', seed=0)"
    ),
    "predict": "(self, x)",
    "predict_classes": "(self, x)",
    "evaluate": "(self, x, y, *, sample_weight=None)",
    "gradients": "(self, x, y, *, sample_weight=None)",
    "step": "(self, x, y, *, optimizer=None, sample_weight=None)",
    "fit": "(self, x, y, *, epochs=1, batch_size=32, optimizer=None, shuffle=True, sample_weight=None)",
}


@pytest.mark.parametrize("method", API)
def test_arguments_and_defaults_are_the_promised_ones(network_class, method):
    promised = inspect.signature(getattr(reference.Network, method))
    assert bare(getattr(reference.Network, method)) == API[method]
    own = inspect.signature(getattr(network_class, method)).parameters
    for name, parameter in promised.parameters.items():
        assert (own[name].kind, own[name].default) == (parameter.kind, parameter.default), name
    assert inspect.getdoc(getattr(network_class, method) if method != "__init__" else network_class)


# ---------------------------------------------------------------------------------------------- the start of a network


def test_initial_weights_are_those_of_the_seed(network_class):
    """limit (2 u - 1), where u is what NumPy's generator draws in turn."""
    u = np.random.default_rng(3).random(2 * 3 + 3 * 2).tolist()
    assert u[:2] == [0.08564916714362436, 0.2368105065960997]
    limits = [(6 / 5) ** 0.5] * 6 + [(6 / 5) ** 0.5] * 6
    wanted = [limit * (2 * one - 1) for limit, one in zip(limits, u, strict=True)]
    network = network_class([2, 3, 2], seed=3, dtype="float64")
    np.testing.assert_allclose(np.concatenate([w.ravel() for w in network.weights]), wanted, rtol=1e-14)
    assert network.weights[0][0, 0] == pytest.approx(-0.907797, rel=1e-6)
    in_float32 = network_class([2, 3, 2], seed=3)
    assert_same_bits(in_float32.weights, [w.astype(np.float32) for w in network.weights])


@pytest.mark.parametrize(
    ("activation", "limit"),
    [
        *((name, (6 / (100 + 50)) ** 0.5) for name in ("sigmoid", "tanh", "identity", "softmax")),
        ("relu", (6 / 100) ** 0.5),
        ("leaky_relu", (6 / 100 / 1.0001) ** 0.5),
    ],
)
def test_initial_weights_fill_the_limits_of_their_activation(network_class, activation, limit):
    drawn = [network_class([100, 50], output_activation=activation, dtype="float64").weights[0]]
    if activation != "softmax":
        drawn.append(network_class([100, 50, 7], activation=activation, dtype="float64").weights[0])
    u = np.random.default_rng(0).random((100, 50))
    for w in drawn:
        np.testing.assert_allclose(w, limit * (2 * u - 1), rtol=0, atol=1e-14)


def test_biases_begin_at_0_and_arrays_have_the_promised_shapes(network_class, dtype):
    network = network_class(SIZES, dtype=dtype)
    assert [w.shape for w in network.weights] == [(4, 7), (7, 5), (5, 3)]
    assert [b.tolist() for b in network.biases] == [[0] * 7, [0] * 5, [0] * 3]
    assert {array.dtype for array in parameters(network)} == {dtype}
    assert network.predict(problem()[0]).dtype == dtype


def test_each_seed_gives_other_weights_and_the_same_seed_the_same(network_class):
    first, again, other = (parameters(network_class(SIZES, seed=seed)) for seed in (1, 1, 2))
    assert_same_bits(first, again)
    assert not np.array_equal(first[0], other[0])
    assert_same_bits(parameters(network_class(SIZES)), parameters(network_class(SIZES, seed=0)))


def test_output_activation_follows_the_loss(network_class):
    x = problem()[0]
    for loss, output in [
        ("squared_error", "sigmoid"),
        ("binary_cross_entropy", "sigmoid"),
        ("cross_entropy", "softmax"),
    ]:
        implied, said = network_class(SIZES, loss=loss), network_class(SIZES, loss=loss, output_activation=output)
        assert_same_bits([implied.predict(x)], [said.predict(x)])


def test_each_hidden_layer_may_have_its_own_activation(network_class):
    x, y, _ = problem()
    one_for_all = network_class(SIZES, activation="tanh", dtype="float64")
    one_for_each = network_class(SIZES, activation=["tanh", "tanh"], dtype="float64")
    assert_same_bits([one_for_all.predict(x)], [one_for_each.predict(x)])
    assert one_for_all.step(x, y) != network_class(SIZES, activation=("tanh", "relu"), dtype="float64").step(x, y)


def test_writing_into_weights_changes_the_network(network_class):
    network, x = network_class([4, 3], dtype="float64"), problem()[0]
    network.weights[0][:], network.biases[0][:] = 0, [0, math.log(3), -math.log(3)]
    np.testing.assert_allclose(network.predict(x), np.tile([0.5, 0.75, 0.25], (9, 1)), rtol=1e-14)


# --------------------------------------------------------------------------------------------------------- gradients


@EVERY_LOSS
@EVERY_ACTIVATION
@WEIGHTED
def test_gradients_are_the_central_differences_of_the_loss(network_class, loss, output, kind, hidden, weighted):
    """(C(p + h) - C(p - h)) / 2h is off by h^2 = 1e-10 times the third derivative, and 1e-16 / h = 1e-11 to round."""
    h = 1e-5
    network = made(network_class, activation=hidden, output_activation=output, loss=loss)
    x, y, weight = problem(kind, weighted=weighted)
    got = [g for layer in network.gradients(x, y, sample_weight=weight)[1] for g in layer]
    arrays = [array for layer in zip(network.weights, network.biases, strict=True) for array in layer]
    for array, gradient in zip(arrays, got, strict=True):
        wanted = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            held, losses = array[index], []
            for moved in (held + h, held - h):
                array[index] = moved
                losses.append(network.evaluate(x, y, sample_weight=weight)["loss"])
            array[index], wanted[index] = held, (losses[0] - losses[1]) / (2 * h)
        assert_close([gradient], [wanted], 1e-7)


@EVERY_LOSS
@EVERY_ACTIVATION
def test_gradients_in_float32_are_near_those_in_float64(network_class, loss, output, kind, hidden):
    options = {"activation": hidden, "output_activation": output, "loss": loss}
    exact, network = made(reference.Network, **options), made(network_class, dtype="float32", **options)
    x, y, weight = problem(kind, rows=40, weighted=True)
    (wanted_loss, wanted), (got_loss, got) = (n.gradients(x, y, sample_weight=weight) for n in (exact, network))
    assert got_loss == pytest.approx(wanted_loss, rel=1e-5)
    for got_layer, wanted_layer in zip(got, wanted, strict=True):
        assert {g.dtype for g in got_layer} == {np.dtype(np.float32)}
        assert_close(got_layer, wanted_layer, 1e-5)


def test_whole_weights_are_rows_said_several_times(network_class):
    x, y, _ = problem()
    times = np.array([0, 3, 1, 1, 0, 2, 1, 1, 0])  # 9 rows again
    network = made(network_class)
    loss, weighted = network.gradients(x, y, sample_weight=times)
    wanted_loss, repeated = network.gradients(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0))
    assert loss == pytest.approx(wanted_loss, rel=1e-14)
    for got, wanted in zip(weighted, repeated, strict=True):
        assert_close(got, wanted, 1e-13)


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_one_output_takes_a_column_or_one_dimension(network_class, loss):
    x, y, _ = problem("shares", outputs=1)
    network = made(network_class, (4, 5, 1), loss=loss)
    (loss_1, layers_1), (loss_2, layers_2) = network.gradients(x, y), network.gradients(x, y[:, 0].tolist())
    assert loss_1 == loss_2
    for one, other in zip(layers_1, layers_2, strict=True):
        assert_same_bits(one, other)


def test_labels_are_one_hot_rows_in_short(network_class):
    x, labels, weight = problem("labels", weighted=True)
    network = made(network_class, loss="cross_entropy")
    loss, wanted = network.gradients(x, np.eye(3)[labels], sample_weight=weight)
    for same in (labels, labels.tolist(), labels.astype(np.uint8), labels.astype(">i4"), np.repeat(labels, 2)[::2]):
        got_loss, got = network.gradients(x, same, sample_weight=weight)
        assert got_loss == pytest.approx(loss, rel=1e-13)
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other, 1e-13)


def test_two_classes_may_be_false_and_true(network_class):
    x, labels, _ = problem("labels", outputs=2)
    network = made(network_class, (4, 5, 2), loss="cross_entropy")
    assert network.gradients(x, labels > 0)[0] == network.gradients(x, labels)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts_do_not_matter(network_class, dtype, layout):
    lay = LAYOUTS[layout]
    x, y, weight = (array.astype(dtype) for array in problem(weighted=True))
    network = made(network_class, dtype=dtype)
    loss, wanted = network.gradients(x, y, sample_weight=weight)
    got_loss, got = network.gradients(lay(x), lay(y), sample_weight=lay(weight))
    assert got_loss == loss
    for one, other in zip(got, wanted, strict=True):
        assert_same_bits(one, other)
    assert_same_bits([network.predict(lay(x))], [network.predict(x)])


def test_other_dtypes_are_converted(network_class):
    x = np.arange(12).reshape(3, 4)
    network = network_class([4, 2])
    for same in (x.astype(np.float64), x.astype(np.int8), x.tolist(), x.astype(np.float16)):
        assert_same_bits([network.predict(same)], [network.predict(x.astype(np.float32))])


# ------------------------------------------------------------------------------------------------------------ PyTorch


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


class Torch:
    """A network of PyTorch in float64, with the parameters of one of ours."""

    def __init__(self, torch, network, hidden, output, loss):
        self.torch, self.loss = torch, loss
        self.parameters = [torch.tensor(array, requires_grad=True) for array in parameters(network)]
        layers = len(self.parameters) // 2
        self.activations = [*[hidden] * (layers - 1), output]

    def loss_of(self, x, y, weight):
        torch = self.torch
        functional = torch.nn.functional
        known = {
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
            "relu": torch.relu,
            "leaky_relu": lambda a: functional.leaky_relu(a, 0.01),
            "identity": lambda a: a,
            "softmax": lambda a: torch.softmax(a, dim=1),
        }
        p, y = torch.tensor(x), torch.tensor(y)
        for w, b, name in zip(self.parameters[::2], self.parameters[1::2], self.activations, strict=True):
            a = p @ w + b
            p = known[name](a)
        if self.loss == "squared_error":
            of_rows = functional.mse_loss(p, y, reduction="none").sum(dim=1)
        elif self.loss == "binary_cross_entropy":
            of_rows = functional.binary_cross_entropy_with_logits(a, y, reduction="none").sum(dim=1)
        else:
            of_rows = functional.cross_entropy(a, y, reduction="none")
        return (of_rows if weight is None else of_rows * torch.tensor(weight)).mean()

    def optimizer(self, ours):
        """PyTorch's optimizer for one of ours; its rate is set before each step."""
        optim, decay = self.torch.optim, ours.weight_decay
        if isinstance(ours, SGD):
            options = {"momentum": ours.momentum, "nesterov": ours.nesterov, "weight_decay": decay}
            return optim.SGD(self.parameters, lr=1, **options)
        theirs = optim.AdamW if isinstance(ours, AdamW) else optim.Adam
        betas = (ours.beta1, ours.beta2)
        return theirs(self.parameters, lr=1, betas=betas, eps=ours.epsilon, weight_decay=decay)

    def step(self, optimizer, ours, number, x, y, weight):
        """The loss before the step."""
        optimizer.zero_grad()
        loss = self.loss_of(x, y, weight)
        loss.backward()
        if ours.clip_norm is not None:  # clip_grad_norm_ adds 1e-6 to the norm
            norm = sum((p.grad**2).sum() for p in self.parameters) ** 0.5
            for p in self.parameters:
                p.grad *= min(1, ours.clip_norm / norm)
        optimizer.param_groups[0]["lr"] = ours.rate(number)
        optimizer.step()
        return loss.item()

    def values(self):
        return [p.detach().numpy() for p in self.parameters]


@EVERY_LOSS
@EVERY_ACTIVATION
@WEIGHTED
def test_gradients_are_those_of_torch(network_class, torch, loss, output, kind, hidden, weighted):
    network = made(network_class, activation=hidden, output_activation=output, loss=loss)
    theirs = Torch(torch, network, hidden, output, loss)
    x, y, weight = problem(kind, rows=33, weighted=weighted)
    wanted = theirs.loss_of(x, y, weight)
    wanted.backward()
    got, layers = network.gradients(x, y, sample_weight=weight)
    assert got == pytest.approx(wanted.item(), rel=1e-12)
    assert_close([g for layer in layers for g in layer], [p.grad.numpy() for p in theirs.parameters])


@EVERY_OPTIMIZER
@pytest.mark.parametrize(
    ("hidden", "loss", "output", "kind"),
    [
        ("tanh", "squared_error", "identity", "numbers"),
        ("relu", "cross_entropy", "softmax", "labels"),
        ("sigmoid", "binary_cross_entropy", "sigmoid", "shares"),
    ],
)
def test_ten_steps_are_those_of_torch(network_class, torch, optimizer, hidden, loss, output, kind):
    network = made(network_class, activation=hidden, output_activation=output, loss=loss)
    theirs = Torch(torch, network, hidden, output, loss)
    their_optimizer = theirs.optimizer(optimizer)
    x, y, weight = problem(kind, rows=33, weighted=True)
    for number in range(10):
        got = network.step(x, y, optimizer=optimizer, sample_weight=weight)
        assert got == pytest.approx(theirs.step(their_optimizer, optimizer, number, x, y, weight), rel=1e-10)
        assert_close(parameters(network), theirs.values())


@pytest.mark.parametrize("optimizer", ["clipped SGD", "clipped Adam"])
def test_clipping_is_felt(network_class, optimizer):
    """The norm of the gradients is above the limit of the tests at first, or these would compare nothing."""
    x, y, weight = problem("labels", rows=33, weighted=True)
    layers = made(network_class, activation="relu", loss="cross_entropy").gradients(x, y, sample_weight=weight)[1]
    norm = math.sqrt(sum(float(np.sum(g**2)) for layer in layers for g in layer))
    assert norm > OPTIMIZERS[optimizer].clip_norm


# --------------------------------------------------------------------------------------------------------- optimizers


def test_one_sigmoid_layer_takes_the_step_of_the_functions(network_class, dtype, layer):
    x, y, w, b = layer(8, 4, 3, dtype)
    network = network_class([4, 3], dtype=dtype)
    network.weights[0][:], network.biases[0][:] = w, b
    off = 1e-6 if dtype == np.float32 else 1e-14
    for _ in range(5):
        cost = reference.step(x, y, w, b, learning_rate=0.1, bias_reduction="sum")
        loss = network.step(x, y, optimizer=SGD(learning_rate=0.1 * 8))
        assert loss == pytest.approx(cost / 8, rel=off)
        assert_close(parameters(network), [w, b], off)


@EVERY_OPTIMIZER
def test_optimizers_in_float32_are_near_those_in_float64(network_class, optimizer):
    exact, network = made(reference.Network, activation="tanh"), made(network_class, activation="tanh", dtype="float32")
    x, y, _ = problem()
    for _ in range(10):
        loss = exact.step(x, y, optimizer=optimizer)
        assert network.step(x, y, optimizer=optimizer) == pytest.approx(loss, rel=1e-5)
    assert {array.dtype for array in parameters(network)} == {np.dtype(np.float32)}
    assert_close(parameters(network), parameters(exact), 1e-4)


def test_first_optimizer_is_plain_descent(network_class):
    x, y, _ = problem()
    implied, said = made(network_class), made(network_class)
    implied.step(x, y)
    said.step(x, y, optimizer=SGD(learning_rate=0.01))
    assert_same_bits(parameters(implied), parameters(said))


@EVERY_OPTIMIZER
def test_no_optimizer_is_the_one_before(network_class, optimizer):
    x, y, _ = problem()
    implied, said = made(network_class), made(network_class)
    for number in range(4):
        implied.step(x, y, optimizer=None if number else optimizer)
        said.step(x, y, optimizer=optimizer)
    assert_same_bits(parameters(implied), parameters(said))


def after(network_class, *optimizers):
    """The parameters after a step with each."""
    x, y, _ = problem()
    network = made(network_class)
    for optimizer in optimizers:
        network.step(x, y, optimizer=optimizer)
    return network


def test_same_class_goes_on_with_other_settings(network_class):
    """v = g_1 after the first step, and 0.5 g_1 + g_2 after the second, whose momentum is 0.5."""
    fast, slow = SGD(learning_rate=1, momentum=0.9), SGD(learning_rate=1e-3, momentum=0.5)
    network = after(network_class, fast)
    before, (_, layers) = parameters(network), made(network_class).gradients(*problem()[:2])
    first = [g for layer in layers for g in layer]
    second = [g for layer in network.gradients(*problem()[:2])[1] for g in layer]
    network.step(*problem()[:2], optimizer=slow)
    wanted = [p - 1e-3 * (0.5 * v + g) for p, v, g in zip(before, first, second, strict=True)]
    assert_close(parameters(network), wanted, 1e-14)


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (SGD(momentum=0.9), Adam(learning_rate=0.1)),
        (Adam(), AdamW(learning_rate=0.1)),
        (AdamW(), Adam(learning_rate=0.1)),
        (Adam(), SGD(learning_rate=StepDecay(0.1, every=1))),
        (SGD(momentum=0.9), SGD(learning_rate=StepDecay(0.1, every=1))),
        (SGD(), SGD(learning_rate=StepDecay(0.1, every=1), momentum=0.9)),
    ],
    ids=str,
)
def test_another_optimizer_starts_anew(network_class, before, then):
    """As if a network had these parameters from the start."""
    network, fresh = after(network_class, before, before), made(network_class)
    for mine, other in zip((*fresh.weights, *fresh.biases), (*network.weights, *network.biases), strict=True):
        mine[:] = other
    x, y, _ = problem()
    for _ in range(3):
        network.step(x, y, optimizer=then)
        fresh.step(x, y, optimizer=then)
    assert_same_bits(parameters(network), parameters(fresh))


# ---------------------------------------------------------------------------------------------------------------- fit


@EVERY_OPTIMIZER
@pytest.mark.parametrize(("loss", "kind"), [("squared_error", "numbers"), ("cross_entropy", "labels")])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 100, None])
def test_fit_is_a_loop_of_steps_over_batches_in_the_order_of_the_seed(network_class, optimizer, loss, kind, batch_size):
    x, y, weight = problem(kind, rows=23, weighted=True)
    network, stepped = (made(network_class, loss=loss, seed=5) for _ in range(2))
    losses = fitted(network, x, y, epochs=3, batch_size=batch_size, optimizer=optimizer, sample_weight=weight)

    generator = np.random.default_rng(5)
    generator.random(4 * 7 + 7 * 5 + 5 * 3)  # for the initial weights
    assert losses.shape == (3,)
    for epoch in range(3):
        order, total = shuffled(generator, 23), 0
        for first in range(0, 23, batch_size or 23):
            batch = order[first : first + (batch_size or 23)]
            total += len(batch) * stepped.step(x[batch], y[batch], optimizer=optimizer, sample_weight=weight[batch])
        assert losses[epoch] == pytest.approx(total / 23, rel=1e-12)
    assert_close(parameters(network), parameters(stepped), 1e-11)


def test_without_shuffling_rows_are_taken_as_they_come(network_class):
    x, y, _ = problem()
    network, stepped = made(network_class), made(network_class)
    losses = fitted(network, x, y, batch_size=4, shuffle=False)
    by_steps = [stepped.step(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    assert losses == pytest.approx([(4 * by_steps[0] + 4 * by_steps[1] + by_steps[2]) / 9], rel=1e-12)
    assert_close(parameters(network), parameters(stepped), 1e-13)


def test_a_batch_is_32_rows_unless_told_otherwise(network_class):
    x, y, _ = problem(rows=70)
    implied, said = made(network_class), made(network_class)
    assert_same_bits(
        [fitted(implied, x, y)], [fitted(said, x, y, epochs=1, batch_size=32, shuffle=True, optimizer=SGD())]
    )
    assert_same_bits(parameters(implied), parameters(said))


@EVERY_OPTIMIZER
def test_fitting_twice_is_fitting_for_longer(network_class, optimizer):
    x, y, _ = problem()
    whole, parts = made(network_class), made(network_class)
    losses = fitted(whole, x, y, epochs=5, batch_size=4, optimizer=optimizer)
    in_parts = [fitted(parts, x, y, epochs=n, batch_size=4, optimizer=optimizer) for n in (2, 0, 3)]
    assert_same_bits([np.concatenate(in_parts)], [losses])
    assert_same_bits(parameters(parts), parameters(whole))


def test_the_same_seed_trains_to_the_same_bits(network_class, dtype):
    x, y, weight = problem(weighted=True)
    runs = []
    for _ in range(2):
        network = network_class(SIZES, dtype=dtype, seed=2)
        losses = fitted(network, x, y, epochs=3, batch_size=2, optimizer=Adam(), sample_weight=weight)
        runs.append([losses, *parameters(network)])
    assert_same_bits(*runs)


def test_a_network_learns_what_one_layer_cannot(network_class):
    """Exclusive or."""
    x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    network = network_class([2, 8, 1], activation="tanh", loss="binary_cross_entropy", seed=1)
    losses = fitted(network, x, y, epochs=300, batch_size=None, optimizer=Adam(learning_rate=0.05))
    assert losses[0] > 0.6
    assert losses[-1] < 0.02
    assert network.predict_classes(x).tolist() == y
    assert network.evaluate(x, y)["accuracy"] == 1


def test_arguments_are_left_as_they_were(network_class):
    x, y, weight = problem(weighted=True)
    held = x.copy(), y.copy(), weight.copy()
    network = made(network_class)
    network.fit(x, y, batch_size=2, sample_weight=weight)
    network.step(x, y, sample_weight=weight)
    network.evaluate(x, y, sample_weight=weight)
    network.predict(x)
    assert_same_bits([x, y, weight], held)


# ------------------------------------------------------------------------------------------------ how exact Adam is


@pytest.mark.parametrize("beta2", [0.0, 0.9, 0.999, 0.9999, 0.99999, 0.999999, 0.99999997])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_step_of_adam_is_the_learning_rate(network_class, beta2, dtype):
    """Since m is (1 - beta1) g and v (1 - beta2) g^2, however 1 - beta2 is rounded."""
    network = network_class([3, 2], dtype=dtype)
    before = network.weights[0].copy()
    network.step([[1.0, -2.0, 0.5]], [[1.0, 0.0]], optimizer=Adam(learning_rate=1.0, beta2=beta2, epsilon=1e-30))
    np.testing.assert_allclose(np.abs(network.weights[0] - before), 1, rtol=2e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("betas", [(0.0, 0.0), (0.0, 1e-20), (1e-20, 0.0)])
def test_an_adam_that_remembers_nothing_moves_by_the_learning_rate_after_any_gradient(network_class, betas):
    """m is g and v is g^2, also where they are nothing beside those before."""
    adam = Adam(learning_rate=0.001, beta1=betas[0], beta2=betas[1], epsilon=1e-30)
    network = network_class([1, 1], output_activation="identity", dtype="float32")
    for x in (1.0, 1e-2, 1e-5):
        before = network.weights[0].copy()
        target = x * before + network.biases[0] - x  # in gradients as small as x^2
        network.step([[x]], target, optimizer=adam)
        np.testing.assert_allclose(np.abs(network.weights[0] - before), 0.001, rtol=1e-3)


@pytest.mark.parametrize("beta2", [0.999, 0.999999])
def test_adam_in_float32_stays_near_float64_after_a_large_gradient(network_class, beta2):
    """v, small before, is a small share of g^2 after: to take one from the other would cost it its digits."""
    moved = []
    for network in (network_class([1, 1], dtype="float32"), reference.Network([1, 1], dtype="float64")):
        network.weights[0][...] = 0.5
        for x in (1e-3, 1.0, 0.1, 0.1, 0.1):
            network.step([[x]], [[1.0]], optimizer=Adam(learning_rate=0.01, beta2=beta2))
        moved.append(network.weights[0] - 0.5)
    np.testing.assert_allclose(*moved, rtol=1e-5)
