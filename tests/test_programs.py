"""What Python writes and kernels read has one form: the columns of programs, and numbers that both sides know."""

import pytest

from fastbp import architecture
from fastbp.kernels import activations, layer, network
from fastbp.kernels.program import TASKS
from fastbp.layers import program
from fastbp.networks import plan


@pytest.mark.parametrize(("kernel", "lines"), [(layer, program), (network, plan)], ids=["layer", "network"])
def test_a_line_has_its_numbers_in_the_columns_that_the_kernel_reads(kernel, lines):
    columns = {name: getattr(kernel, name.upper()) for name in lines.Line._fields if name != "tasks"}
    assert {"tasks": TASKS} | columns == {name: column for column, name in enumerate(lines.Line._fields)}


def test_leaky_relu_has_one_slope_in_kernels_and_in_the_reference():
    assert activations.LEAK == architecture.LEAKY_SLOPE == 0.01
