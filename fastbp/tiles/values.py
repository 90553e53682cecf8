"""The types of the tile algebra, for Numba: a vector, a tile of vectors, a block of a matrix, and its numbers.

Vector  `lanes` elements in one register.
Tile    rows x vectors registers: a small matrix that never leaves the register file.
Block   a rectangle of a C-contiguous matrix: an address, the distance between rows and the extent. It owns nothing,
        so that passing one costs no reference count, and it is the same type for every array, block and layout:
        nothing is compiled twice.
Scalars The numbers of a block that are taken one by one, so that they may be those of its transpose just as well.

In Python a block and its scalars are NumPy views, a vector and a tile are NumPy arrays.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr, register_model

from fastbp.tiles.registers import REGISTER_BITS

_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Vector(types.Type):
    def __init__(self, dtype, bits=REGISTER_BITS):
        self.dtype = dtype
        self.lanes = bits // dtype.bitwidth
        super().__init__(f"Vector({dtype} x {self.lanes})")

    @property
    def register(self):
        """The LLVM type."""
        return ir.VectorType(_ELEMENT[self.dtype], self.lanes)


class Tile(types.Type):
    def __init__(self, dtype, rows, vectors):
        self.vector = Vector(dtype)
        self.rows = rows
        self.vectors = vectors
        super().__init__(f"Tile({rows} x {vectors} x {self.vector})")


class Block(types.Type):
    def __init__(self, dtype):
        self.dtype = dtype
        self.vector = Vector(dtype)
        super().__init__(f"Block({dtype})")


class Scalars(types.Type):
    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Scalars({dtype})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.register)


@register_model(Tile)
class TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        registers = ir.ArrayType(tile.vector.register, tile.rows * tile.vectors)
        super().__init__(manager, tile, registers)


@register_model(Block)
class BlockModel(models.StructModel):
    def __init__(self, manager, block):
        members = [
            ("data", types.CPointer(block.dtype)),
            ("stride", types.intp),  # elements from one row to the next
            ("rows", types.intp),
            ("columns", types.intp),
        ]
        super().__init__(manager, block, members)


@register_model(Scalars)
class ScalarsModel(models.StructModel):
    def __init__(self, manager, scalars):
        members = [
            ("data", types.CPointer(scalars.dtype)),
            ("stride", types.intp),  # elements from one row to the next
            ("step", types.intp),  # elements from one column to the next
            ("rows", types.intp),
        ]
        super().__init__(manager, scalars, members)


@infer_getattr
class BlockAttributes(AttributeTemplate):
    key = Block

    def resolve_shape(self, block):
        return types.UniTuple(types.intp, 2)


@lower_getattr(Block, "shape")
def block_shape(context, builder, block_type, block):
    members = Members(context, builder, block_type, block)
    return cgutils.pack_array(builder, [members.rows, members.columns])


class Members:
    """The members of a block, of scalars or of an array, taken out of its LLVM value.

    Numba's proxies write the whole to the stack, and read a member there.
    """

    def __init__(self, context, builder, kind, value):
        self._model = context.data_model_manager[kind]
        self._builder = builder
        self._value = value

    def __getattr__(self, name):
        return self._builder.extract_value(self._value, self._model.get_field_position(name))
