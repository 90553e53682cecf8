"""What threads say to each other: numbers in shared memory, read and changed in one piece, and bells to wake by.

A board is a C-contiguous int64 matrix with a cache line for each row; the number of a row is in its first column.
All operations are ordered as they stand in the program, for all threads alike (LLVM's seq_cst).
"""

from __future__ import annotations

import ctypes
import os
import platform

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types

from fastbp.tiles.lowering import INT32, lowers
from fastbp.tiles.registers import CACHE_LINE

_ORDER = "seq_cst"
# LLVM's name and arguments for the instruction with which a processor waits, where it has one.
_PAUSE = {
    "x86_64": ("llvm.x86.sse2.pause", []),
    "AMD64": ("llvm.x86.sse2.pause", []),
    "aarch64": ("llvm.aarch64.hint", [ir.Constant(INT32, 1)]),
    "arm64": ("llvm.aarch64.hint", [ir.Constant(INT32, 1)]),
}.get(platform.machine())
# Of our own: what others say of the functions in `ctypes.pythonapi` is not ours to change.
_python = ctypes.PyDLL(None, handle=ctypes.pythonapi._handle)
_ALLOCATE_LOCK = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", _python))
_ACQUIRE_LOCK = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(("PyThread_acquire_lock", _python))


def board(rows: int) -> npt.NDArray[np.int64]:
    """A new board, all zeros."""
    return np.zeros((rows, CACHE_LINE // 8), np.int64)


def _number_of(board, *_):
    return types.intp if isinstance(board, types.Array) else None


def _nothing_of(board, *_):
    return types.none if isinstance(board, types.Array) else None


def _address(emitter, board, row):
    return emitter.offset(board.members.data, emitter.builder.mul(row.index, emitter.number(CACHE_LINE // 8)))


def read(board, row):
    """The number of a row."""
    return board[row, 0]


@lowers(read, _number_of)
def _(emitter, board, row):
    return emitter.builder.load_atomic(_address(emitter, board, row), _ORDER, align=8)


def write(board, row, number):
    """Change the number of a row; who reads it sees all that this thread wrote before."""
    board[row, 0] = number


@lowers(write, _nothing_of)
def _(emitter, board, row, number):
    emitter.builder.store_atomic(number.index, _address(emitter, board, row), _ORDER, align=8)


def add(board, row, number):
    """Add to the number of a row."""
    board[row, 0] += number


@lowers(add, _nothing_of)
def _(emitter, board, row, number):
    emitter.builder.atomic_rmw("add", _address(emitter, board, row), number.index, _ORDER)


def exchange(board, row, old, new):
    """Make the number of a row `new`, and return True, if it is `old`."""
    if board[row, 0] != old:
        return False
    board[row, 0] = new
    return True


@lowers(exchange, lambda board, *_: types.boolean if isinstance(board, types.Array) else None)
def _(emitter, board, row, old, new):
    result = emitter.builder.cmpxchg(_address(emitter, board, row), old.index, new.index, _ORDER, _ORDER)
    return emitter.builder.extract_value(result, 1)


def pause(board):
    """Let a moment pass, in which the core can do other things."""


@lowers(pause, _nothing_of)
def _(emitter, board):
    if _PAUSE:
        name, args = _PAUSE
        _call(emitter, ir.VoidType(), name, args)


def hang_bell(board: npt.NDArray[np.int64], row: int) -> None:
    """Put a bell into a row: a lock of the interpreter, not free until it is rung. RuntimeError if none is left."""
    bell = _ALLOCATE_LOCK()
    if bell is None:
        raise RuntimeError("the system has no more locks")
    _ACQUIRE_LOCK(bell, 1)
    board[row, 0] = bell


def sleep(board, row):
    """Sleep until the bell in a row is rung, if it has not been since the last time."""


@lowers(sleep, _nothing_of)
def _(emitter, board, row):
    lock = emitter.builder.load(_address(emitter, board, row))
    _call(emitter, INT32, "PyThread_acquire_lock", [lock, ir.Constant(INT32, 1)])


def ring(board, row):
    """Wake who sleeps by the bell in a row."""


@lowers(ring, _nothing_of)
def _(emitter, board, row):
    _call(emitter, ir.VoidType(), "PyThread_release_lock", [emitter.builder.load(_address(emitter, board, row))])


def give_way(board):
    """Let another thread that waits for this core have it."""


@lowers(give_way, _nothing_of)
def _(emitter, board):
    _call(emitter, INT32, "sched_yield" if os.name == "posix" else "SwitchToThread", [])


def _call(emitter, result, name, args):
    kind = ir.FunctionType(result, [arg.type for arg in args])
    emitter.builder.call(cgutils.get_or_insert_function(emitter.builder.module, kind, name), args)
