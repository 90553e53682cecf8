"""What a process may hold after any number of calls: what it held after the first of them.

Each kind of call goes on in a process of its own, whose collector of cycles is off: what only that would free counts.
"""

import gc
import os
import sys
import threading
import tracemalloc
import weakref
from contextlib import redirect_stderr
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from processes import in_a_process

import fastbp

TWO_THREADS, ONE_THREAD, TINY = (300, 64, 10), (100, 20, 5), (4, 3, 2)

# ----------------------------------------------------------------------------------------------------------- processes


def _layer(rows, inputs, outputs, dtype="float32"):
    rng = np.random.default_rng([rows, inputs, outputs])
    shapes = (rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)
    return [rng.uniform(0, 0.1, shape).astype(dtype) for shape in shapes]


def steps_of_layers():
    layers = [_layer(*shape) for shape in (TWO_THREADS, ONE_THREAD, TINY)]

    def call(_):
        for layer in layers:
            fastbp.step(*layer)

    return call


def all_functions_of_layers():
    layers = [_layer(*shape) for shape in (ONE_THREAD, TINY)]

    def call(_):
        for x, y, w, b in layers:
            y_pred = fastbp.forward(x, w, b)
            fastbp.gradients(x, y, w, b)
            fastbp.backward(x, y_pred, y, w, b)
            fastbp.train(x[::-1], y.tolist(), w, b, steps=2)
            fastbp.cost(fastbp.sigmoid_gradient(fastbp.sigmoid(x)), fastbp.cost_gradient(x, x))

    return call


def layers_of_ever_new_shapes():
    """With a row more each time, which takes no larger workspace: what is kept for each shape must go again."""
    x, y, w, b = _layer(60_000, 5, 1)

    def call(turn):
        fastbp.step(x[: 20 + turn], y[: 20 + turn], w, b)

    return call


def layers_in_threads_that_end():
    def call(_):
        thread = threading.Thread(target=fastbp.step, args=_layer(*TWO_THREADS))
        thread.start()
        thread.join()

    return call


def _raises(error, function, *arguments, **options):
    """As `pytest.raises`, whose record of the error holds itself, and so all that the frames of its traceback held."""
    try:
        function(*arguments, **options)
    except error:
        return True
    return False


def refusals():
    x, y, w, b = _layer(*ONE_THREAD)
    network = fastbp.Network([20, 8, 5])
    holed = np.where(x > 0.09, np.nan, x)
    wrong = [
        (fastbp.step, x, y[1:], w, b),
        (fastbp.train, holed, y, w, b),
        (fastbp.forward, x, w, b[1:]),
        (fastbp.gradients, x, y, w, b[1:]),
        (network.step, holed, y),
        (network.fit, x, y[1:]),
        (network.evaluate, holed, y),
        (network.predict, x[:, 1:]),
        (fastbp.Network.load, __file__),
    ]

    def call(_):
        for function, *arguments in wrong:
            assert _raises(ValueError, function, *arguments)

    return call


def divergences():
    """Of steps, which the kernels find: they have run, and a workspace is theirs when the error is raised."""
    x, y, w, b = _layer(*ONE_THREAD)
    y = np.full_like(y, 1e10)
    large = fastbp.SGD(learning_rate=1e30)
    network = fastbp.Network([20, 8, 5], output_activation="identity")

    def call(_):
        assert _raises(FloatingPointError, fastbp.train, x, y, w, b, learning_rate=1e30, steps=4)
        assert _raises(FloatingPointError, network.step, x, y, optimizer=large)
        assert _raises(FloatingPointError, network.fit, x, y, optimizer=large, epochs=4)

    return call


def _problem(kind="numbers"):
    x, y, *_ = _layer(*ONE_THREAD)
    return (x, y.argmax(axis=1)) if kind == "labels" else (x, y)


def steps_of_networks():
    x, y = _problem()
    optimizers = fastbp.SGD(), fastbp.Adam(), fastbp.SGD(clip_norm=1.0)
    networks = [fastbp.Network([20, 8, 5]) for _ in optimizers]

    def call(turn):
        networks[turn % 3].step(x, y, optimizer=optimizers[turn % 3])

    return call


def all_methods_of_a_network():
    """With a workspace for each optimizer, a bar, rows to judge by, and an early end."""
    x, y = _problem("labels")
    network = fastbp.Network([20, 8, 5], loss="cross_entropy")
    options = {"validation_fraction": 0.2, "early_stopping": fastbp.EarlyStopping(patience=1), "progress": True}

    def call(turn):
        network.fit(x, y, epochs=2, optimizer=fastbp.Adam(clip_norm=1.0 + turn), **options)
        network.gradients(x[turn % 50 :], y[turn % 50 :])
        network.evaluate(x, y, sample_weight=np.ones(len(x)))
        network.predict_classes(x[turn % 50 :])

    return call


def new_networks(path):
    x, y = _problem()

    def call(_):
        network = fastbp.Network([20, 8, 5], dtype="float64")
        network.fit(x, y, optimizer=fastbp.AdamW())
        network.save(path)
        fastbp.Network.load(path).step(x, y)

    return call


# What is called, and how often with --full; a fifth of that is enough to tell an object for every second call.
CALLS = {
    steps_of_layers: 10_000,
    all_functions_of_layers: 1000,
    layers_of_ever_new_shapes: 5000,
    layers_in_threads_that_end: 1000,
    refusals: 1000,
    divergences: 1000,
    steps_of_networks: 10_000,
    all_methods_of_a_network: 1000,
    new_networks: 1000,
}

# What a tenth of the calls, 100 or more of them, may add: less than an object for every second call, and no array.
ALLOWED = {"objects": 50, "bytes of objects and arrays": 8192, "resident bytes": 65536}


# Attributes that are asked for from C, by names that are made for it, are kept in a cache of Python's for a while.
_clear_cache = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def _held():
    _clear_cache()
    return {
        "cycles": gc.collect(),  # which also empties Python's free lists
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "objects": sys.getallocatedblocks(),
        "bytes of objects and arrays": tracemalloc.get_traced_memory()[0],
        "resident bytes": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
    }


def hold_no_more(name, times, *arguments):
    """Call so often; fail if the second half of the calls leaves anything.

    A table that grows once, as that of Python's interned strings, is no leak: a leak adds to every tenth of the calls.
    """
    from numba.core.runtime import rtsys

    call = globals()[name](*arguments)
    tracemalloc.start()
    gc.disable()
    held = []
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        for turn in range(times):
            if turn >= times // 2 and turn % (times // 10) == 0:
                held.append(_held())
            call(turn)
        held.append(_held())
    print(*held, sep="\n")
    assert not any(now["cycles"] for now in held[1:]), "only the collector of cycles frees what calls leave"
    lasting = {what: held[-1][what] - held[0][what] for what in ("threads", "files")}
    assert not any(lasting.values()), f"{times // 2} calls have left {lasting}"
    added = {what: median(now[what] - before[what] for before, now in pairwise(held)) for what in ALLOWED}
    assert all(added[what] <= most for what, most in ALLOWED.items()), f"{times // 10} calls have left {added}"
    assert rtsys.get_allocation_stats() == (0, 0, 0, 0), "kernels have allocated memory"


@pytest.mark.jit_only
@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: calls.__name__)
def test_calls_leave_nothing_behind(calls, tmp_path, rounds):
    arguments = [str(tmp_path / "network.safetensors")] if calls is new_networks else []
    times = CALLS[calls] // rounds(5, 1)
    script = f"import test_leaks; test_leaks.hold_no_more({calls.__name__!r}, {times}, *{arguments})"
    print(in_a_process("-c", script, NUMBA_NRT_STATS="1"))


# ----------------------------------------------------------------------------------------------------------- networks


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


def test_a_network_goes_with_its_last_name(network_class, no_collector):
    """Whatever it has been through: nothing that it leads to leads back to it, so that its memory is free at once."""
    x, y = _problem()
    network = network_class([20, 8, 5], output_activation="identity")
    network.fit(x, y, epochs=2, optimizer=fastbp.Adam())
    network.gradients(x, y)
    network.evaluate(x, y)
    network.predict(x)
    assert _raises(ValueError, network.step, x, y[1:])
    diverging = fastbp.SGD(learning_rate=1e30)
    assert _raises(FloatingPointError, network.step, x, np.full_like(y, 1e10), optimizer=diverging)
    network_alive, weights_alive = weakref.ref(network), weakref.ref(network.weights[0])
    del network
    assert network_alive() is None
    assert weights_alive() is None
