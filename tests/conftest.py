"""What every test may lean on: the two engines, the sizes that leave a residue, and what needs the compiler."""

import hypothesis
import numba
import numpy as np
import pytest

import fastbp
from fastbp import reference

ENGINES = {"reference": reference, "fastbp": fastbp}
NETWORKS = {"reference": reference.Network, "fastbp": fastbp.Network}
COMPILED = not numba.config.DISABLE_JIT

# The same examples on every run and every machine; fewer of them where kernels run as plain Python.
hypothesis.settings.register_profile(
    "fastbp", derandomize=True, database=None, deadline=None, max_examples=60 if COMPILED else 8
)
hypothesis.settings.load_profile("fastbp")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the slow batteries in full, not a slice of each")


def pytest_configure(config):
    config.addinivalue_line("markers", "jit_only: too slow for kernels that run as plain Python")


def pytest_collection_modifyitems(items):
    if COMPILED:
        return
    skip = pytest.mark.skip(reason="NUMBA_DISABLE_JIT=1: these sizes take minutes in plain Python")
    for item in items:
        if item.get_closest_marker("jit_only"):
            item.add_marker(skip)


def _unaligned(array):
    """A copy that starts one byte off its alignment."""
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = memory.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


# The same numbers in other places of memory.
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every other element": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "every third row": lambda array: np.repeat(array, 3, axis=0)[::3],
    "backwards": lambda array: array[::-1, ...].copy()[::-1, ...],
    "backwards along the last axis": lambda array: array[..., ::-1].copy()[..., ::-1],
    "inside a larger array": lambda array: np.pad(array, 1)[(slice(1, -1),) * array.ndim],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": _unaligned,
    "read-only": _read_only,
}


@pytest.fixture(scope="session")
def rounds(request):
    """rounds(few, all): how often a slow battery goes round, which is `few` times, and with --full `all`."""
    return lambda few, all_: all_ if request.config.getoption("--full") else few


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """Each engine in turn: what a test says of one, it says of both."""
    return ENGINES[request.param]


@pytest.fixture(scope="session", params=NETWORKS)
def network_class(request):
    """Each class of network in turn."""
    return NETWORKS[request.param]


@pytest.fixture(scope="session", params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="session")
def layer():
    """layer(rows, inputs, outputs, dtype) -> x, y, w, b: always the same numbers for the same arguments."""

    def make(rows=5, inputs=4, outputs=3, dtype="float64"):
        rng = np.random.default_rng([rows, inputs, outputs])
        x = rng.uniform(-1, 1, (rows, inputs))
        y = rng.integers(0, 2, (rows, outputs))
        w = rng.normal(0, inputs**-0.5, (inputs, outputs))
        b = rng.normal(0, 0.1, outputs)
        return tuple(array.astype(dtype) for array in (x, y, w, b))

    return make
