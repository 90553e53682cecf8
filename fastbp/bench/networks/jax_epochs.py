"""An epoch in JAX, jitted: autodiff, and one lax.scan over all whole batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .batches import Run
from .cases import Problem

jax.config.update("jax_enable_x64", True)

ACTIVATE = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}

# An x of at most so many bytes is gathered before the scan. 100000x8: 22 ms an epoch, and 36 ms with a gather for each
# batch; 60000x784: 390 ms, and 340 ms with a gather for each batch.
GATHERED_BYTES = 2**24


def jax_epochs(problem: Problem) -> Run:
    """JAX: weights donated, and a last smaller batch in a call of its own."""
    case = problem.case
    length = case.batches[0].stop
    whole = case.rows // length
    number = problem.x.dtype.type
    learning_rate = number(case.learning_rate)

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            x = ACTIVATE[case.activation](x @ w + b)
        a = x @ layers[-1][0] + layers[-1][1]
        if case.loss == "cross_entropy":
            return -jnp.take_along_axis(jax.nn.log_softmax(a), y[:, None], 1).mean()
        return jnp.sum((a - y) ** 2) / len(a)

    def sgd(layers: Any, slots: Any, gradient: Any) -> Any:
        return jax.tree.map(lambda p, g: p - learning_rate * g, layers, gradient), slots

    def adam(layers: Any, slots: Any, gradient: Any) -> Any:
        m, v, t = slots
        t = t + 1
        m = jax.tree.map(lambda m, g: number(0.9) * m + number(0.1) * g, m, gradient)
        v = jax.tree.map(lambda v, g: number(0.999) * v + number(0.001) * g * g, v, gradient)
        rate, root = learning_rate / (1 - number(0.9) ** t), jnp.sqrt(1 - number(0.999) ** t)
        layers = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + number(1e-8)), layers, m, v)
        return layers, (m, v, t)

    def step(state: Any, batch: Any) -> Any:
        layers, slots = state
        value, gradient = jax.value_and_grad(loss)(layers, *batch)
        return (sgd if case.optimizer == "SGD" else adam)(layers, slots, gradient), value

    @partial(jax.jit, donate_argnums=0)
    def one_batch(state: Any, x: Any, y: Any, rows: Any) -> Any:
        return step(state, (x, y) if rows is None else (x[rows], y[rows]))

    @partial(jax.jit, donate_argnums=0)
    def whole_batches(state: Any, x: Any, y: Any, rows: Any) -> Any:
        rows = rows.reshape(whole, length)
        if x.nbytes <= GATHERED_BYTES:
            state, losses = jax.lax.scan(step, state, (x[rows], y[rows]))
        else:
            state, losses = jax.lax.scan(lambda state, rows: step(state, (x[rows], y[rows])), state, rows)
        return state, losses.mean()

    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    layers = [(jnp.array(w), jnp.array(b)) for w, b in problem.parameters]

    def zeros() -> Any:
        return jax.tree.map(jnp.zeros_like, layers)

    state = layers, () if case.optimizer == "SGD" else (zeros(), zeros(), jnp.zeros((), x.dtype))
    # The rows of each call, what to call, and how many rows it takes.
    calls: list[tuple[Any, Any, int]] = [(one_batch, None, case.rows)]
    if problem.order is not None:
        parts = jnp.split(jnp.asarray(problem.order), [whole * length])
        calls = [(call, part, len(part)) for call, part in zip((whole_batches, one_batch), parts, strict=True)]

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        nonlocal state
        losses = []
        for train, rows, count in calls:
            if count:
                state, value = train(state, x, y, rows)
                losses.append((value, count))
        jax.block_until_ready(state)
        return state[0], sum(float(value) * count for value, count in losses) / case.rows

    return epoch
