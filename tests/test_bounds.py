"""No kernel reads or writes outside of an array: neither the caller's, nor its own, nor a matrix in its workspace.

Tile operations take addresses, which no check of indices sees; that is why arrays are put against forbidden pages
too, as `protected` tells.
"""

import mmap
import signal
import sys

import pytest
from processes import in_a_process, started

from fastbp.memory import PAGE
from fastbp.tiles.registers import REGISTER_BITS, WIDTHS

pytestmark = [
    pytest.mark.jit_only,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is protected with calls of Linux"),
    pytest.mark.skipif(mmap.PAGESIZE != PAGE, reason="workspaces are laid out in pages of another size"),
]

# ------------------------------------------------------------------------------------------------- forbidden pages

# Writes down each case before it begins: a process that oversteps has no time to say what it was at.
PROTECTED = """
import faulthandler
from contextlib import nullcontext
from pathlib import Path
import every_call, fastbp, protected

faulthandler.enable()
fastbp.set_num_threads(3)
cases = list(every_call.{cases})
bits = [None] * len(cases)
for side in (*protected.SIDES, None):
    with protected.protected(side) if side else nullcontext() as memory:
        for i, case in enumerate(cases):
            Path({note!r}).write_text(f"{{case}}, forbidden at the {{side}}")
            before, bits[i] = bits[i], case.bits()
            assert before in (None, bits[i]), "other bits: something was read outside, or before it was written"
            if memory:
                memory.check()
"""


def assert_nothing_is_overstepped(cases, note, bits=REGISTER_BITS):
    try:
        script = PROTECTED.format(cases=cases, note=str(note))
        in_a_process("-c", script, FASTBP_REGISTER_BITS=str(bits), NUMBA_NUM_THREADS="3")
    except AssertionError as error:
        raise AssertionError(f"{note.read_text()}, with registers of {bits} bits\n{error}") from None


@pytest.mark.parametrize("kind", ["layers", "networks"])
def test_no_array_is_overstepped_whatever_its_residue(kind, dtype, tmp_path, rounds):
    """In every register width with --full, for tiles are as wide as registers are."""
    for bits in rounds([REGISTER_BITS], WIDTHS):
        assert_nothing_is_overstepped(
            f"{kind}_of_every_residue({dtype.name!r}, {rounds(2, 33)})", tmp_path / "case", bits
        )


@pytest.mark.parametrize("kind", ["layers", "networks"])
def test_no_array_is_overstepped_however_the_work_is_cut(kind, tmp_path):
    assert_nothing_is_overstepped(f"{kind}_of_every_plan()", tmp_path / "case")


OVERSTEPPING = """
import numpy as np
from fastbp.kernels import elementwise, sigmoid_layer
from fastbp.layers import call
from protected import protected

with protected({side!r}) as memory:
    long, short, result = np.zeros((1, 34)), np.zeros((1, 33)), np.zeros((1, 33))
    sum_of_squares, apply_sigmoid = (
        each.for_dtype(long.dtype) for each in (elementwise.sum_of_squares, elementwise.apply_sigmoid)
    )
    sum_of_squares(short, short)
    apply_sigmoid(short, result, False)
    print("compiled", flush=True)
    {call}
    memory.check()
"""
READ = "print(sum_of_squares(short, long))"
WRITE = "apply_sigmoid(long, result, False)"
# Of 500 rows, 3 inputs and 2 outputs: what lies in the workspace behind or before the weights.
WORKSPACE = """
    mine = call.take(sigmoid_layer.GRADIENTS, False, False, 500, 3, 2, np.dtype("float64"), 1)
    {beside}
"""
BEHIND = WORKSPACE.format(beside="mine.memory[mine.plan.many_rows.w_t + 2 * 2 * mine.plan.many_rows.width] = 1")
BEFORE = WORKSPACE.format(beside="mine.memory[mine.plan.many_rows.w_t - 1] = 1")
WRITTEN = "AssertionError: written beside arrays of these sizes in bytes"


@pytest.mark.parametrize(
    ("side", "call", "killed", "said"),
    [
        ("end", READ, True, ""),
        ("end", WRITE, True, ""),
        ("end", BEHIND, True, ""),
        ("end", BEFORE, False, WRITTEN),
        ("start", READ, False, "nan"),
        ("start", WRITE, False, WRITTEN),
        ("start", BEHIND, False, WRITTEN),
        ("start", BEFORE, True, ""),
    ],
    ids=[f"{what}, {side}" for side in ("end", "start") for what in ("read", "write", "behind", "before")],
)
def test_an_overstep_is_noticed(side, call, killed, said):
    """Each way to overstep, on either side: the process ends, or ones spoil the result, or are spoilt."""
    with started("-c", OVERSTEPPING.format(side=side, call=call)) as process:
        out, errors = process.communicate(timeout=100)
    assert out.startswith("compiled"), errors
    assert (process.returncode == -signal.SIGSEGV) == killed, errors
    assert said in out + errors


# ----------------------------------------------------------------------------------------------- checks of indices

# Helpers end a task whose index is refused without a word, and their leader waits for them: one thread comes first.
CHECKED = """
import hypothesis, numpy, pytest
from hypothesis import strategies as st
import every_call, fastbp
from fastbp.tiles.registers import lanes_of
from fastbp.kernels import tiny

one, no_costs = numpy.ones((1, 1)), numpy.zeros(0)
memory = numpy.zeros(tiny.memory_size(1, 1, 1, lanes_of(8)))
with pytest.raises(IndexError):  # else the rest says nothing
    given = one, one, one.copy(), one.copy(), memory
    tiny.train_tiny.for_dtype(one.dtype)(*given, 0.1, 0.1, 0, 1, 1, no_costs)

for threads in (1, 2, 3):
    fastbp.set_num_threads(threads)
    for case in (*every_call.layers_of_every_plan(), *every_call.networks_of_every_plan()):
        if case.dtype in {dtypes}:
            case.bits()

drawn = (every_call.DRAWN_LAYERS | every_call.DRAWN_NETWORKS).filter(lambda case: case.dtype in {dtypes})

@hypothesis.settings(max_examples={examples})
@hypothesis.given(st.integers(1, 3), drawn)
def check(threads, case):
    fastbp.set_num_threads(threads)
    case.bits()

check()
"""


def test_no_index_is_out_of_bounds(rounds):
    """Of any shape, layout, activation, loss, optimizer, sample weights and number of threads; one dtype by default.

    Its indices are those of the other, and checked kernels are compiled apart from all others.
    """
    script = CHECKED.format(dtypes=rounds(["float32"], ["float32", "float64"]), examples=rounds(100, 3000))
    in_a_process("-c", script, NUMBA_BOUNDSCHECK="1", NUMBA_NUM_THREADS="3")
