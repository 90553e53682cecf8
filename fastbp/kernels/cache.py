"""Machine code of the kernels, kept on disk from one process to the next.

Numba's own cache looks at one source file: after a change in a module that a kernel only imports, the old machine code
would run on. Here the folder is named by a digest of every source that kernels are made of, of the versions of Python,
Numba and llvmlite, of their settings, of the width of a vector and of the processor. A file holds one compiled function
behind a checksum; it is replaced as a whole, so that a reader finds the old one, the new one or none. A file that does
not check out is ignored, and replaced by what is compiled anew; a folder that cannot be written means no cache, and no
error. Folders of other versions that nobody has used for a long time are removed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import re
import sys
import time
import warnings
from pathlib import Path

import llvmlite
import numba
import platformdirs
from llvmlite import binding as llvm
from numba import config
from numba.core import compiler, serialize

from fastbp.atomic import IfPossible, replacing
from fastbp.interrupts import heard_afterwards
from fastbp.tiles.registers import REGISTER_BITS, cpu_features

_PACKAGE = Path(__file__).parent.parent
_SOURCES = ("kernels", "tiles")
# Numba's settings that change machine code, by their names in numba.config.
_SETTINGS = ("CPU_NAME", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
# Seconds after which the folder of another version is no longer needed: a hundred days.
_UNUSED = 100 * 86400


def _sources():
    return [source for folder in _SOURCES for source in sorted((_PACKAGE / folder).glob("*.py"))]


def _stamps():
    """When each source was written, and its length: what tells that it is another."""
    stats = [(source, source.stat()) for source in _sources()]
    return [(source, stat.st_mtime_ns, stat.st_size) for source, stat in stats]


def _digest_of_sources():
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(str(source.relative_to(_PACKAGE)).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.digest()


# `fastbp.kernels` imports this module before its others. If the sources change later, the process runs an older version
# than lies there, or parts of both: its machine code is nobody else's, and theirs not its own.
_IMPORTED, _DIGEST = _stamps(), _digest_of_sources()


def _sources_are_those_imported():
    """Not if there are none either, as in an archive of compiled modules."""
    return bool(_IMPORTED) and _stamps() == _IMPORTED


@functools.cache
def cache_folder():
    """Where the compiled kernels of this version and processor are kept; FASTBP_CACHE_DIR says in which folder.

    None if there is no place for it: no home folder, as in a container whose user has none, or one that is told from a
    working folder that is gone.
    """
    root = os.environ.get("FASTBP_CACHE_DIR")
    try:
        parent = Path(root).absolute() if root else platformdirs.user_cache_path("fastbp")
    except (RuntimeError, FileNotFoundError):
        return None
    settings = [getattr(config, name) for name in _SETTINGS]
    versions = (sys.version, numba.__version__, llvmlite.__version__, REGISTER_BITS)
    made_from = (_DIGEST, versions, repr(settings), llvm.get_host_cpu_name(), sorted(cpu_features().items()))
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:24]
    return parent / digest if parent.is_absolute() else None


# What a file raises that holds something else. An error of another kind is not its own: a signal handler may raise it.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)


class KernelCache:
    """The cache of one dispatcher; Numba calls the methods."""

    def __init__(self, function):
        self._name = f"{function.__module__}.{function.__qualname__}"

    @property
    def cache_path(self):
        return str(cache_folder())

    def load_overload(self, sig, target_context):
        """The compiled function for a signature, or None."""
        path = self._path(sig)
        try:
            known = path is not None and path.is_file() and _sources_are_those_imported()
            content = path.read_bytes() if known else b""
            checksum, data = content[:32], content[32:]
            if hashlib.sha256(data).digest() != checksum:
                return None  # compiled anew, and replaced
            with heard_afterwards():  # Numba reads its registries, and LLVM calls back
                target_context.refresh()
                result = compiler.CompileResult._rebuild(target_context, *pickle.loads(data))
        except OSError as error:
            if error.errno is None:  # not the system's, but what a signal handler raises, such as TimeoutError("late")
                raise
            return None  # what the file would have spared is done again
        except _UNREADABLE:
            return None
        _note_use(path.parent)
        return result

    def save_overload(self, sig, compiled):
        """Keep a compiled function."""
        path = self._path(sig)
        if path is None:
            _warn_once("there is no home folder, or no working folder, to keep them in")
            return
        try:
            data = serialize.dumps(compiled._reduce())
        except RuntimeError as error:
            if "no compiled object" not in str(error):
                raise
            raise KeyboardInterrupt from None  # it has come in a callback of LLVM's, where Python drops it
        try:
            if _sources_are_those_imported():
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as stream:
                    stream.write(hashlib.sha256(data).digest() + data)
                _remove_unused(path.parent)
        except OSError as error:
            _warn_once(f"{path.parent} cannot be written ({error.strerror})")

    def _path(self, sig):
        folder = cache_folder()
        return folder and folder / f"{self._name}-{hashlib.sha256(str(sig).encode()).hexdigest()[:16]}"

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


@functools.cache
def _note_use(folder):
    """Once in each process: the time of a folder is when it was last used."""
    with IfPossible():
        os.utime(folder)


def _remove_unused(folder):
    """Remove the folders beside this one that have not been used for long."""
    with IfPossible():
        for other in folder.parent.iterdir():
            old = re.fullmatch("[0-9a-f]{24}", other.name) and time.time() - other.stat().st_mtime > _UNUSED
            if old and other != folder:
                with IfPossible():  # another process may do the same
                    for file in other.glob("*fastbp.kernels.*"):
                        file.unlink()
                    other.rmdir()  # unless somebody has put something else there


_warned = False


def _warn_once(reason):
    """Numba resets Python's own memory of warnings."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastbp compiles its kernels anew in every process: {reason}; FASTBP_CACHE_DIR names another folder",
            RuntimeWarning,
            stacklevel=2,
        )
