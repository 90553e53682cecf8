"""What a call may cost beside its arithmetic: memory, compilation, an import."""

import json
import tracemalloc
from pathlib import Path

import every_call
import numba
import numpy as np
import pytest
from conftest import LAYOUTS
from processes import in_a_process

import fastbp
from fastbp.kernels import elementwise, layer, network, tiny
from fastbp.kernels.jit import Entry
from fastbp.layers import call
from fastbp.layers.plan import plan_for
from fastbp.memory import PAGE
from fastbp.tiles.registers import lanes_of

PACKAGE = Path(fastbp.__file__).parent

# ------------------------------------------------------------------------------------------------------------ memory

# All that is no matrix: costs, state, the program, views; and what Python and NumPy keep for themselves.
SMALL_CHANGE = 64 * 1024


def peak_of(function):
    """The most bytes that were allocated during a call beyond those before it, its workspace among them."""
    function()  # compiles, and fills caches
    call._kept.calls.clear()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def calls(x, y, w, b):
    return {
        "step": lambda: fastbp.step(x, y, w, b),
        "train": lambda: fastbp.train(x, y, w, b, steps=3),
        "gradients": lambda: fastbp.gradients(x, y, w, b),
        "backward": lambda: fastbp.backward(x, y, y, w, b),
    }


def planned(rows, inputs, outputs, dtype):
    """Bytes of the plan of a call: what fastbp says that it needs."""
    plan = plan_for(rows, inputs, outputs, np.dtype(dtype), fastbp.get_num_threads(), forward=False, update=True)
    return plan.size * np.dtype(dtype).itemsize + PAGE


@pytest.mark.jit_only
@pytest.mark.parametrize("function", calls(*[None] * 4))
@pytest.mark.parametrize(
    "shape", [(200_000, 20, 50, "float32"), (20_000, 400, 300, "float32"), (20_000, 900, 300, "float32")], ids=str
)
def test_a_call_takes_no_more_memory_than_its_plan(layer, function, shape):
    rows, inputs, outputs, dtype = shape
    peak = peak_of(calls(*layer(*shape))[function])
    copies_of_gradient = 2 * inputs * outputs * 4  # `gradients` returns one
    print(f"{function} {shape}: {peak / 1e6:.2f} MB, plan {planned(*shape) / 1e6:.2f} MB")
    assert peak <= planned(*shape) + copies_of_gradient + SMALL_CHANGE
    assert peak < rows * outputs * np.dtype(dtype).itemsize / 2  # less than half of one temporary of NumPy's


@pytest.mark.jit_only
@pytest.mark.parametrize("function", calls(*[None] * 4))
def test_memory_does_not_grow_with_the_rows(layer, function):
    peaks = [peak_of(calls(*layer(rows, 20, 50, "float32"))[function]) for rows in (20_000, 200_000)]
    assert abs(peaks[1] - peaks[0]) < SMALL_CHANGE


@pytest.mark.jit_only
def test_a_thread_keeps_its_last_calls_up_to_a_bound(layer):
    def kept_after(*shapes):
        for shape in shapes:
            fastbp.step(*layer(*shape, "float64"))
        return [kind[3:6] for kind in call._kept.calls], sum(each.memory.nbytes for each in call._kept.calls.values())

    small, large, larger, too_large = (2, 300, 3), (140, 1000, 1000), (140, 2000, 1000), (140, 3000, 1000)
    assert kept_after(small, large, small)[0][-2:] == [large, small]
    kept, size = kept_after(large, larger)
    assert kept[-1] == larger
    assert large not in kept
    assert size <= call.KEPT_BYTES
    assert kept_after(too_large) == (kept, size)


def test_a_plan_holds_a_gradient_for_each_shard_and_panels_for_each_thread():
    """The formula in words: so much, however many rows."""
    for inputs, outputs in [(20, 50), (64, 10), (784, 10), (300, 33), (1, 1), (1024, 10)]:
        for threads in (1, 2, 16):
            plan = plan_for(10_000_000, inputs, outputs, np.dtype("float32"), threads, forward=False, update=True)
            cut = plan.many_rows
            weights = outputs * cut.width
            of_thread = (inputs + 2 * outputs + cut.packed) * cut.panel + 6 * PAGE // 4
            assert cut.strip <= cut.panel
            assert cut.packed * 4 in (0, 256)
            shared = (2 + cut.shards) * weights + cut.parts * outputs * lanes_of(4) + 2 * outputs + 6 * PAGE // 4
            assert plan.size <= shared + plan.threads * of_thread
            assert cut.shards <= 32


@pytest.mark.parametrize("shape", [(1, 32, 2_000_000), (1, 600, 400_000), (6, 4096, 4096), (120, 500, 512)], ids=str)
@pytest.mark.parametrize("threads", [1, 16])
def test_a_plan_of_few_rows_holds_y_and_parts_of_outputs_and_a_block_for_each_thread(shape, threads):
    """No copy of the weights, however long their rows are."""
    rows, inputs, _ = shape
    plan = plan_for(*shape, np.dtype("float32"), threads, forward=False, update=True)
    assert plan.few
    cut = plan.few_rows
    shared = (cut.cuts + 1) * rows * cut.width + cut.tasks * 2 * lanes_of(4) + rows + lanes_of(4)
    of_thread = 128 * 1024 // 4 + rows * lanes_of(4)
    assert plan.size <= shared + plan.threads * of_thread + (5 + 3 * plan.threads) * PAGE // 4
    assert cut.cuts <= max(4, inputs / (4 * rows))


# ------------------------------------------------------------------------------------------------------- compilation

# Prints what was compiled at each stage, as JSON: {stage: [names]}, and a digest of all results.
COMPILING = """
import hashlib, json, sys
import numpy as np
from numba.core import event

recorder = event.RecordingListener()
event.register("numba:compile", recorder)
compiled, results = {}, []

def stage(name, *calls):
    del recorder.buffer[:]
    for call in calls:
        results.append(np.asarray(call()).tobytes())
    compiled[name] = [e.data["dispatcher"].py_func.__name__ for _, e in recorder.buffer if e.is_start]

import fastbp

def layer(rows, inputs, outputs, dtype="float32"):
    rng = np.random.default_rng([rows, inputs, outputs])
    sizes = (rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)
    return [rng.uniform(-0.1, 0.1, size).astype(dtype) for size in sizes]

def read_only(*arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays

x, y, w, b = layer(300, 40, 7)
stage("first", lambda: fastbp.step(x, y, w, b), lambda: w, lambda: b)
wide = layer(600, 900, 300)
one = layer(500, 1, 1)
stage(
    "again",
    lambda: fastbp.step(*layer(123, 45, 6)),
    lambda: fastbp.step(*layer(2000, 64, 10)),
    lambda: fastbp.step(*one),
    lambda: fastbp.step(np.asfortranarray(x), y[::-1], w, b),
    lambda: fastbp.step(x[::2], y[::2].tolist(), w, b),
    lambda: fastbp.step(x.astype(">f4"), y.astype("f8"), w, b),
    lambda: fastbp.step(*read_only(x.copy(), y.copy()), w, b),
    lambda: fastbp.step(x, y, np.array(w, order="C")[:, :], b.copy(), learning_rate=1, bias_reduction="sum"),
    lambda: fastbp.step(*wide),
    lambda: fastbp.train(*layer(100, 20, 3), steps=5),
    lambda: fastbp.train(x, y, w, b, steps=0),
    lambda: fastbp.forward(*layer(100, 20, 3)[::2], np.zeros(3, "f4")),
    lambda: fastbp.forward(x, *read_only(w.copy(), b.copy())),
    lambda: fastbp.gradients(*layer(99, 20, 3)).w,
    lambda: fastbp.gradients(x, y, *read_only(w.copy(), b.copy())).w,
    lambda: [fastbp.backward(x, fastbp.forward(x, w, b), y, w, b), w][1],
    lambda: [fastbp.backward(*read_only(x.copy(), np.full_like(y, 0.5), y.copy()), w, b), w][1],
    lambda: [fastbp.set_num_threads(1), fastbp.step(*layer(2000, 64, 10))][1],
)
stage("tiny", lambda: fastbp.step(*layer(4, 3, 2)))
stage("tiny again", lambda: fastbp.train(*layer(2, 4, 9), steps=4), lambda: fastbp.step(*read_only(x[:3, :2].copy(),
      y[:3].copy()), w[:2].copy(), b))
stage("sigmoid", lambda: fastbp.sigmoid(x))
stage("sigmoid again", lambda: fastbp.sigmoid(x[0]), lambda: fastbp.sigmoid_gradient(x.T),
      lambda: fastbp.sigmoid(*read_only(x.copy())), lambda: fastbp.sigmoid(np.float32(1)))
from fastbp.kernels import layer
print(json.dumps({"compiled": compiled, "types": len(layer.run.dispatcher.signatures),
      "digest": hashlib.sha256(b"".join(results)).hexdigest()}))
"""


@pytest.fixture(scope="module")
def cold_then_warm(tmp_path_factory):
    """What a process with an empty cache says, then one with a full one; and the files in between."""
    folder = tmp_path_factory.mktemp("cache")
    said = [json.loads(in_a_process("-c", COMPILING, FASTBP_CACHE_DIR=str(folder))) for _ in range(2)]
    return *said, [path.name for path in folder.glob("*/*")]


@pytest.mark.jit_only
def test_one_compilation_serves_every_shape_layout_and_schedule(cold_then_warm):
    cold, _, _ = cold_then_warm
    compiled = cold["compiled"]
    print({stage: len(names) for stage, names in compiled.items()})
    assert "layer.run" in compiled["first"]
    assert "train_tiny" in compiled["tiny"]
    assert "apply_sigmoid" in compiled["sigmoid"]
    assert [compiled[stage] for stage in ("again", "tiny again", "sigmoid again")] == [[], [], []]
    assert cold["types"] == 1


@pytest.mark.jit_only
def test_compiling_leaves_the_garbage_collector_as_it_was(tmp_path):
    script = """
import gc
import numpy as np
import fastbp

for wanted, dtype in ((True, "float32"), (False, "float64")):
    (gc.enable if wanted else gc.disable)()
    fastbp.sigmoid(np.zeros(3, dtype))
    print(gc.isenabled(), gc.get_freeze_count())

gc.freeze()
fastbp.cost(np.zeros((1, 3)), np.zeros((1, 3)))  # by a kernel that is not there yet
print(gc.get_freeze_count() > 0)
"""
    output = in_a_process("-c", script, FASTBP_CACHE_DIR=str(tmp_path))
    assert output.split() == ["True", "0", "False", "0", "True"]


@pytest.mark.jit_only
def test_what_compiling_leaves_is_not_gone_through_at_once(tmp_path):
    script = """
import gc
import numpy as np
import fastbp

seen = []
gc.callbacks.append(lambda phase, info: phase == "start" and seen.append(len(gc.get_objects(generation=0))))
fastbp.sigmoid(np.zeros(3))
print(max(seen, default=0))
"""
    young = int(in_a_process("-c", script, FASTBP_CACHE_DIR=str(tmp_path)))
    print(young)
    assert young < 10_000  # 88 000 otherwise


@pytest.mark.jit_only
def test_kernels_become_machine_code_only_within_what_python_calls(tmp_path):
    script = """
from numba.core.codegen import JITCPUCodegen

emitted = []
emit = JITCPUCodegen._add_module
JITCPUCodegen._add_module = lambda codegen, module: [emitted.append(module.name), emit(codegen, module)][1]

import numpy as np
import fastbp

fastbp.train(np.ones((2, 3)), np.ones((2, 2)), np.zeros((3, 2)), np.zeros(2), steps=1)
from fastbp.kernels import blocks
print([kernel.__name__ for kernel in (blocks.clear, blocks.transpose, blocks.copy) if kernel.signatures])
print([name for name in ("train_tiny", "clear", "transpose", "copy") if name in emitted])
"""
    compiled, emitted = in_a_process("-c", script, FASTBP_CACHE_DIR=str(tmp_path)).splitlines()
    assert compiled == "['clear', 'transpose', 'copy']"
    assert emitted == "['train_tiny']"


@pytest.mark.jit_only
def test_kernels_get_arguments_of_the_types_that_they_are_compiled_for(monkeypatch):
    """Machine code does not ask: an array of another dtype or layout would be read as what it is not."""

    def types_of(arguments):
        return [str(numba.typeof(argument)).replace("readonly ", "") for argument in arguments]

    for_dtype, called = Entry.for_dtype, set()

    def checked(entry, dtype=None):
        kernel, wanted = for_dtype(entry, dtype), types_of(entry._examples(dtype))

        def call(*arguments):
            assert types_of(arguments) == wanted
            called.add(entry)
            return kernel(*arguments)

        return call

    monkeypatch.setattr(Entry, "for_dtype", checked)
    cases = [*every_call.layers_of_every_plan(), *every_call.networks_of_every_plan()]
    for layout in LAYOUTS:
        cases.append(every_call.LayerCalls(3, 2, 1, "float32", layout))
        cases.append(every_call.LayerCalls(70, 20, 3, "float64", layout))
        cases.append(every_call.NetworkCalls((5, 4, 3), 20, 8, "float32", layout=layout, weighted=True))
    for case in cases:
        case.bits()
    assert called >= {elementwise.apply_sigmoid, elementwise.sum_of_squares, tiny.train_tiny, layer.run, network.run}


@pytest.mark.jit_only
def test_a_second_process_compiles_nothing_and_gives_the_same_bits(cold_then_warm):
    cold, warm, _ = cold_then_warm
    assert not any(warm["compiled"].values())
    assert warm["digest"] == cold["digest"]


@pytest.mark.jit_only
def test_the_cache_holds_a_file_for_each_entry_and_nothing_else(cold_then_warm):
    *_, files = cold_then_warm
    assert sorted(name.rpartition("-")[0].rpartition(".")[2] for name in files) == [
        "apply_sigmoid",
        "help_out",
        "run",
        "train_tiny",
    ]


# ------------------------------------------------------------------------------------------------------------ import

LAZY = "import sys, {modules}; print([name for name in ('numba', 'llvmlite') if name in sys.modules])"


@pytest.mark.parametrize("modules", ["fastbp", "fastbp.reference", "fastbp, fastbp.contract"])
def test_an_import_does_not_load_the_compiler(modules):
    assert in_a_process("-c", LAZY.format(modules=modules)).strip() == "[]"
