"""What threads and processes of the tests do: train some layers and networks, and tell the bits."""

import numpy as np

import fastbp

# rows, inputs, outputs, dtype: shards of the rows, one gradient for all threads, and no work for a second thread.
LAYERS = [(1797, 64, 10, "float32"), (1500, 900, 300, "float32"), (7, 3, 2, "float32")]
# sizes, rows, batch size
NETWORKS = [((8, 16, 3), 300, 32), ((300, 200, 10), 700, 256)]


def layer(rows, inputs, outputs, dtype):
    rng = np.random.default_rng([rows, inputs, outputs])
    sizes = (rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)
    return [rng.uniform(-0.1, 0.1, size).astype(dtype) for size in sizes]


def rows_for(network, count):
    """x, y"""
    rng = np.random.default_rng(count)
    sizes = network.architecture.sizes
    return tuple(rng.uniform(-1, 1, (count, size)).astype(network.architecture.dtype) for size in (sizes[0], sizes[-1]))


def bits_of(network):
    return [part.tobytes() for part in network.weights + network.biases]


def trained_layer(shape):
    x, y, w, b = layer(*shape)
    return [fastbp.train(x, y, w, b, steps=3).tobytes(), w.tobytes(), b.tobytes()]


def trained_network(sizes, rows, batch):
    network = fastbp.Network(sizes, seed=1)
    x, y = rows_for(network, rows)
    history = network.fit(x, y, epochs=2, batch_size=batch, optimizer=fastbp.Adam())
    return [history["loss"].tobytes(), network.predict(x).tobytes(), *bits_of(network)]


def trained():
    """All of them."""
    parts = [*map(trained_layer, LAYERS), *(trained_network(*network) for network in NETWORKS)]
    return [bits for part in parts for bits in part]
