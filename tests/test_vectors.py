"""Processors with AVX-512, with AVX2 and with neither: each gets its own machine code, and the same results but for
rounding."""

import platform

import numpy as np
import pytest
import workload
from processes import in_a_process
from processor import BITS, PROCESSORS

import fastbp
from fastbp.tiles.registers import REGISTER_BITS, host_register_bits

pytestmark = [
    pytest.mark.jit_only,
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other vectors on this processor"),
]


@pytest.fixture(params=[name for name in BITS if BITS[name] < host_register_bits()])
def narrower(request):
    """The name of a processor that is less than this one."""
    return request.param


@pytest.fixture(params=[name for name in BITS if BITS[name] != REGISTER_BITS])
def other(request):
    """The name of a processor whose vectors are narrower or wider than those of this run."""
    return request.param


UNFORCED = {"FASTBP_REGISTER_BITS": None}

ASSEMBLY = """
import fastbp
from fastbp.kernels.cache import KernelCache
from fastbp.kernels.elementwise import apply_sigmoid
from fastbp.tiles.registers import REGISTER_BITS
KernelCache.load_overload = lambda *_: None  # what is loaded cannot be read
fastbp.sigmoid(0.0)
print(REGISTER_BITS, *apply_sigmoid.dispatcher.inspect_asm().values())
"""

# What names the registers in assembly that only wider vectors have: for AVX2 those of AVX-512.
WIDER = {"avx2": ("zmm", "xmm16", "ymm16", "%k1"), "sse": ("zmm", "ymm", "%k1")}


def test_machine_code_uses_no_registers_that_the_processor_lacks(narrower):
    bits, assembly = in_a_process("-c", ASSEMBLY, **UNFORCED | PROCESSORS[narrower]).split(" ", 1)
    assert int(bits) == BITS[narrower]
    assert [name for name in WIDER[narrower] if name in assembly] == []
    assert ("ymm" in assembly) == (narrower == "avx2")


RESULTS = """
import sys
import numpy as np
import test_vectors
np.savez(sys.argv[1], **{dtype: test_vectors.results(dtype) for dtype in test_vectors.TOLERANCES})
"""


TOLERANCES = {"float32": 1e-5, "float64": 1e-13}


def results(dtype):
    """All numbers that come of some steps of layers and networks, in one vector; costs by row."""
    arrays = []
    for shape in [(1797, 64, 10), (300, 40, 301), (7, 3, 2)]:
        x, y, w, b = workload.layer(*shape, dtype)
        costs = fastbp.train(x, y, w, b, steps=3, learning_rate=0.1, bias_reduction="mean")
        arrays += [costs / shape[0], w, b, fastbp.forward(x, w, b)]
    for hidden in ("tanh", "relu", "sigmoid"):
        network = fastbp.Network((30, 23, 5), activation=hidden, loss="cross_entropy", dtype=dtype, seed=1)
        x, _ = workload.rows_for(network, 300)
        history = network.fit(x, np.arange(300) % 5, epochs=2, optimizer=fastbp.SGD(learning_rate=0.1))
        arrays += [history["loss"], *network.weights, *network.biases, network.predict(x)]
    return np.concatenate([array.ravel().astype(np.float64) for array in arrays])


def test_results_agree_with_those_of_other_vectors_but_for_rounding(other, tmp_path):
    in_a_process("-c", RESULTS, str(tmp_path / "results.npz"), **UNFORCED | PROCESSORS[other])
    with np.load(tmp_path / "results.npz") as theirs:
        for dtype, tolerance in TOLERANCES.items():
            ours = results(dtype)
            difference = np.abs(theirs[dtype] - ours)
            print(f"{other}, {dtype}: {difference.max():.2g}")
            assert difference.max() > 0, "the same to the last bit: it was the same machine code"
            np.testing.assert_allclose(theirs[dtype], ours, rtol=tolerance, atol=tolerance)


PICKLED = """
import pickle, sys
from pathlib import Path
import numpy as np
import fastbp

x, y = np.random.default_rng(0).normal(size=(2, 30, 20))
path = Path(sys.argv[1])
if not path.exists():
    network = fastbp.Network([20, 64, 20], seed=1)
    network.fit(x, y, optimizer=fastbp.Adam())
    path.write_bytes(pickle.dumps(network))
network = pickle.loads(path.read_bytes())
network.fit(x, y)
print(*(array.astype("f8").sum() for array in (*network.weights, *network.biases)))
"""


def test_a_network_pickled_on_one_processor_goes_on_learning_on_another(tmp_path, other):
    here, there = (
        in_a_process("-c", PICKLED, str(tmp_path / "network"), FASTBP_REGISTER_BITS=str(bits))
        for bits in (REGISTER_BITS, BITS[other])
    )
    np.testing.assert_allclose([float(s) for s in there.split()], [float(s) for s in here.split()], rtol=1e-4)
