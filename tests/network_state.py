"""All that a network is at a moment, for comparisons to the bit and between the engines."""

import numpy as np

from fastbp import reference


def arrays_of(weights, biases):
    """Copies of w_1, b_1, ..., b_L, or of what is remembered for each of them."""
    return [np.array(array, order="C") for layer in zip(weights, biases, strict=True) for array in layer]


def slots_of(network):
    """What the optimizer remembers: for each of its slots, an array for each parameter."""
    if isinstance(network, reference.Network):
        return [list(slots) for slots in zip(*network._slots, strict=True)]
    return [arrays_of(*network._state.views(slot)) for slot in network._state.slots]


def generator_of(network):
    """Where the random numbers come from."""
    return network._generator if isinstance(network, reference.Network) else network._state.generator


def progress_of(network):
    """The optimizer, how many updates it has done, and where the random numbers are."""
    return network.optimizer, network.updates, generator_of(network).bit_generator.state


def everything(network):
    """All of these, to the bit."""
    arrays = [*arrays_of(network.weights, network.biases), *(array for slot in slots_of(network) for array in slot)]
    return progress_of(network), [array.tobytes() for array in arrays]
