"""Every function of the package on arrays of a given shape, and all bits that it returns or leaves."""

import itertools
from typing import NamedTuple

import numpy as np
from conftest import LAYOUTS
from hypothesis import strategies as st
from planning import WAYS, gone_through
from test_network import HIDDEN, OPTIMIZERS, TARGETS, made, parameters, problem
from test_network_training import CASES
from test_threads import SHAPES

import fastbp
from fastbp.history import History
from fastbp.optimizers import Optimizer
from fastbp.tiles.registers import lanes_of


def _bits(results):
    return [np.asarray(result).tobytes() for result in results]


def _outcome(function, *arguments, **options):
    """What it returns, or says: to find that training diverges takes other ways through the kernels."""
    try:
        return function(*arguments, **options)
    except FloatingPointError as error:
        return str(error)


class LayerCalls(NamedTuple):
    """The functions of a layer."""

    rows: int
    inputs: int
    outputs: int
    dtype: str
    layout: str = "C"
    bias_reduction: str = "mean"
    way: str = "as it comes"

    def bits(self):
        with gone_through(self.way):
            return self._bits()

    def _bits(self):
        rng = np.random.default_rng(self[:3])
        x, y, w, b = (
            numbers.astype(self.dtype)
            for numbers in (
                rng.uniform(-1, 1, (self.rows, self.inputs)),
                rng.uniform(0, 1, (self.rows, self.outputs)),
                rng.normal(0, self.inputs**-0.5, (self.inputs, self.outputs)),
                rng.normal(0, 0.1, self.outputs),
            )
        )
        x, y = LAYOUTS[self.layout](x), LAYOUTS[self.layout](y)
        options = {"bias_reduction": self.bias_reduction}
        y_pred = fastbp.forward(x, w, b)
        results = [y_pred, *fastbp.gradients(x, y, w, b, **options)]
        results += [
            fastbp.sigmoid(x),
            fastbp.sigmoid_gradient(x),
            fastbp.cost(y_pred, y),
            fastbp.cost_gradient(y_pred, y),
        ]
        for update, data in ((fastbp.step, (x, y)), (fastbp.train, (x, y)), (fastbp.backward, (x, y_pred, y))):
            some = {"steps": 3} if update is fastbp.train else {}
            cost = update(*data, w, b, learning_rate=1e-3, **options, **some)
            results += [np.array(() if cost is None else cost), w.copy(), b.copy()]
        return _bits(results)


class NetworkCalls(NamedTuple):
    """The methods of a network."""

    sizes: tuple[int, ...]
    rows: int
    batch: int | None
    dtype: str
    activation: str = "sigmoid"
    target: tuple[str, str, str] = TARGETS[0]
    optimizer: Optimizer = OPTIMIZERS["SGD"]
    layout: str = "C"
    weighted: bool = False

    def bits(self):
        loss, output, kind = self.target
        *inner, outputs = self.sizes
        sizes = (*inner, max(2, outputs)) if output == "softmax" else self.sizes  # which has two outputs or more
        x, y, weight = problem(kind, self.rows, sizes[0], sizes[-1], self.weighted)
        x = LAYOUTS[self.layout]((x / 8).astype(self.dtype))
        y = LAYOUTS[self.layout](y if kind == "labels" else y.astype(self.dtype))
        weight = None if weight is None else LAYOUTS[self.layout](weight.astype(self.dtype))
        options = {"activation": self.activation, "loss": loss, "output_activation": output}
        network = made(fastbp.Network, sizes, self.dtype, **options)
        loss, gradients = network.gradients(x, y, sample_weight=weight)
        results = [network.predict(x), loss, *(part for layer in gradients for part in layer)]
        results += network.evaluate(x, y, sample_weight=weight).values()
        for few in (2, 3, 39):
            results.append(network.predict(x[:few]))
            results += network.evaluate(
                x[:few], y[:few], sample_weight=None if weight is None else weight[:few]
            ).values()
        weights = {"sample_weight": weight}
        for optimizer in (None, self.optimizer):
            results.append(_outcome(network.step, x, y, optimizer=optimizer, **weights))
        for judges in ({"validation_data": (x, y, weight)}, {"validation_fraction": 0.5 if self.rows > 1 else 0}):
            history = _outcome(network.fit, x, y, batch_size=self.batch, epochs=2, **weights, **judges)
            results += history.values() if isinstance(history, History) else [history]
        return _bits([*results, *parameters(network)])


_dtypes, _layouts, _small = st.sampled_from(["float32", "float64"]), st.sampled_from([*LAYOUTS]), st.integers(1, 40)
DRAWN_LAYERS = st.builds(
    LayerCalls,
    _small,
    _small,
    _small,
    _dtypes,
    layout=_layouts,
    bias_reduction=st.sampled_from(["mean", "sum"]),
    way=st.sampled_from([*WAYS]),
)
DRAWN_NETWORKS = st.builds(
    NetworkCalls,
    sizes=st.lists(_small, min_size=2, max_size=4).map(tuple),
    rows=st.integers(1, 70),
    batch=st.none() | st.integers(1, 80),
    dtype=_dtypes,
    activation=st.sampled_from(HIDDEN),
    target=st.sampled_from(TARGETS),
    optimizer=st.sampled_from([*OPTIMIZERS.values()]),
    layout=_layouts,
    weighted=st.booleans(),
)


def every_pair_of_sizes(most, rounds):
    """Five sizes from 1 to `most`, an odd number: in one round each thing has each size once.

    After `most` rounds each size of a thing has met each size of the next one, and of the one after that.
    """
    for far in range(1, rounds + 1):
        for i in range(most):
            yield [1 + (i + far * thing) % most for thing in range(5)]


def layers_of_every_plan():
    """Layers that are large enough for each way to cut the work."""
    for shape in SHAPES:
        yield LayerCalls(*shape)
    yield LayerCalls(100, 600, 2, "float32", way="strips")  # panels of one strip and a half


def networks_of_every_plan():
    for sizes, rows, batch, options, optimizer in CASES.values():
        target = next(target for target in TARGETS if target[0] == options.get("loss", "squared_error"))
        activation = options.get("activation", "sigmoid")
        yield NetworkCalls(tuple(sizes), rows, batch, "float32", activation, target, optimizer, weighted=True)


def layers_of_every_residue(dtype, rounds):
    """Of up to two vectors and one in each direction."""
    most = 2 * lanes_of(np.dtype(dtype).itemsize) + 1
    for rows, inputs, outputs, *_ in every_pair_of_sizes(most, min(rounds, most)):
        for way in WAYS:
            yield LayerCalls(rows, inputs, outputs, dtype, way=way)


def networks_of_every_residue(dtype, rounds):
    """Likewise, with all activations, losses and optimizers in turn, one hidden layer, and some rows weighted."""
    settings = zip(*map(itertools.cycle, (HIDDEN, TARGETS, OPTIMIZERS.values(), (False, False, True))), strict=True)
    most = 2 * lanes_of(np.dtype(dtype).itemsize) + 1
    for rows, inputs, hidden, outputs, batch in every_pair_of_sizes(most, min(rounds, most)):
        activation, target, optimizer, weighted = next(settings)
        sizes = (inputs, hidden, outputs)
        yield NetworkCalls(sizes, rows, batch, dtype, activation, target, optimizer, weighted=weighted)
