"""Processors with other vectors than this one: `env $(python tests/processor.py avx2) python -m pytest`.

Without an argument: the names of those that have other vectors than this one.
"""

import sys

from llvmlite import binding as llvm

from fastbp.tiles.registers import host_register_bits


def _without(*extensions):
    """The features of this processor, with those switched off whose names begin so."""
    features = sorted(llvm.get_host_cpu_features().items())
    return ",".join(f"{'-+'[on and not name.startswith(extensions)]}{name}" for name, on in features)


# Bits of a vector, and what makes code for it. For more bits than there are, the compiler makes several vectors of one.
BITS = {"avx512": 512, "avx2": 256, "sse": 128}
PROCESSORS = {
    "avx512": {"FASTBP_REGISTER_BITS": "512"},
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": _without("avx512", "avx10", "evex512", "amx")},
    "sse": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},  # every x86-64 has them
}

if __name__ == "__main__":
    if sys.argv[1:]:
        print(*(f"{name}={value}" for name, value in PROCESSORS[sys.argv[1]].items()))
    else:
        print(*(name for name, bits in BITS.items() if bits != host_register_bits()))
