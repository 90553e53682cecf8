"""How parameters follow from gradients: SGD, Adam and AdamW as they are given to a network, with their rules.

All take every parameter p, weights and biases alike, and its gradient g of the loss. Common to all:

    lr = rate(step), where step updates were done before; t = step + 1
    clip_norm   before all else, g *= min(1, clip_norm / norm), where norm is that of all gradients together

The conventions are PyTorch's. An optimizer holds its settings alone: what it remembers between updates (`slots` arrays
for every parameter, at first 0) is the network's.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any, get_args

import numpy as np

from fastbp import contract, records, schedules
from fastbp.schedules import Schedule


class _Optimizer:
    """What all optimizers have."""

    learning_rate: float | Schedule
    weight_decay: float
    clip_norm: float | None

    def __post_init__(self) -> None:
        if type(self.learning_rate) not in get_args(Schedule):  # nor a subclass, whose rates no kernel knows
            wanted = "a positive number, StepDecay or CosineDecay"
            vars(self).update(learning_rate=contract.positive("learning_rate", self.learning_rate, wanted=wanted))
        vars(self).update(weight_decay=contract.not_negative("weight_decay", self.weight_decay))
        if self.clip_norm is not None:
            wanted = "None or a positive number"
            vars(self).update(clip_norm=contract.positive("clip_norm", self.clip_norm, wanted=wanted))

    def rate(self, step: int) -> float:
        """The learning rate of the update that comes after `step` others."""
        if isinstance(self.learning_rate, Schedule):
            return self.learning_rate(step)
        contract.count("step", step, 0, schedules.MOST_UPDATES)
        return self.learning_rate

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values, which `from_dict` takes back."""
        return records.to_dict(self)


@dataclass(frozen=True)
class SGD(_Optimizer):
    """Stochastic gradient descent:  g += weight_decay p;  v = momentum v + g;  p -= lr v.

    nesterov: p -= lr (g + momentum v) instead (Sutskever et al. 2013); momentum is wanted then.
    learning_rate: positive, or a schedule; momentum: 0 to below 1; weight_decay: not negative; clip_norm: positive.
    Raises TypeError or ValueError for anything else.
    """

    learning_rate: float | Schedule = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(
            momentum=contract.not_negative("momentum", self.momentum, below=1),
            nesterov=contract.flag("nesterov", self.nesterov),
        )
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov is True, but momentum is 0.0; a momentum above 0 is wanted")

    @property
    def slots(self) -> int:
        """Arrays kept for every parameter: v, where there is momentum."""
        return 1 if self.momentum else 0


@dataclass(frozen=True)
class Adam(_Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay in the gradient.

    g += weight_decay p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
    p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)

    learning_rate: positive, or a schedule; beta1, beta2: 0 to below 1; epsilon: positive; weight_decay: not negative;
    clip_norm: positive. Raises TypeError or ValueError for anything else.
    """

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(
            beta1=contract.not_negative("beta1", self.beta1, below=1),
            beta2=contract.not_negative("beta2", self.beta2, below=1),
            epsilon=contract.positive("epsilon", self.epsilon),
        )

    @property
    def slots(self) -> int:
        """Arrays kept for every parameter: m and v."""
        return 2


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p *= 1 - lr weight_decay first (Loshchilov and Hutter 2019).

    Arguments and errors as in `Adam`.
    """

    weight_decay: float = 0.01


Optimizer = SGD | Adam  # and AdamW, which is one
OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW)}

# What each setting is below, in the dtype of the network too.
BELOW = {
    "weight_decay": math.inf,
    "clip_norm": math.inf,
    "epsilon": math.inf,
    "momentum": 1.0,
    "beta1": 1.0,
    "beta2": 1.0,
}


def checked(optimizer: Any, dtype: np.dtype[Any]) -> Optimizer:
    """`optimizer`, if it is one of those above, and its settings are in the dtype what they are said to be."""
    if type(optimizer) not in OPTIMIZERS.values():
        raise TypeError(
            f"optimizer is {contract.shown(optimizer)}; {' or '.join(OPTIMIZERS)} is wanted, or None for the one before"
        )
    known: Optimizer = optimizer
    rate = known.learning_rate
    for extreme in (rate.initial, rate.largest) if isinstance(rate, Schedule) else (rate,):
        contract.rate(extreme, dtype)
    for name, limit in BELOW.items():
        contract.check_representable(name, getattr(known, name, None) or 0.0, dtype, below=limit)
    return known


def from_dict(values: Any) -> Optimizer:
    """The optimizer that `to_dict` made these values of; ValueError if none could be."""
    if isinstance(values, dict) and isinstance(values.get("learning_rate"), dict):
        schedule = records.from_dict("learning_rate", values["learning_rate"], schedules.SCHEDULES)
        values = values | {"learning_rate": schedule}
    return records.from_dict("optimizer", values, OPTIMIZERS)
