"""Run a kernel once for each of several workers, on the threads of Numba's threading layer.

`prange` says the same thing, but compiles its body three times over: as a function, as a generalised ufunc and again
inside of the caller, which took two thirds of all compilation here. This is the one call that remains of it.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

_BYTES = ir.IntType(8).as_pointer()
_SIZE = ir.IntType(64)
_INT32 = ir.IntType(32)
# The signature of a generalised ufunc, which is what the threading layers call: (args, dimensions, steps, data).
_TASK = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _SIZE.as_pointer(), _SIZE.as_pointer(), _BYTES])


def start_threads():
    """Start the threading layer. Needed once in a process, before a kernel that calls `run_workers` is compiled."""
    from numba.np.ufunc import parallel

    parallel._launch_threads()


def run_workers(count, function, arguments):
    """function(worker, *arguments) for worker = 0 ... count - 1, at the same time, and wait for all.

    Compiled, `function` must be the kernel in which the call stands; a single worker is called in this thread.
    """
    for worker in range(count):
        function(worker, *arguments)


@infer_global(run_workers)
class _RunWorkers(AbstractTemplate):
    def generic(self, args, kws):
        count, function, arguments = args
        return signature(types.none, types.intp, function, arguments) if isinstance(count, types.Integer) else None


@lower_builtin(run_workers, types.Integer, types.RecursiveCall, types.BaseTuple)
def _(context, builder, sig, args):
    count, _, arguments = args
    kernel = builder.function
    arguments_type = sig.args[2]
    own = cgutils.alloca_once_value(builder, arguments)
    is_single = builder.icmp_signed("<=", count, ir.Constant(_SIZE, 1))
    with builder.if_else(is_single) as (single, several):
        with single, cgutils.if_likely(builder, builder.icmp_signed("==", count, ir.Constant(_SIZE, 1))):
            _call(context, builder, kernel, ir.Constant(_SIZE, 0), arguments, arguments_type)
        with several:
            _on_threads(builder, _task(context, builder.module, kernel, arguments_type), own, count)
    return context.get_dummy_value()


def _call(context, builder, kernel, worker, arguments, arguments_type):
    """kernel(worker, *arguments); what it returns says nothing."""
    values = [worker, *cgutils.unpack_tuple(builder, arguments)]
    kinds = (types.intp, *arguments_type.types)
    context.call_conv.call_function(builder, kernel, types.intp, kinds, values)


def _task(context, module, kernel, arguments_type):
    """A function that the threading layer can call: it unpacks the arguments and calls the kernel."""
    task = ir.Function(module, _TASK, module.get_unique_name("worker"))
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    addresses, dimensions, _, data = task.args
    arguments = builder.load(builder.bitcast(data, context.get_value_type(arguments_type).as_pointer()))
    first = builder.ptrtoint(builder.load(addresses), _SIZE)
    with cgutils.for_range(builder, builder.load(dimensions)) as loop:
        _call(context, builder, kernel, builder.add(first, loop.index), arguments, arguments_type)
    builder.ret_void()
    return task


def _on_threads(builder, task, arguments, count):
    """Have the threading layer call the task `count` times."""

    def declared(result, name, *kinds):
        return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, list(kinds)), name)

    # One "array" argument that starts at address 0 and has a step of one byte: its address is the worker's number.
    zero, one = ir.Constant(_SIZE, 0), ir.Constant(_SIZE, 1)
    addresses = cgutils.alloca_once_value(builder, ir.Constant(_BYTES, None))
    dimensions = cgutils.alloca_once_value(builder, count)
    steps = cgutils.alloca_once_value(builder, one)
    pointers = [_BYTES, _BYTES.as_pointer(), _SIZE.as_pointer(), _SIZE.as_pointer(), _BYTES]
    parallel_for = declared(ir.VoidType(), "numba_parallel_for", *pointers, _SIZE, _SIZE, _INT32)

    # No more threads than the caller left to Numba; a thread can be several workers, one after the other.
    threads = builder.call(declared(_INT32, "get_num_threads"), [])
    workers = builder.trunc(count, _INT32)
    workers = builder.select(builder.icmp_signed("<", workers, threads), workers, threads)
    data = builder.bitcast(arguments, _BYTES)
    inner_dimensions, arrays = zero, one
    builder.call(
        parallel_for,
        [builder.bitcast(task, _BYTES), addresses, dimensions, steps, data, inner_dimensions, arrays, workers],
    )
    builder.call(declared(ir.VoidType(), "set_num_threads", _INT32), [threads])  # the layer changed it
