"""What Python writes and kernels read has one form: the columns of programs, and numbers that both sides know."""

import numba
import numpy as np
import pytest

from fastbp import architecture
from fastbp.kernels import activations, layer, network
from fastbp.kernels.compiler import WholeCompiler
from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.program import TASKS
from fastbp.layers import program as of_layers
from fastbp.networks import program as of_networks


@pytest.mark.parametrize(("kernel", "lines"), [(layer, of_layers), (network, of_networks)], ids=["layer", "network"])
def test_a_line_has_its_numbers_in_the_columns_that_the_kernel_reads(kernel, lines):
    columns = {name: getattr(kernel, name.upper()) for name in lines.Line._fields if name != "tasks"}
    assert {"tasks": TASKS} | columns == {name: column for column, name in enumerate(lines.Line._fields)}


def test_leaky_relu_has_one_slope_in_kernels_and_in_the_reference():
    assert activations.LEAKY_SLOPE == architecture.LEAKY_SLOPE == 0.01


@kernel
def _picked(index):
    return (10, 20, 30)[index]


@inlined
def _picked_and_more(index):
    return _picked(index) + 1


@numba.njit(pipeline_class=WholeCompiler, _nrt=False)
def _whole(index):
    return _picked_and_more(index) + 1


@numba.njit(pipeline_class=WholeCompiler, _nrt=False)
def _first_and_last(one, two, three):
    numbers = one, two, three
    return 10 * numbers[0] + numbers[-1]


def test_a_number_of_a_tuple_is_counted_from_its_end_too():
    assert _first_and_last(1, 2, 3) == 13


def test_an_exception_in_a_kernel_reaches_python_through_all_that_call_it():
    assert _whole(1) == 22
    with pytest.raises(IndexError, match="out of range"):
        _whole(3)
    assert _whole(1) == 22


@kernel
def _numbers(first, stop, step, seen):
    """What ranges give, each behind the others: up, down, empty, begun anew, broken off, with a stop that changes."""
    count = 0
    for i in range(stop):
        seen[count] = i
        count += 1
    for i in range(first, stop):
        for j in range(i, stop, step):
            seen[count] = j
            count += 1
    for i in range(stop, first, -3):
        seen[count] = i
        count += 1
        if i < 4:
            break
    end = stop
    for i in range(first, end, step):
        end = first
        first += 1
        seen[count] = i + end
        count += 1
    for i in range(3):
        i += 10
        seen[count] = i
        count += 1
    return count


@numba.njit(pipeline_class=WholeCompiler, _nrt=False)
def _all_numbers(first, stop, step, seen):
    return _numbers(first, stop, step, seen)


@pytest.mark.parametrize(("first", "stop", "step"), [(0, 10, 3), (2, 9, 7), (5, 5, 1), (6, 2, 2), (-4, 3, 100)])
def test_ranges_of_kernels_count_as_those_of_python(first, stop, step):
    seen = np.full(200, -99)
    count = _all_numbers(first, stop, step, seen)
    wanted = [*range(stop), *(j for i in range(first, stop) for j in range(i, stop, step))]
    down = list(range(stop, first, -3))
    small = [i < 4 for i in down]
    wanted += down[: small.index(True) + 1] if any(small) else down
    wanted += [i + first + turn for turn, i in enumerate(range(first, stop, step))]
    wanted += [10, 11, 12]
    assert seen[:count].tolist() == wanted
    assert (seen[count:] == -99).all()
