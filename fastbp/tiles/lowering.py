"""How a tile operation becomes machine code.

An operation is a plain Python function on NumPy arrays, its twin, which says what it does. `lowers` teaches Numba to
compile calls of that very function: `typing` maps the types of the arguments to the type of the result (None if they
do not fit), and the decorated function emits LLVM IR where the call stands. So a kernel runs as Python under
NUMBA_DISABLE_JIT=1, and in registers under the compiler, from one source.
"""

from __future__ import annotations

import inspect

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from fastbp.tiles.values import Block, Members

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


def lowers(twin, typing, *kinds):
    """Compile calls of `twin` with the decorated `emit(emitter, *values)`, which returns the result's LLVM value.

    `kinds` narrow the types of the arguments that this lowering is for; without them any will do.
    """
    kinds = kinds or (types.Any,) * len(inspect.signature(twin).parameters)

    class Template(AbstractTemplate):
        key = twin

        def generic(self, args, kws):
            if kws or len(args) != len(kinds):
                return None
            result = typing(*args)
            return None if result is None else signature(result, *args)

    infer_global(twin, types.Function(Template))

    def register(emit):
        @lower_builtin(twin, *kinds)
        def lower(context, builder, sig, args):
            emitter = Emitter(context, builder)
            values = [Value(emitter, kind, value) for kind, value in zip(sig.args, args, strict=True)]
            result = emit(emitter, *values)
            return context.get_dummy_value() if sig.return_type is types.none else result

        return emit

    return register


class Value:
    """An argument of a call that is being compiled: its Numba type and its LLVM value."""

    def __init__(self, emitter, kind, value):
        self._emitter = emitter
        self.kind = kind
        self.ir = value

    def cast(self, kind):
        """Its LLVM value as another scalar type."""
        return self._emitter.context.cast(self._emitter.builder, self.ir, self.kind, kind)

    @property
    def index(self):
        """An integer, as int64."""
        return self.cast(types.intp)

    @property
    def literal(self):
        """An integer that is known while compiling."""
        return self.kind.literal_value

    @property
    def members(self):
        """The members of a block, of scalars or of an array."""
        return Members(self._emitter.context, self._emitter.builder, self.kind, self.ir)


class Emitter:
    """The LLVM builder, with the words of the tile algebra."""

    def __init__(self, context, builder):
        self.context = context
        self.builder = builder

    def number(self, value):
        return ir.Constant(INT64, value)

    def address(self, block, row, column):
        """Of block[row, column]."""
        members = block.members
        offset = self.builder.add(self.builder.mul(row, members.stride), column)
        return self.builder.gep(members.data, [offset])

    def scalar_address(self, scalars, row, column):
        """Of scalars[row, column]."""
        members = scalars.members
        offset = self.builder.add(self.builder.mul(row, members.stride), self.builder.mul(column, members.step))
        return self.builder.gep(members.data, [offset])

    def offset(self, address, elements):
        return self.builder.gep(address, [elements if isinstance(elements, ir.Value) else self.number(elements)])

    def row_offset(self, block, address, rows):
        """The address `rows` rows further down."""
        return self.offset(address, self.builder.mul(block.members.stride, self.number(rows)))

    def row_inside(self, block, row, further):
        """The number of the row `further` rows down, or that of the last row."""
        last = self.builder.sub(block.members.rows, self.number(1))
        row = self.builder.add(row, self.number(further))
        return self.builder.select(self.builder.icmp_signed("<", row, last), row, last)

    def load(self, address, vector):
        """A vector; the address needs the alignment of an element only, as the caller's arrays have."""
        return self.builder.load(self._as_vector(address, vector), align=vector.dtype.bitwidth // 8)

    def store(self, value, address, vector):
        self.builder.store(value, self._as_vector(address, vector), align=vector.dtype.bitwidth // 8)

    def load_some(self, address, vector, count):
        """The first `count` elements, and zeros: no memory behind them is read."""
        zeros = ir.Constant(vector.register, None)
        args = [self._as_vector(address, vector), self._alignment(vector), self.mask(vector, count), zeros]
        return self._call("llvm.masked.load", vector.register, args, f"{_suffix(vector)}.p0")

    def store_some(self, value, address, vector, count):
        """The first `count` elements: no memory behind them is written."""
        args = [value, self._as_vector(address, vector), self._alignment(vector), self.mask(vector, count)]
        self._call("llvm.masked.store", ir.VoidType(), args, f"{_suffix(vector)}.p0")

    def mask(self, vector, count):
        """True in the first `count` lanes."""
        # Compared in lanes of 32 bits, which a count of more than 2^31 is clamped to.
        lanes = self.number(vector.lanes)
        over = self.builder.icmp_signed(">", count, lanes)
        count = self.builder.trunc(self.builder.select(over, lanes, count), INT32)
        numbers = ir.VectorType(INT32, vector.lanes)
        return self.builder.icmp_signed(
            ">", self._spread(count, numbers), ir.Constant(numbers, list(range(vector.lanes)))
        )

    def splat(self, scalar, vector):
        """The scalar in every lane."""
        return self._spread(scalar, vector.register)

    def constant(self, value, vector):
        return ir.Constant(vector.register, [value] * vector.lanes)

    def multiply_add(self, a, b, c, vector):
        """a b + c, rounded once where the machine has FMA."""
        return self._call("llvm.fmuladd", vector.register, [a, b, c], _suffix(vector))

    def intrinsic(self, name, values, vector):
        """An LLVM intrinsic that works lane by lane."""
        return self._call(f"llvm.{name}", vector.register, values, _suffix(vector))

    def prefetch(self, address):
        """Ask for the line at `address`, to be read, in the level 2 cache."""
        address = self.builder.bitcast(address, ir.IntType(8).as_pointer())
        hints = [ir.Constant(INT32, 0), ir.Constant(INT32, 2), ir.Constant(INT32, 1)]  # read, level 2, data
        self._call("llvm.prefetch", ir.VoidType(), [address, *hints], "p0")

    def shuffle(self, a, b, order):
        """The lanes of a and b, numbered through, in the order given."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(order)), order))

    def compose(self, kind, **members):
        """A block or scalars, of these members."""
        model = self.context.data_model_manager[kind]
        value = ir.Constant(model.get_value_type(), ir.Undefined)
        for name, member in members.items():
            value = self.builder.insert_value(value, member, model.get_field_position(name))
        return value

    def pack(self, registers, kind):
        """Registers as a tile."""
        tile = ir.Constant(self.context.get_value_type(kind), ir.Undefined)
        for i, register in enumerate(registers):
            tile = self.builder.insert_value(tile, register, i)
        return tile

    def unpack(self, tile):
        """The registers of a tile."""
        count = tile.kind.rows * tile.kind.vectors
        return [self.builder.extract_value(tile.ir, i) for i in range(count)]

    def _spread(self, scalar, kind):
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        return self.shuffle(first, undefined, [0] * kind.count)

    def _as_vector(self, address, vector):
        return self.builder.bitcast(address, vector.register.as_pointer())

    def _alignment(self, vector):
        return ir.Constant(INT32, vector.dtype.bitwidth // 8)

    def _call(self, name, result, args, suffix):
        # Declared by name: llvmlite's own builder.fma takes scalars only.
        kind = ir.FunctionType(result, [arg.type for arg in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, f"{name}.{suffix}"), args)


def is_block(kind):
    return isinstance(kind, Block)


def _suffix(vector):
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"
