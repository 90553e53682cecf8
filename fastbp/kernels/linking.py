"""How compiled kernels become machine code: all together, once, as with link-time optimisation.

Numba optimises each function by itself and emits its machine code, and does both again for every function that calls
it: in a tree of kernels, once more for each level. Here a kernel is compiled no further than to LLVM's intermediate
code, as a `Part`. What Python calls is a `Whole`: it takes in all the parts it needs, and they are optimised together
and emitted once. With that, and without unrolled loops, a layer's first step took half of the time it had taken, and
5500 of LLVM's instructions were left of 15600.
"""

from __future__ import annotations

from llvmlite import binding as llvm
from numba import _dynfunc, config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, InlineInlinables, IRProcessing, ReconstructSSA, TranslateByteCode

# Numba's passes before the lowering, but for those of closures, `with`, exceptions, literal_unroll and the like, of
# which kernels have none: 7 in 100 calls of Python functions while compiling.
_PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    InlineInlinables,
    ReconstructSSA,
    NopythonTypeInference,
    PreLowerStripPhis,
    IRLegalization,
    AnnotateTypes,
)


class Part(JITCodeLibrary):
    """The intermediate code of a kernel and of what it calls: to be linked, not to be run."""

    def _optimize_functions(self, ll_module):
        """Only in the whole."""

    def _optimize_final_module(self):
        """Only in the whole."""

    def _finalize_final_module(self):
        self._finalized = True


class Whole(JITCodeLibrary):
    """The machine code of what Python calls, and of all that this needs."""

    def _optimize_functions(self, ll_module):
        """Only when all parts are there."""

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == llvm.Linkage.linkonce_odr:  # of a part: nobody else can call it
                function.linkage = llvm.Linkage.internal
        options = llvm.create_pipeline_tuning_options(speed_level=int(config.OPT))
        # Loops are vectors already, and as wide as the processor takes them. Unrolled, they are twice as much code, no
        # faster where rows are many, and up to a fifth slower where they are few.
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
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
        state.targetctx.insert_user_function(handle, lowered.fndesc, [part])
        state["cr"] = lowered._replace(cfunc=handle)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerWhole(NativeLowering):
    _name = "lower_whole"

    def run_pass(self, state):
        whole = state["library"] = Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        whole.enable_object_caching()
        return super().run_pass(state)


def _compiler(lowering):
    class Compiler(CompilerBase):
        def define_pipelines(self):
            pipeline = PassManager("kernels")
            for step in (*_PASSES, lowering, NoPythonBackend):
                pipeline.add_pass(step)
            pipeline.finalize()
            return [pipeline]

    return Compiler


PartCompiler = _compiler(_LowerPart)
WholeCompiler = _compiler(_LowerWhole)
