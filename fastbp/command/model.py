"""A network with all that its inputs and outputs mean, so that it takes raw data and gives answers.

A model file is the network's own, which `fastbp.Network.load` reads as any other, with more beside it: `mean` and
`scale` (inputs,) as tensors, and names and the meaning of the target as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp.command.meaning import Classes, Meaning, Values
from fastbp.command.sizes import blocks
from fastbp.command.standardisation import Standardisation
from fastbp.command.tables import Table
from fastbp.command.words import counted, listed, reason
from fastbp.network import load_with_extra, save_with_extra

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """A network, the standardisation and names of its inputs, the target's name, and what its outputs mean."""

    network: fastbp.Network
    standardisation: Standardisation
    names: tuple[str, ...]
    named: bool
    target: str
    meaning: Meaning

    def predict(self, table: Table) -> list[str]:
        """The class or value of every row, in words."""
        x = table.numbers(columns_like(table, self.names, self.named, self.target))
        words = []
        for block in blocks(table.rows):
            standard = self.standardisation.apply(x[block], self.network.architecture.dtype)
            good = np.isfinite(standard).all(axis=1)
            if good.all():
                y_pred = self.network.predict(standard)
                decoded = self.meaning.decode(y_pred)
                good = np.isfinite(y_pred).all(axis=1) & np.isfinite(decoded)
            if not good.all():
                row = block.start + int(np.argmin(good)) + 1
                raise ValueError(f"{table.source}: row {row} has numbers too large for the model")
            words += self.meaning.words(decoded)
        return words

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        from fastbp.networks.storage import Extra

        about: dict[str, Any] = {"format": FORMAT, "names": self.names, "named": self.named, "target": self.target}
        if isinstance(self.meaning, Classes):
            about["labels"] = self.meaning.labels
        else:
            about["mean"], about["deviation"] = self.meaning.mean, self.meaning.deviation
        tensors = {"mean": self.standardisation.mean, "scale": self.standardisation.scale}
        save_with_extra(self.network, path, Extra(about, tensors))

    @staticmethod
    def load(path: Path) -> Model:
        """Read a model file, trusting nothing in it."""
        try:
            network, extra = load_with_extra(path)
            if extra is None:
                raise ValueError("it has no names and no meaning; a file written by fastbp train --save is wanted")
            return _parse(network, extra.about, extra.tensors)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # a damaged file makes parsers raise almost anything
            said = reason(error)
            known = said.startswith(str(path))
            raise ValueError(said if known else f"{path} is not a readable model file: {said}") from error


def columns_like(
    table: Table, names: Sequence[str], named: bool, target: str, position: int | None = None
) -> list[int]:
    """The columns that are the inputs `names`: found by name where both have names, else in their order.

    The target may be among them, by its name or at a known position, and is left out.
    """
    if named and table.named:
        missing = [name for name in names if name not in table.names]
        if ignored := [name for name in missing if name in table.ignored.values()]:
            raise ValueError(f"--ignore leaves out {listed(ignored)}, but the model wants all of its inputs")
        if missing:
            raise ValueError(f"{table.source} lacks {len(missing)} of the model's columns: {listed(missing)}")
        known = {*names, target}
        extra = [name for column, name in enumerate(table.names) if name not in known and column != position]
        if extra:
            found = counted(len(extra), "column")
            raise ValueError(
                f"{table.source} has {found} that the model does not know: {listed(extra)} (--ignore leaves one out)"
            )
        return [table.names.index(name) for name in names]
    if position is None and target in table.own_names:
        position = table.names.index(target)
    columns = [column for column in range(len(table.names)) if column != position]
    if len(columns) != len(names):
        found, wanted = counted(len(columns), "column"), counted(len(names), "input")
        raise ValueError(
            f"{table.source} has {found}, and the model {wanted}; as many are wanted "
            f"(the target may be there too, but only by name)"
        )
    return columns


def _parse(network: fastbp.Network, about: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> Model:
    if about.get("format") != FORMAT:
        raise ValueError(f"its names are in format {about.get('format')!r}; {FORMAT} is wanted")
    made = network.architecture
    meaning: Meaning
    if "labels" in about:
        meaning = Classes(_texts("labels", about["labels"], 2))
    else:
        meaning = Values(float(about["mean"]), float(about["deviation"]))
        if not np.isfinite([meaning.mean, meaning.deviation]).all() or meaning.deviation <= 0:
            raise ValueError("the scale of its values is not finite and positive")
    names, (target,) = _texts("names", about["names"]), _texts("target", [about["target"]])
    wanted = (len(names), meaning.outputs(made.loss))
    if made.loss not in meaning.losses or (made.inputs, made.outputs) != wanted:
        raise ValueError(
            f"the network has {made.inputs} inputs, {made.outputs} outputs and the loss {made.loss}; {wanted[0]} and "
            f"{wanted[1]} and one of {', '.join(meaning.losses)} are wanted, after its names and target"
        )
    for name in ("mean", "scale"):
        array = tensors.get(name, np.empty(0))
        if array.shape != (len(names),) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(
                f"{name} is {array.dtype} of shape {array.shape}; finite float64 ({len(names)},) is wanted"
            )
    standardisation = Standardisation(tensors["mean"], tensors["scale"])
    return Model(network, standardisation, names, bool(about["named"]), target, meaning)


def _texts(key: str, texts: Any, least: int = 1) -> tuple[str, ...]:
    if not isinstance(texts, list) or len(texts) < least or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is {texts!r:.40}; a list of {least} texts or more is wanted")
    "".join(texts).encode()  # refuses halves of characters, which cannot be printed
    return tuple(texts)
