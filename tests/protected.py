"""Memory that nobody oversteps unnoticed: each array, and each matrix of a workspace, lies against a forbidden page.

NumPy takes its memory from here through its own seam for that (NEP 49), so that arguments, copies and results are
protected alike; the matrices of a workspace are laid out with a forbidden page between them. At the forbidden side any
access ends the process. At the other side, up to the end of its page, stand ones in all bits, which are nan in float32
and in float64: what is read there spoils the results, and what is written there is found by `check`. So do fresh arrays
begin: nothing may follow from what they held before.
"""

import atexit
import contextlib
import ctypes
import mmap

import numpy as np
import pytest

from fastbp.layers import call, few_rows, many_rows
from fastbp.memory import PAGE
from fastbp.networks import plan as network_plan, session, state

SIDES = ("end", "start")

_PROT_NONE = 0
_ONES = 0xFF
_SET_HANDLER = 304  # in NumPy's table of C functions, which is part of its binary interface

_libc = ctypes.CDLL(None, use_errno=True)
_address = ctypes.c_size_t
_FUNCTIONS = {
    "malloc": ctypes.CFUNCTYPE(_address, _address, ctypes.c_size_t),
    "calloc": ctypes.CFUNCTYPE(_address, _address, ctypes.c_size_t, ctypes.c_size_t),
    "realloc": ctypes.CFUNCTYPE(_address, _address, _address, ctypes.c_size_t),
    "free": ctypes.CFUNCTYPE(None, _address, _address, ctypes.c_size_t),
}


class _Handler(ctypes.Structure):
    """PyDataMem_Handler."""

    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", _address), *_FUNCTIONS.items())


def _forbid(address, size):
    if _libc.mprotect(_address(address), _address(size), _PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")


def _whole_pages(size):
    return -(-size // PAGE) * PAGE


class Memory:
    """Blocks of memory with a forbidden page before and after, against one of which they lie."""

    def __init__(self, side):
        self._side = side
        self._blocks = {}  # address: (the mapping, its address, size, where ones must stand)
        self._overstepped = []
        functions = {name: kind(getattr(self, f"_{name}")) for name, kind in _FUNCTIONS.items()}
        self._handler = _Handler(b"protected", 1, 0, **functions)
        capsule = ctypes.PYFUNCTYPE(ctypes.py_object, _address, ctypes.c_char_p, _address)
        new_capsule = capsule(("PyCapsule_New", ctypes.pythonapi))
        self.capsule = new_capsule(ctypes.addressof(self._handler), b"mem_handler", 0)
        atexit.register(self._outlive)

    def _outlive(self):
        """Arrays may live longer than the interpreter: these are freed with the process, not by Python code."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        self._handler.free = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, _FUNCTIONS["free"])

    def room(self, size):
        """Where something of this size begins in the pages that it takes, and where ones must stand beside it."""
        whole = _whole_pages(size)
        return (whole - size, (0, whole - size)) if self._side == "end" else (0, (size, whole))

    def protect(self, workspace, rooms, workers, stride):
        """Forbid what lies between the matrices of a workspace, of which each worker has some of its own."""
        start, stride = workspace.ctypes.data, stride * workspace.itemsize
        for page, first, last in rooms.between:
            for worker in range(workers if page >= rooms.shared * workspace.itemsize else 1):
                at = start + worker * stride
                _forbid(at + page, PAGE)
                ctypes.memset(at + first, _ONES, last - first)
                self._blocks[start][-1].append((at + first, last - first))

    def check(self):
        """Fail if anything was written beside a block, living or freed."""
        for block in self._blocks.values():
            self._look_at(*block)
        assert not self._overstepped, f"written beside arrays of these sizes in bytes: {self._overstepped}"

    def _look_at(self, mapping, address, size, zones):
        if any(ctypes.string_at(at, length).strip(b"\xff") for at, length in zones):
            self._overstepped.append(size)

    def _malloc(self, _, size):
        whole = _whole_pages(size)
        mapping = mmap.mmap(-1, whole + 2 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        ctypes.memset(address + PAGE, _ONES, whole)
        _forbid(address, PAGE)
        _forbid(address + PAGE + whole, PAGE)
        start, (first, last) = self.room(size)
        self._blocks[address + PAGE + start] = mapping, address, size, [(address + PAGE + first, last - first)]
        return address + PAGE + start

    def _calloc(self, _, count, size):
        address = self._malloc(_, count * size)
        ctypes.memset(address, 0, count * size)
        return address

    def _realloc(self, _, old, size):
        new = self._malloc(_, size)
        if old:
            ctypes.memmove(new, old, min(size, self._blocks[old][2]))
            self._free(_, old, 0)
        return new

    def _free(self, _, address, size):
        if address:
            self._look_at(*self._blocks[address])
            del self._blocks[address]  # and with its mapping the memory


def _set_handler(capsule):
    """NumPy's PyDataMem_SetHandler; the handler before."""
    pointer = ctypes.PYFUNCTYPE(_address, ctypes.py_object, ctypes.c_char_p)
    table = pointer(("PyCapsule_GetPointer", ctypes.pythonapi))(np._core._multiarray_umath._ARRAY_API, None)
    function = ctypes.cast(table, ctypes.POINTER(_address))[_SET_HANDLER]
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(function)(capsule)


class _Rooms:
    """Where the matrices of a workspace lie, with a forbidden page before and after each; what `Places` does too."""

    def __init__(self, memory, itemsize):
        self._memory, self._itemsize = memory, itemsize
        self._end = 0  # in bytes
        self.shared = 0  # elements, of what all workers have together
        self.between = []  # in bytes: a page, and then from where to where ones must stand

    def take(self, size):
        page = self._end
        start, (first, last) = self._memory.room(size * self._itemsize)
        self.between.append((page, page + PAGE + first, page + PAGE + last))
        self._end = page + PAGE + _whole_pages(size * self._itemsize)
        return (page + PAGE + start) // self._itemsize

    def end_shared(self):
        self.shared = self._end_of_page()

    def end_worker(self):
        return self._end_of_page() - self.shared

    def _end_of_page(self):
        page = self._end
        self._end += PAGE
        self.between.append((page, self._end, self._end))
        return self._end // self._itemsize


@contextlib.contextmanager
def protected(side):
    """The Memory in which all arrays, and all matrices of workspaces, lie against a forbidden page on that side."""
    memory = Memory(side)
    rooms = None  # of the workspace that is being made

    def rooms_of_workspace(dtype, _=None):
        nonlocal rooms
        rooms = _Rooms(memory, dtype.itemsize)
        return rooms

    class Call(call.Call):
        def __init__(self, kind):
            super().__init__(kind)
            plan = self.plan.few_rows if self.plan.few else self.plan.many_rows
            memory.protect(self.memory, rooms, self.plan.threads, plan.worker)

    class Session(session.Session):
        def __init__(self, key, architecture):
            super().__init__(key, architecture)
            memory.protect(self._memory, rooms, self._setup.plan.threads, self._setup.plan.worker)

    with pytest.MonkeyPatch.context() as patch:
        for module in (call, session, state):
            patch.setattr(module, "aligned", np.empty)
        for module in (few_rows, many_rows, network_plan):
            patch.setattr(module, "Places", rooms_of_workspace)
        for planned in ("plan_for", "program_for"):  # a plan that is kept would come without its rooms
            patch.setattr(call, planned, getattr(call, planned).__wrapped__)
        patch.setattr(call, "Call", Call)
        patch.setattr(state, "Session", Session)
        call._kept.calls.clear()
        before = _set_handler(memory.capsule)
        try:
            yield memory
        finally:
            _set_handler(before)
            call._kept.calls.clear()
