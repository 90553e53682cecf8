"""An epoch in scikit-learn: partial_fit, which trains one epoch in batches.

Its squared error is half of ours, and so is its gradient: SGD's rate is doubled. Adam does not see the factor, but for
epsilon, which is matched at the first update: scikit-learn adds it to sqrt(v) without the correction of v's bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..registry import NotTimed
from .batches import Run
from .cases import Problem


def sklearn_epochs(problem: Problem) -> Run:
    """scikit-learn, with the rows gathered beforehand: faster than its own shuffle, but for the widest x."""
    case, x, order = problem.case, problem.x, problem.order
    classifies = case.loss == "cross_entropy"
    if classifies and case.sizes[-1] == 2:
        raise NotTimed("it has one logistic output for two classes")
    y = problem.y.ravel() if case.sizes[-1] == 1 else problem.y
    half = 1 if classifies else 2
    model: Any = (MLPClassifier if classifies else MLPRegressor)(
        hidden_layer_sizes=case.sizes[1:-1],
        activation={"sigmoid": "logistic"}.get(case.activation, case.activation),
        solver=case.optimizer.lower(),
        learning_rate_init=case.learning_rate * (half if case.optimizer == "SGD" else 1),
        momentum=0.0,
        nesterovs_momentum=False,
        epsilon=1e-8 * (1 - 0.999) ** 0.5 / half,
        alpha=0.0,
        batch_size=1,
        shuffle=False,
        tol=0.0,
        n_iter_no_change=np.inf,
    )
    # The first call makes the arrays; what it has learned is overwritten and forgotten.
    model.partial_fit(x[:1], y[:1], **({"classes": np.arange(case.sizes[-1])} if classifies else {}))
    for w, b, (start_w, start_b) in zip(model.coefs_, model.intercepts_, problem.parameters, strict=True):
        w[...], b[...] = start_w, start_b
    del model._optimizer
    model.set_params(batch_size=case.batches[0].stop)

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        if order is None:
            model.partial_fit(x, y)
        else:
            model.partial_fit(x[order], y[order])
        loss = model.loss_ if classifies else model.loss_ * half * case.sizes[-1]
        return list(zip(model.coefs_, model.intercepts_, strict=True)), float(loss)

    return epoch
