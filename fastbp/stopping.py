"""When `Network.fit` may end before its last epoch."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp import contract

MONITORED = ("val_loss", "loss")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """End training when `monitor` has not fallen for `patience` epochs, and return to the best weights and optimizer.

    monitor: "val_loss", which wants validation rows, or "loss". patience: 1 or more. minimum_change: an epoch is better
    if it is lower by more than this, 0 or more.
    """

    monitor: str = "val_loss"
    patience: int = 10
    minimum_change: float = 0.0

    def __post_init__(self) -> None:
        vars(self).update(
            monitor=contract.known_name("monitor", self.monitor, MONITORED),
            patience=contract.count("patience", self.patience, 1),
            minimum_change=contract.not_negative("minimum_change", self.minimum_change),
        )
