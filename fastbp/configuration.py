"""What fastbp runs on: versions, processor, vectors, threads, cache."""

from __future__ import annotations

import os
import platform
import sys

from fastbp.imports import imported_whole


def show_config() -> str:
    """Versions, processor, vector width, threads and cache folder, a line each, for a report of an error or a speed."""
    numba = imported_whole("numba")
    import llvmlite
    import llvmlite.binding as llvm
    import numpy as np

    from fastbp import __version__, threads
    from fastbp.kernels.cache import cache_folder
    from fastbp.tiles import registers

    facts = {
        "fastbp": __version__,
        "Python": f"{sys.version.split()[0]}, {platform.platform()}",
        "numpy, numba, llvmlite": f"{np.__version__}, {numba.__version__}, {llvmlite.__version__}",
        "processor": f"{llvm.get_host_cpu_name()}, {os.cpu_count()} logical processors",
        "vectors": f"{registers.REGISTER_BITS} bits of {registers.host_register_bits()} on this processor",
        "tile": f"{registers.TILE_ROWS} rows x {registers.TILE_VECTORS} vectors",
        "threads": f"{threads.get_num_threads()} of {threads.available()}",
        "cache": str(cache_folder() or "none: no home folder, and FASTBP_CACHE_DIR names no other"),
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())
