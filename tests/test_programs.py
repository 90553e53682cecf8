"""What Python writes and kernels read has one form: the columns of programs, and numbers that both sides know."""

import numba
import pytest

from fastbp import architecture
from fastbp.kernels import activations, layer, network
from fastbp.kernels.compiler import WholeCompiler
from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.program import TASKS
from fastbp.layers import program
from fastbp.networks import plan


@pytest.mark.parametrize(("kernel", "lines"), [(layer, program), (network, plan)], ids=["layer", "network"])
def test_a_line_has_its_numbers_in_the_columns_that_the_kernel_reads(kernel, lines):
    columns = {name: getattr(kernel, name.upper()) for name in lines.Line._fields if name != "tasks"}
    assert {"tasks": TASKS} | columns == {name: column for column, name in enumerate(lines.Line._fields)}


def test_leaky_relu_has_one_slope_in_kernels_and_in_the_reference():
    assert activations.LEAK == architecture.LEAKY_SLOPE == 0.01


@kernel
def _counted(step):
    total = 0
    for number in range(0, 10, step):
        total += number
    return total


@inlined
def _counted_and_more(step):
    return _counted(step) + 1


@numba.njit(pipeline_class=WholeCompiler, _nrt=False)
def _whole(step):
    return _counted_and_more(step) + 1


def test_an_exception_in_a_kernel_reaches_python_through_all_that_call_it():
    assert _whole(3) == 20  # 0 + 3 + 6 + 9, and 2
    with pytest.raises(ValueError, match="must not be zero"):
        _whole(0)
    assert _whole(3) == 20
