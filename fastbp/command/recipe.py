"""How to train: what the options say, and what suits the problem where they say nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import fastbp
from fastbp.architecture import parameters_of
from fastbp.command.meaning import Classes, Meaning, Values
from fastbp.command.sizes import check_size
from fastbp.optimizers import Optimizer
from fastbp.schedules import MOST_UPDATES, Schedule

HIDDEN = (64,)
LEARNING_RATE = {"sgd": 0.01, "adam": 0.002, "adamw": 0.002}
WEIGHT_DECAY = {"sgd": 0.0, "adam": 0.0, "adamw": 0.01}

# So many updates, if they are that many epochs.
UPDATES = 4000
FEWEST_EPOCHS, MOST_EPOCHS = 10, 100

STEPS = 3  # of the schedule "step": a tenth of the rate after each
VALIDATION = 0.1  # of the rows to train on, for early stopping


@dataclass(frozen=True)
class Recipe:
    """The options of `fastbp train`, by their names; None where one was not given."""

    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    loss: str | None = None
    optimizer: str = "adam"
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    clip_norm: float | None = None
    batch_size: int = 32
    epochs: int | None = None
    patience: int | None = None
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.momentum is not None and self.optimizer != "sgd":
            raise ValueError(
                f"--momentum is {self.momentum:g}, but --optimizer is {self.optimizer}; sgd is wanted with it"
            )

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    def loss_for(self, meaning: Meaning, target: str) -> str:
        """The loss, if it is one for this meaning of the target."""
        loss, known = self.loss or meaning.losses[0], meaning.losses
        if loss not in known:
            what = f"{len(meaning.labels)} classes" if isinstance(meaning, Classes) else "values"
            raise ValueError(f"--loss is {loss}; {' or '.join(known)} is wanted, as target {target} holds {what}")
        return loss

    def network(self, inputs: int, meaning: Meaning, loss: str) -> fastbp.Network:
        """The untrained network, if it is one that fits into memory."""
        sizes = [inputs, *(HIDDEN if self.hidden is None else self.hidden), meaning.outputs(loss)]
        copies = 4  # the parameters, a copy of them, and what an optimizer remembers
        check_size(copies * self.itemsize * parameters_of(sizes), f"the network of sizes {', '.join(map(str, sizes))}")
        output = "identity" if isinstance(meaning, Values) else None
        return fastbp.Network(
            sizes, activation=self.activation, output_activation=output, loss=loss, dtype=self.dtype, seed=self.seed
        )

    def batches(self, rows: int) -> int:
        """The updates of an epoch over so many rows, a part of which may be held back for early stopping."""
        return math.ceil((rows - self.held_back(rows)) / self.batch_size)

    def held_back(self, rows: int) -> int:
        """How many rows early stopping judges by."""
        if self.patience is None:
            return 0
        if rows < 2:
            raise ValueError("--patience wants two rows or more to train on, to judge by one of them")
        return max(1, int(rows * VALIDATION))

    def epochs_for(self, rows: int) -> int:
        """The epochs to train for."""
        usual = math.ceil(UPDATES / self.batches(rows))
        return self.epochs or min(max(usual, FEWEST_EPOCHS), MOST_EPOCHS)

    def rate(self) -> float:
        """The learning rate at the start."""
        return self.learning_rate or LEARNING_RATE[self.optimizer]

    def optimizer_for(self, rows: int) -> Optimizer:
        """The optimizer, whose schedule ends with the last update."""
        updates = self.epochs_for(rows) * self.batches(rows)
        if updates > MOST_UPDATES:
            raise ValueError(f"--epochs is {self.epochs}, {updates} updates; {MOST_UPDATES} at most are wanted")
        rate: float | Schedule = self.rate()
        if self.schedule == "cosine":
            rate = fastbp.CosineDecay(self.rate(), updates)
        elif self.schedule == "step":
            rate = fastbp.StepDecay(self.rate(), math.ceil(updates / STEPS))
        decay = WEIGHT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay
        if self.optimizer == "sgd":
            momentum = 0.9 if self.momentum is None else self.momentum
            return fastbp.SGD(learning_rate=rate, momentum=momentum, weight_decay=decay, clip_norm=self.clip_norm)
        kind = fastbp.Adam if self.optimizer == "adam" else fastbp.AdamW
        return kind(learning_rate=rate, weight_decay=decay, clip_norm=self.clip_norm)
