"""A trained layer with all that its inputs and outputs mean, so that it takes raw data and gives answers.

A model file is an NPZ: w (inputs, outputs), b (outputs,), mean and scale (inputs,), and `about`, JSON as UTF-8 bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp as engine
from fastbp.command.atomic import replacing
from fastbp.command.readers.arrays import npz_arrays
from fastbp.command.tables import ROWS_A_BLOCK, Table, listed, reason
from fastbp.command.targets import Classes, Values

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """w and b, the standardisation (x - mean) * scale, the names of its inputs and target, and what y means."""

    w: npt.NDArray[Any]
    b: npt.NDArray[Any]
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    names: tuple[str, ...]
    named: bool
    target: str
    meaning: Classes | Values

    def outputs(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """y_pred (rows, outputs) of raw rows x (rows, inputs), a block of rows at a time."""
        y_pred = np.empty((len(x), self.meaning.outputs), self.w.dtype)
        for start in range(0, len(x), ROWS_A_BLOCK):
            block = slice(start, start + ROWS_A_BLOCK)
            y_pred[block] = engine.forward(standardise(x[block], self.mean, self.scale, self.w.dtype), self.w, self.b)
        return y_pred

    def predict(self, table: Table) -> list[str]:
        """The class or value of every row, in words."""
        return self.meaning.words(self.meaning.decode(self.outputs(self.inputs_of(table))))

    def inputs_of(self, table: Table) -> npt.NDArray[Any]:
        """The inputs in the model's order: by name where both have names, else by position; the target may be there."""
        if self.named and table.named:
            missing = [name for name in self.names if name not in table.names]
            if missing:
                raise ValueError(f"{table.source} lacks {len(missing)} of the model's columns: {listed(missing)}")
            known = {*self.names, self.target}
            extra = [name for name in table.names if name not in known]
            if extra:
                raise ValueError(
                    f"{table.source} has {len(extra)} columns that the model does not know: {listed(extra)}"
                )
            return table.numbers([table.names.index(name) for name in self.names])
        columns = [i for i, name in enumerate(table.names) if not (table.named and name == self.target)]
        if len(columns) != len(self.names):
            raise ValueError(
                f"{table.source} has {len(columns)} columns; {len(self.names)} are wanted, the model's inputs "
                f"(the target may be there too, but only by name)"
            )
        return table.numbers(columns)

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        about: dict[str, Any] = {
            "fastbp_model": FORMAT,
            "names": self.names,
            "named": self.named,
            "target": self.target,
        }
        if isinstance(self.meaning, Classes):
            about["labels"] = self.meaning.labels
        else:
            about["low"], about["high"] = self.meaning.low, self.meaning.high
        arrays = {"w": self.w, "b": self.b, "mean": self.mean, "scale": self.scale}
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with replacing(path) as stream:
            np.savez(stream, allow_pickle=False, about=text, **arrays)

    @staticmethod
    def load(path: Path) -> Model:
        """Read a model file, trusting nothing in it."""
        with path.open("rb") as stream:
            try:
                return _parse(npz_arrays(stream))
            except MemoryError:
                raise
            except Exception as error:  # a damaged file makes parsers raise almost anything
                raise ValueError(f"{path} is not a readable model file: {reason(error)}") from error


def standardise(
    x: npt.NDArray[Any], mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """(x - mean) * scale in `dtype`; what overflows is inf, which the engine refuses by its place."""
    with np.errstate(over="ignore", invalid="ignore"):
        return ((x - mean) * scale).astype(dtype)


def _parse(arrays: dict[str, npt.NDArray[Any]]) -> Model:
    wanted = {"w", "b", "mean", "scale", "about"}
    if not wanted <= set(arrays):
        lacking = ", ".join(sorted(wanted - set(arrays)))
        raise ValueError(f"it lacks {lacking}; a file written by fastbp train --save is wanted")
    about = json.loads(arrays["about"].tobytes())
    if not isinstance(about, dict) or about.get("fastbp_model") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}, the one that this version of fastbp reads")

    w, b, mean, scale = (arrays[name] for name in ("w", "b", "mean", "scale"))
    names, target = _texts(about, "names"), str(about["target"])
    if "labels" in about:
        meaning: Classes | Values = Classes(_texts(about, "labels"))
    else:
        meaning = Values(float(about["low"]), float(about["high"]))
        if not np.isfinite([meaning.low, meaning.high]).all():
            raise ValueError("the scale of its values is not finite")
    inputs, outputs = len(names), meaning.outputs
    shapes = {"w": (inputs, outputs), "b": (outputs,), "mean": (inputs,), "scale": (inputs,)}
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype not in (np.float32, np.float64) or not np.isfinite(array).all():
            raise ValueError(
                f"{name} is {array.dtype} of shape {array.shape}; finite floats of shape {shape} are wanted"
            )
    if w.dtype != b.dtype:
        raise ValueError(f"b has dtype {b.dtype}; {w.dtype} is wanted, as w has")
    return Model(w, b, mean.astype(np.float64), scale.astype(np.float64), names, bool(about["named"]), target, meaning)


def _texts(about: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = about[key]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is {texts!r:.40}; a list of texts is wanted")
    return tuple(texts)
