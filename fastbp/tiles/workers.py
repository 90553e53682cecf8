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
    """function(worker, *arguments) for worker = 0 ... count - 1, at the same time, and wait for all."""
    for worker in range(count):
        function(worker, *arguments)


@infer_global(run_workers)
class _RunWorkers(AbstractTemplate):
    def generic(self, args, kws):
        _, function, arguments = args
        function.get_call_type(self.context, (types.intp, *arguments.types), {})  # compiles it
        return signature(types.none, types.intp, function, arguments)


@lower_builtin(run_workers, types.Integer, types.Dispatcher, types.BaseTuple)
def _(context, builder, sig, args):
    count, _, arguments = args
    task = _task(context, builder.module, sig.args[1], sig.args[2])
    space = cgutils.alloca_once_value(builder, arguments)

    # One "array" argument that starts at address 0 and has a step of one byte: its address is the worker's number.
    zero, one = ir.Constant(_SIZE, 0), ir.Constant(_SIZE, 1)
    addresses = cgutils.alloca_once_value(builder, ir.Constant(_BYTES, None))
    dimensions = cgutils.alloca_once_value(builder, count)
    steps = cgutils.alloca_once_value(builder, one)

    def declared(result, name, *kinds):
        return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, list(kinds)), name)

    # No more threads than the caller left to Numba; a thread can be several workers, one after the other.
    threads = builder.call(declared(_INT32, "get_num_threads"), [])
    workers = builder.trunc(count, _INT32)
    builder.call(
        declared(
            ir.VoidType(),
            "numba_parallel_for",
            _BYTES,
            _BYTES.as_pointer(),
            _SIZE.as_pointer(),
            _SIZE.as_pointer(),
            _BYTES,
            _SIZE,
            _SIZE,
            _INT32,
        ),
        [
            builder.bitcast(task, _BYTES),
            addresses,
            dimensions,
            steps,
            builder.bitcast(space, _BYTES),
            zero,  # inner dimensions
            one,  # arrays
            builder.select(builder.icmp_signed("<", workers, threads), workers, threads),
        ],
    )
    builder.call(declared(ir.VoidType(), "set_num_threads", _INT32), [threads])  # the layer changed it
    return context.get_dummy_value()


def _task(context, module, function, arguments):
    """A function that the threading layer can call: it unpacks the arguments and calls the kernel."""
    task = ir.Function(module, _TASK, module.get_unique_name(f"{function.dispatcher.py_func.__name__}_task"))
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    addresses, dimensions, _, data = task.args

    kernel_signature = function.get_call_type(context.typing_context, (types.intp, *arguments.types), {})
    compiled = function.dispatcher.get_compile_result(kernel_signature)
    context.add_linking_libs([compiled.library])
    packed = builder.load(builder.bitcast(data, context.get_value_type(arguments).as_pointer()))
    values = cgutils.unpack_tuple(builder, packed)
    first = builder.ptrtoint(builder.load(addresses), _SIZE)
    with cgutils.for_range(builder, builder.load(dimensions)) as loop:
        worker = builder.add(first, loop.index)
        casted = [
            context.cast(builder, value, given, wanted)
            for value, given, wanted in zip(
                [worker, *values], (types.intp, *arguments.types), kernel_signature.args, strict=True
            )
        ]
        # The status is dropped: kernels return one, they do not raise.
        context.call_internal_no_propagate(builder, compiled.fndesc, kernel_signature, casted)
    builder.ret_void()
    return task
