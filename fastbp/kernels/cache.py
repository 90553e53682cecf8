"""Machine code of the kernels, kept on disk from one process to the next.

Numba's own cache looks at one source file: after a change in a module that a kernel only imports, the old machine code
would run on. Here the folder is named by a digest of every source that kernels are made of, of the versions of Numba
and llvmlite, and of the processor. A file holds one compiled function behind a checksum; it is replaced as a whole, so
that a reader finds the old one, the new one or none. A file that does not check out is dropped and compiled anew; a
folder that cannot be written means no cache, and no error.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
import tempfile
import warnings
from pathlib import Path

import llvmlite
import numba
import platformdirs
from llvmlite import binding as llvm
from numba.core import compiler, serialize

from fastbp.tiles.registers import REGISTER_BITS

_SOURCES = ("kernels", "tiles")


@functools.cache
def cache_folder():
    """Where the compiled kernels of this version and processor are kept; FASTBP_CACHE_DIR says in which folder."""
    root = os.environ.get("FASTBP_CACHE_DIR")
    parent = Path(root) if root else platformdirs.user_cache_path("fastbp")
    return parent / _digest()


def _digest():
    """Of all that machine code follows from."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__, REGISTER_BITS)
    features = llvm.get_host_cpu_features().flatten()
    digest.update(repr((versions, llvm.get_host_cpu_name(), features)).encode())
    package = Path(__file__).parent.parent
    for folder in _SOURCES:
        for source in sorted((package / folder).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


class KernelCache:
    """The cache of one dispatcher; Numba calls the methods."""

    def __init__(self, function):
        self._name = f"{function.__module__}.{function.__qualname__}"
        self.hits = 0

    @property
    def cache_path(self):
        return str(cache_folder())

    def load_overload(self, sig, target_context):
        """The compiled function for a signature, or None."""
        try:
            content = self._path(sig).read_bytes()
        except OSError:
            return None
        checksum, data = content[:32], content[32:]
        if hashlib.sha256(data).digest() != checksum:
            return None  # compiled anew, and replaced
        target_context.refresh()
        self.hits += 1
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(data))

    def save_overload(self, sig, compiled):
        """Keep a compiled function."""
        data = serialize.dumps(compiled._reduce())
        path = self._path(sig)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
                try:
                    file.write(hashlib.sha256(data).digest() + data)
                    file.close()
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            _warn_once(path.parent, error)

    def _path(self, sig):
        return cache_folder() / f"{self._name}-{hashlib.sha256(str(sig).encode()).hexdigest()[:16]}"

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


_warned = False


def _warn_once(folder, error):
    """Numba resets Python's own memory of warnings."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastbp compiles its kernels anew in every process: {folder} cannot be written ({error.strerror}); "
            f"FASTBP_CACHE_DIR names another folder",
            RuntimeWarning,
            stacklevel=2,
        )
