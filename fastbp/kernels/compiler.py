"""How a kernel becomes intermediate code: Numba's passes, without what kernels do not need.

Most of the time of a first step is Numba's own, in Python, and not LLVM's. So what it would find out over and over is
remembered, and what it would look for in vain is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, ClassVar

from llvmlite.ir.values import MDValue
from numba import _dynfunc
from numba.core import cgutils, ir, types
from numba.core.analysis import compute_use_defs
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.errors import NumbaWarning, WarningsFixer
from numba.core.ir_utils import build_definitions
from numba.core.lowering import Lower
from numba.core.ssa import reconstruct_ssa
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typeinfer import TypeInferer
from numba.core.untyped_passes import FixupArgs, InlineInlinables, ReconstructSSA, TranslateByteCode

from fastbp.interrupts import heard_afterwards
from fastbp.kernels.linking import Part, Whole
from fastbp.kernels.loops import count_ranges
from fastbp.tiles.lowering import INT32

LOOP_ALIGNMENT = 32  # bytes


@register_pass(mutates_CFG=False, analysis_only=False)
class _CountRanges(FunctionPass):
    _name = "count_ranges"

    def __init__(self):
        super().__init__()

    def run_pass(self, state):
        count_ranges(state.func_ir)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _AssignOnce(ReconstructSSA):
    """Numba's, but does not find out how long each variable lives: only generators and counted references need that."""

    _name = "assign_once"

    def run_pass(self, state):
        state.func_ir = reconstruct_ssa(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


class _Inferer(TypeInferer):
    """Remembers what calls come to: 3000 are looked up for a layer, of which 200 differ."""

    _known: ClassVar[dict[Any, Any]] = {}

    def resolve_call(self, function, args, kwargs):
        if not isinstance(function, types.Function):  # what is compiled for these arguments
            return super().resolve_call(function, args, kwargs)
        if function.typing_key.__module__ in ("_operator", "builtins"):  # to Numba, 2 + x is another sum than 3 + x
            args = tuple(types.unliteral(arg) for arg in args)
        call = function, args, tuple(kwargs.items())
        if call not in self._known:
            signature = super().resolve_call(function, args, kwargs)
            if signature is None:
                return None
            self._known[call] = signature
        return self._known[call]


@register_pass(mutates_CFG=True, analysis_only=False)
class _InferTypes(NopythonTypeInference):
    """Numba's inference of types, with an inferer of our own; kernels return no arrays and no functions."""

    _name = "infer_types"

    def run_pass(self, state):
        warnings = WarningsFixer(NumbaWarning)
        inferer = _Inferer(state.typingctx, state.func_ir, warnings)
        callers = state.typingctx.callstack
        with callers.register(state.targetctx.target, inferer, state.func_ir.func_id, state.args), warnings:
            for index, (name, kind) in enumerate(zip(state.func_ir.arg_names, state.args, strict=True)):
                inferer.seed_argument(name, index, kind)
            inferer.build_constraint()
            inferer.propagate()
            state.typemap, state.return_type, state.calltypes = inferer.unify()
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _StripPhis(PreLowerStripPhis):
    """Numba's, but does not find out how long each variable lives either."""

    _name = "strip_phis_only"

    def run_pass(self, state):
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        return True


# Numba's passes before the lowering, but for those of closures, `with`, exceptions, literal_unroll and the like, of
# which kernels have none, and for the deletion of variables, which only counted references need.
_PASSES = (
    TranslateByteCode,
    FixupArgs,
    InlineInlinables,
    _CountRanges,
    _AssignOnce,
    _InferTypes,
    _StripPhis,
    AnnotateTypes,
)


def _goes_back(block, label):
    """Whether a block is the end of a loop: blocks are numbered in their order."""
    return isinstance(block.terminator, ir.Jump) and block.terminator.target <= label


class _Lower(Lower):
    """Keeps in registers whatever is assigned once.

    Numba does so within a block. Elsewhere a variable has a place on the stack until LLVM finds it a register, and each
    use of one of the arrays of a call would be a load of all of them: a seventh of all intermediate code.
    """

    def _find_singly_assigned_variable(self):
        self._blk_local_varmap, self._singly_assigned_vars = {}, set()
        use_defs = compute_use_defs(self.blocks)
        assignments = Counter(
            assignment.target.name for block in self.blocks.values() for assignment in block.find_insts(ir.Assign)
        )
        blocks_of_uses = defaultdict(list)
        for label, names in use_defs.usemap.items():
            for name in names:
                blocks_of_uses[name].append(label)
        for label, names in use_defs.defmap.items():
            for name in names:
                # A use in a later block sees this assignment: with another one there would be a phi, and with that two
                # assignments. And it has been lowered by then, since blocks are in the order of their labels.
                if assignments[name] == 1 and all(label < use for use in blocks_of_uses[name]):
                    self._singly_assigned_vars.add(name)

    def lower_expr(self, kind, expr):
        """A number of a tuple whose index is written out, at once: Numba would look for it among all, at run time."""
        if expr.op in ("getitem", "static_getitem"):
            numbers = self.typeof(expr.value.name)
            index = expr.index if expr.op == "static_getitem" else self.typeof(expr.index.name)
            index = getattr(index, "literal_value", index)
            if isinstance(numbers, types.BaseTuple) and isinstance(index, int) and 0 <= index < len(numbers):
                return self.builder.extract_value(self.loadvar(expr.value.name), index)
        return super().lower_expr(kind, expr)

    def pre_lower(self):
        super().pre_lower()
        loops = [(block.terminator.target, label) for label, block in self.blocks.items() if _goes_back(block, label)]
        self._ends_of_innermost = [
            self.blocks[end]
            for start, end in loops
            if not any(start < other_start and other_end < end for other_start, other_end in loops)
        ]

    def post_block(self, block):
        """At the end of a loop without another in it, LLVM is told to begin it with half a line of the cache.

        By chance, one of 35 bytes lay on two lines: 784-100-10 in batches of 1 took a Zen 3 up to 1.27 times as long.
        """
        super().post_block(block)
        if any(end is block for end in self._ends_of_innermost):
            alignment = self.module.add_metadata(["llvm.loop.align", INT32(LOOP_ALIGNMENT)])
            loop = MDValue(self.module, (), str(len(self.module.metadata)))
            loop.operands = loop, alignment  # LLVM tells loops apart by nodes that begin with themselves
            self.builder.block.terminator.set_metadata("llvm.loop", loop)

    def alloca_lltype(self, name, lltype, datamodel=None):
        """A place on the stack, of which no debugger is told; LLVM would be asked for the size of each type."""
        return cgutils.alloca_once(self.builder, lltype, name=name)


def _call_of(descriptor, part):
    """What a call of a part is lowered to.

    As Numba does it, but whoever is told of an exception returns at once: no `try` stands around a call in a kernel.
    """

    def call(context, builder, signature, args):
        function = context.declare_function(builder.module, descriptor)
        result = cgutils.alloca_once(builder, function.function_type.args[0].pointee)
        exception = builder.function.args[1]  # where that of the caller is left, too
        args = context.get_arg_packer(descriptor.argtypes).as_arguments(builder, args)
        code = builder.call(function, [result, exception, *args])
        with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, code)):
            builder.ret(code)
        return context.get_returned_value(builder, descriptor.restype, builder.load(result))

    call.libs = (part,)
    return call


class _LowerToLink(_Lower):
    """Of a part. Nobody but who links it calls it: LLVM may drop it, and finds it once where it is linked twice."""

    def setup_function(self, fndesc):
        super().setup_function(fndesc)
        self.function.linkage = "linkonce_odr"
        if not fndesc.inline:
            self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
    _name = "lower_part"
    lowering_class = _LowerToLink

    def run_pass(self, state):
        part = state["library"] = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # By what Numba finds the function where it is called. There is nothing behind it that could be run.
        name, module = lowered.fndesc.qualname, lowered.fndesc.lookup_module()
        handle = _dynfunc.make_function(module, name, "", 0, lowered.env, (part,))
        state.targetctx.insert_func_defn([(_call_of(lowered.fndesc, part), handle, lowered.fndesc.argtypes)])
        state["cr"] = lowered._replace(cfunc=handle)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerWhole(NativeLowering):
    _name = "lower_whole"
    lowering_class = _Lower

    def run_pass(self, state):
        whole = state["library"] = Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        whole.enable_object_caching()
        return super().run_pass(state)


class _Passes(PassManager):
    """Carries out passes. Numba's would also time each of them, and describe it to whoever listens."""

    def _runPass(self, index, pss, internal_state):
        pss.analysis = self._analysis
        pss.run_pass(internal_state)


def _compiler(lowering):
    class Compiler(CompilerBase):
        def __init__(self, *args):
            with heard_afterwards():  # Numba reads its registries
                super().__init__(*args)

        def define_pipelines(self):
            pipeline = _Passes("kernels")
            for step in (*_PASSES, lowering, NoPythonBackend):
                pipeline.add_pass(step)
            pipeline.finalize()
            return [pipeline]

    return Compiler


PartCompiler = _compiler(_LowerPart)
WholeCompiler = _compiler(_LowerWhole)
