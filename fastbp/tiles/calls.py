"""A call that several threads carry out: how a kernel lays it open, and how another thread enters it.

`prange` would do that too, but it compiles its body three times over (as a function, as a generalised ufunc and again
inside of the caller: two thirds of all compilation here), and it waits at its end for threads that have not yet begun.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from fastbp.tiles.lowering import INT64, lowers
from fastbp.tiles.values import Members

_BYTES = ir.IntType(8).as_pointer()
# task(arguments, worker)
_TASK = ir.FunctionType(ir.VoidType(), [_BYTES, INT64])


def lay_open(board, row, function, arguments):
    """Leave in `row` of the board what `enter` needs to call function(worker, *arguments).

    Compiled, `function` must be the kernel in which this stands. The arguments live as long as its call.
    """


@infer_global(lay_open)
class _LayOpen(AbstractTemplate):
    def generic(self, args, kws):
        board, _row, function, arguments = args
        if isinstance(board, types.Array) and isinstance(arguments, types.BaseTuple):
            return signature(types.none, board, types.intp, function, arguments)
        return None


@lower_builtin(lay_open, types.Array, types.Integer, types.RecursiveCall, types.BaseTuple)
def _(context, builder, sig, args):
    board, row, _, arguments = args
    task = _task(context, builder.module, builder.function, sig.args[3])
    kept = cgutils.alloca_once_value(builder, arguments)
    for column, pointer in enumerate((task, kept)):
        builder.store(builder.ptrtoint(pointer, INT64), _cell(context, builder, sig.args[0], board, row, column))
    return context.get_dummy_value()


def enter(board, row, worker):
    """Call what was laid open in `row`, as a worker of that number."""


@lowers(enter, lambda board, *_: types.none if isinstance(board, types.Array) else None)
def _(emitter, board, row, worker):
    builder = emitter.builder
    cells = (_cell(emitter.context, builder, board.kind, board.ir, row.index, column) for column in (0, 1))
    task, arguments = (builder.load(cell) for cell in cells)
    builder.call(builder.inttoptr(task, _TASK.as_pointer()), [builder.inttoptr(arguments, _BYTES), worker.index])


def _cell(context, builder, kind, board, row, column):
    """The address of board[row, column]."""
    members = Members(context, builder, kind, board)
    width = builder.extract_value(members.shape, 1)
    return builder.gep(members.data, [builder.add(builder.mul(row, width), ir.Constant(INT64, column))])


def _task(context, module, kernel, arguments_type):
    """A function of one C signature: it unpacks the arguments and calls the kernel. What that returns says nothing."""
    task = ir.Function(module, _TASK, module.get_unique_name("task"))
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    address, worker = task.args
    arguments = builder.load(builder.bitcast(address, context.get_value_type(arguments_type).as_pointer()))
    values = [worker, *cgutils.unpack_tuple(builder, arguments)]
    context.call_conv.call_function(builder, kernel, types.intp, (types.intp, *arguments_type.types), values)
    builder.ret_void()
    return task
