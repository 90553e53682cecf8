"""Both engines reproduce every figure of the transcript: 32 steps as shown, and the state after 1000."""

from functools import cache

import mpmath
import numpy as np
import pytest
from transcript import LEARNING_RATE, SHOWN, STEPS, layer, printed

# The last digits of a cost depend on the order in which sums were rounded: BLAS differs from the transcript by up to
# 5e-15 of the cost, the loop below by nothing. The outputs, printed with 8 digits, leave no such freedom.
COST_TOLERANCE = 1e-14


@cache
def transcript_of(engine):
    """{step: (outputs before, outputs after, cost)}: the transcript's own program, on `engine`."""
    x, y, w, b = layer()
    shown = {}
    for step in range(1, STEPS + 1):
        before = engine.forward(x, w, b)
        engine.backward(x, before, y, w, b, learning_rate=LEARNING_RATE)
        after = engine.forward(x, w, b)
        shown[step] = before, after, engine.cost(after, y)
    return shown


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"step{shown.step}")
def test_step_prints_the_figures_of_the_transcript(engine, shown):
    before, after, cost = transcript_of(engine)[shown.step]
    assert printed(before) == shown.before
    assert printed(after) == shown.after
    assert cost == pytest.approx(float(shown.cost), rel=COST_TOLERANCE, abs=0)


def test_training_by_default_is_the_transcript_to_its_end(engine):
    x, y, w, b = layer()
    costs = engine.train(x, y, w, b)
    wanted = {shown.step: float(shown.cost) for shown in SHOWN}
    np.testing.assert_allclose(costs[list(wanted)], list(wanted.values()), rtol=COST_TOLERANCE, atol=0)
    assert printed(engine.forward(x, w, b)) == SHOWN[-1].after


def test_steps_one_by_one_pass_through_every_cost_of_the_transcript(engine):
    x, y, w, b = layer()
    costs = [engine.step(x, y, w, b, learning_rate=LEARNING_RATE) for _ in range(STEPS)]  # each before its update
    wanted = {shown.step: float(shown.cost) for shown in SHOWN if shown.step < STEPS}
    np.testing.assert_allclose(np.array(costs)[list(wanted)], list(wanted.values()), rtol=COST_TOLERANCE, atol=0)


def test_a_loop_in_plain_python_gives_every_printed_bit():
    """The figures are understood: sums in order, every product and exp rounded once; then nothing differs."""
    outputs, costs = plain_python(*(array.tolist() for array in layer()))
    for shown in SHOWN:
        assert printed(np.array(outputs[shown.step - 1])) == shown.before
        assert printed(np.array(outputs[shown.step])) == shown.after
        assert repr(costs[shown.step]) == shown.cost


def plain_python(x, y, w, b):
    """Outputs and cost after 0, 1, ... 1000 steps, in floats and lists alone."""
    rows, inputs, outputs = range(2), range(3), range(2)
    history, costs = [], []
    for _ in range(STEPS + 1):
        y_pred = [[0.0, 0.0], [0.0, 0.0]]
        delta = [[0.0, 0.0], [0.0, 0.0]]
        cost = 0.0
        for i in rows:
            for j in outputs:
                a = 0.0
                for k in inputs:
                    a += x[i][k] * w[k][j]
                g = 1.0 / (1.0 + exp(-(a + b[j])))
                residual = g - y[i][j]
                y_pred[i][j] = g
                delta[i][j] = g * (1.0 - g) * (2.0 * residual)
                cost += residual * residual
        history.append(y_pred)
        costs.append(cost)
        for j in outputs:
            for k in inputs:
                w[k][j] -= LEARNING_RATE * (x[0][k] * delta[0][j] + x[1][k] * delta[1][j])
            b[j] -= LEARNING_RATE * ((delta[0][j] + delta[1][j]) / 2.0)
    return history, costs


def exp(a):
    """e^a, rounded once: the same bits on every platform, where those of math.exp depend on its C library."""
    with mpmath.workdps(40):
        return float(mpmath.exp(a))
