"""All that a network is at a moment, for comparisons to the bit and between the engines."""

import numpy as np

from fastbp import reference


def parameters_of(network, vectors=None):
    """Copies of w_1, b_1, ..., b_L; or of what is remembered for each of them."""
    weights, biases = vectors or (network.weights, network.biases)
    return [np.array(array, order="C") for layer in zip(weights, biases, strict=True) for array in layer]


def slots_of(network):
    """What the optimizer remembers: for each of its slots, one array for each parameter."""
    if isinstance(network, reference.Network):
        return [[np.array(slot) for slot in slots] for slots in zip(*network._slots, strict=True)]
    return [parameters_of(network, network._state.views(slot)) for slot in network._state.slots]


def progress_of(network):
    """The optimizer, how many updates it has done, and where the random numbers are."""
    if isinstance(network, reference.Network):
        return network._optimizer, network._step, network._generator.bit_generator.state
    return network.optimizer, network._state.updates, network._state.generator.bit_generator.state


def everything(network):
    """All of these, to the bit."""
    arrays = [*parameters_of(network), *(array for slot in slots_of(network) for array in slot)]
    return progress_of(network), [array.tobytes() for array in arrays]
