"""Named tuples that kernels hand on whole.

Numba makes an argument of each number in a tuple, and takes tuples apart and puts them together again in every function
on the way. The arrays and the plan of a call hold more than a hundred numbers: that was a third of a layer's
intermediate code, and nearly half of a network's.
"""

from __future__ import annotations

from typing import TypeVar

from numba.core.datamodel import models
from numba.core.types import containers
from numba.extending import register_model, typeof_impl

_Tuple = TypeVar("_Tuple", bound=type)


class Record(containers.NamedTuple):
    """The type of a named tuple that is a single argument."""


@register_model(Record)
class RecordModel(models.TupleModel):
    def get_argument_type(self):
        return self.get_value_type()

    def as_argument(self, builder, value):
        return value

    def from_argument(self, builder, value):
        return value


def record(named_tuple: _Tuple) -> _Tuple:
    """The decorator of a named tuple that comes from Python."""

    @typeof_impl.register(named_tuple)
    def _(values, context):
        return Record([typeof_impl(value, context) for value in values], named_tuple)

    return named_tuple
