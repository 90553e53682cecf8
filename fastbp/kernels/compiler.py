"""How a kernel becomes intermediate code: Numba's passes, without what kernels do not need.

Most of the time of a first step is Numba's own, in Python, and not LLVM's. So what it would find out over and over is
remembered, and what it would look for in vain is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, ClassVar

from numba import _dynfunc
from numba.core import cgutils, ir, types
from numba.core.analysis import compute_use_defs
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
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

from fastbp.kernels.interrupts import heard_afterwards
from fastbp.kernels.linking import Part, Whole


@register_pass(mutates_CFG=True, analysis_only=False)
class _AssignOnce(ReconstructSSA):
    """Numba's, but does not find out how long each variable lives: only generators and counted references need that."""

    _name = "assign_once"

    def run_pass(self, state):
        state.func_ir = reconstruct_ssa(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


class _Inferer(TypeInferer):
    """Remembers what calls come to: 3000 are looked up for a layer, of which 300 differ."""

    _known: ClassVar[dict[Any, Any]] = {}

    def resolve_call(self, function, args, kwargs):
        if not isinstance(function, types.Function):  # what is compiled for these arguments
            return super().resolve_call(function, args, kwargs)
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
    _AssignOnce,
    _InferTypes,
    _StripPhis,
    AnnotateTypes,
)


class _Lower(Lower):
    """Keeps in registers whatever is assigned once.

    Numba does so within a block. Elsewhere a variable has a place on the stack until LLVM finds it a register, and each
    use of one of the arrays of a call would be a load of all of them: a seventh of all intermediate code.
    """

    def _find_singly_assigned_variable(self):
        super()._find_singly_assigned_variable()
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


class _Lowering(NativeLowering):
    @property
    def lowering_class(self):
        return _Lower


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(_Lowering):
    _name = "lower_part"

    def run_pass(self, state):
        part = state["library"] = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        if not state.flags.forceinline:
            part.get_function(lowered.fndesc.llvm_func_name).add_function_attribute("noinline")
        # By what Numba finds the function where it is called. There is nothing behind it that could be run.
        name, module = lowered.fndesc.qualname, lowered.fndesc.lookup_module()
        handle = _dynfunc.make_function(module, name, "", 0, lowered.env, (part,))
        state.targetctx.insert_func_defn([(_call_of(lowered.fndesc, part), handle, lowered.fndesc.argtypes)])
        state["cr"] = lowered._replace(cfunc=handle)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerWhole(_Lowering):
    _name = "lower_whole"

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
