"""How compiled kernels become machine code: all together, once, as with link-time optimisation.

Numba optimises each function by itself and emits its machine code, and does both again for every function that calls
it: in a tree of kernels, once more for each level. Here a kernel is compiled no further than to LLVM's intermediate
code, as a `Part`. What Python calls is a `Whole`: it takes in all the parts it needs, and they are optimised together
and emitted once. With that, and without unrolled loops, a layer's first step took half of the time it had taken, and
5500 of LLVM's instructions were left of 15600.
"""

from __future__ import annotations

from llvmlite import binding as llvm
from numba import config
from numba.core import cgutils
from numba.core.codegen import CodeLibrary, JITCodeLibrary


class Part(CodeLibrary):
    """The intermediate code of a kernel, as text: to be linked, not to be run."""

    def __init__(self, codegen, name):
        super().__init__(codegen, name)
        self.called = []  # the libraries of what it calls
        self._text = ""

    def add_linking_library(self, library):
        library._ensure_finalized()
        self.called.append(library)

    def add_ir_module(self, ir_module):
        self._raise_if_finalized()
        self._text = cgutils.normalize_ir_text(str(ir_module))

    def finalize(self):
        self._finalized = True

    def alone(self):
        """Its module, new, without what it calls."""
        return llvm.parse_assembly(self._text)

    def get_llvm_str(self):
        return self._text

    def get_function(self, name):
        return self.alone().get_function(name)

    def get_asm_str(self):
        return ""

    def _get_module_for_linking(self):
        """With what it calls: for a function of Numba's own kind."""
        module = self.alone()
        _link(module, self.called)
        return module


class Whole(JITCodeLibrary):
    """The machine code of what Python calls, and of all that this needs."""

    def _optimize_functions(self, ll_module):
        """Only when all parts are there."""

    def finalize(self):
        _link(self._final_module, self._linking_libraries)
        self._linking_libraries.clear()
        super().finalize()

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


def _link(module, libraries):
    """Let a module take in these libraries and all that they call, each once.

    Numba links a library with all that it calls, and once more into each that calls it: 0.4 s of a layer's 7. Callers
    come first: what nobody has called so far would not be taken in.
    """
    called_first = {}

    def add(library):
        if library not in called_first:
            for called in library.called if isinstance(library, Part) else ():
                add(called)
            called_first[library] = True

    for library in libraries:
        add(library)
    for library in reversed(called_first):
        if isinstance(library, Part):
            module.link_in(library.alone())
        else:
            module.link_in(library._get_module_for_linking(), preserve=True)
