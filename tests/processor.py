"""Processors with narrower vectors than this one: `env $(python tests/processor.py avx2) python -m pytest`."""

import sys

from llvmlite import binding as llvm


def _without(*extensions):
    """The features of this processor, with those switched off whose names begin so."""
    features = sorted(llvm.get_host_cpu_features().items())
    return ",".join(f"{'-+'[on and not name.startswith(extensions)]}{name}" for name, on in features)


# What Numba compiles for: its settings, by the vectors that there are.
PROCESSORS = {
    "avx512": {},
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": _without("avx512", "avx10", "evex512", "amx")},
    "sse": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},  # every x86-64 has them
}

if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in PROCESSORS[sys.argv[1]].items()))
