"""A network in a safetensors file, without pickle.

The parameters and what the optimizer remembers are its tensors; the architecture, the optimizer, how far it is and the
state of its random numbers are its metadata, in JSON.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_to_bytes

from fastbp import contract, optimizers
from fastbp.architecture import Architecture
from fastbp.atomic import check_writable, replacing
from fastbp.contract import FloatArray, shortened
from fastbp.networks.state import State
from fastbp.schedules import MOST_UPDATES

FORMAT = 1
LONGEST_QUOTE = 400  # characters of what a file says that a message repeats
_KEY = "fastbp"
_SLOTS = ("first", "second")
_DTYPES = {"F32": "float32", "F64": "float64"}
_EXTRA = "extra"


class Extra(NamedTuple):
    """What a program keeps beside a network: `about`, of JSON values, and tensors by name."""

    about: dict[str, Any]
    tensors: dict[str, FloatArray]


def save(state: State, path: Path, extra: Extra | None = None) -> None:
    check_writable("path", path)
    made = state.architecture
    with state.turn():
        state.settle()
        about = {
            "format": FORMAT,
            "sizes": made.sizes,
            "activations": made.activations,
            "loss": made.loss,
            "dtype": made.dtype.name,
            "seed": state.seed,
            "optimizer": state.optimizer.to_dict(),
            "updates": state.updates,
            "random": state.generator.bit_generator.state,
        }
        tensors = {name: np.array(view, order="C") for name, view in _named(state)}
        metadata = {_KEY: json.dumps(about)}
    for name, tensor in tensors.items():  # else the file, which takes the place of another one, could not be loaded
        contract.finite(name, tensor)
    if extra is not None:
        tensors |= {f"{_EXTRA}.{name}": tensor for name, tensor in extra.tensors.items()}
        metadata[_EXTRA] = json.dumps(extra.about)
    with replacing(path) as stream:
        stream.write(tensors_to_bytes(tensors, metadata))


def _named(state: State) -> Iterator[tuple[str, FloatArray]]:
    """All tensors, as views into the state, by their names in the file."""
    for prefix, vector in zip(_prefixes(len(state.slots)), (state.parameters, *state.slots), strict=True):
        for kind, arrays in zip(("weights", "biases"), state.views(vector), strict=True):
            for layer, array in enumerate(arrays):
                yield f"{prefix}{kind}.{layer}", array


def _prefixes(slots: int) -> list[str]:
    """What the names of the parameters begin with, and those of what the optimizer remembers."""
    return ["", *(f"{slot}." for slot in _SLOTS[:slots])]


def load(path: Path) -> State:
    """The state that `save` wrote; OSError if there is no such file, ValueError if it is not one of a network."""
    with _opened(path) as file:
        return _state(path, file)


def load_with_extra(path: Path) -> tuple[State, Extra | None]:
    """The state and what `save` was given beside it, both of one file if another takes its place meanwhile."""
    with _opened(path) as file:
        return _state(path, file), _extra(path, file)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, on which one waits for a writer
        raise ValueError(f"{path} is not a file; one that holds a network is wanted")
    path.open("rb").close()  # a file that cannot be opened says so itself
    try:
        opened = safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:  # the latter of what opens but cannot be mapped, and it names no file
        if isinstance(error, OSError) and "os error" not in str(error):  # but what a signal handler raises
            raise
        raise _not_whole(path, error) from None
    try:
        with opened as file:
            yield file
    except SafetensorError as error:
        raise _not_whole(path, error) from None


def _not_whole(path: Path, error: Exception) -> ValueError:
    start = b""
    with contextlib.suppress(OSError), path.open("rb") as stream:  # what opens but cannot be read
        start = stream.read(9)
    if start[8:] not in (b"{", b""):  # a safetensors file is a length in 8 bytes, and JSON
        return ValueError(f"{path} is not a model of fastbp; a file that fastbp saved is wanted")
    return ValueError(f"{path} is not a whole safetensors file: {_short(error)}")


def _short(found: object) -> str:
    return shortened(str(found), LONGEST_QUOTE)


def _extra(path: Path, file: Any) -> Extra | None:
    metadata, prefix = file.metadata(), f"{_EXTRA}."
    if not isinstance(metadata, dict) or _EXTRA not in metadata:
        return None
    about = _json(path, metadata[_EXTRA])
    if not isinstance(about, dict):
        raise ValueError(f"{path} has damaged metadata: {_EXTRA} is not an object")
    names = [name for name in sorted(file.keys()) if name.startswith(prefix)]
    return Extra(about, {name.removeprefix(prefix): file.get_tensor(name) for name in names})


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has damaged metadata: {_short(error)}") from None


def _about(path: Path, metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict) or _KEY not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not one of a fastbp network")
    about = _json(path, metadata[_KEY])
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = _short(repr(about.get("format") if isinstance(about, dict) else about))
        raise ValueError(
            f"{path} has format {found}; {FORMAT} is wanted (another version of fastbp may have written it)"
        )
    return about


def _state(path: Path, file: Any) -> State:
    about = _about(path, file.metadata())
    try:
        *hidden, output = about["activations"]
        made = Architecture.of(about["sizes"], hidden, output, about["loss"], about["dtype"])
        seed = contract.seed(about["seed"])
        updates = contract.count("updates", about["updates"], 0, MOST_UPDATES // 2)  # training goes on from there
        optimizer = optimizers.checked(optimizers.from_dict(about["optimizer"]), made.dtype)
        generator = np.random.default_rng()
        generator.bit_generator.state = about["random"]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"{path} has damaged metadata: {type(error).__name__}: {_short(error)}") from None
    _check_tensors(path, file, made, optimizer.slots)
    state = State(made, seed)
    state.start(optimizer)
    state.updates, state.generator = updates, generator
    for name, view in _named(state):
        view[...] = contract.finite(f"{path}: {name}", file.get_tensor(name))
    if len(state.slots) == 2 and state.slots[1].min() < 0:
        raise ValueError(f"{path} has negative numbers in second, the means of squares")
    return state


def _check_tensors(path: Path, file: Any, made: Architecture, slots: int) -> None:
    """Compare what the file holds with what it says, before memory is taken for it."""
    names = set(file.keys())
    for layer, shape in enumerate(made.shapes):
        for name, wanted in ((f"weights.{layer}", list(shape)), (f"biases.{layer}", [shape[1]])):
            for tensor in (prefix + name for prefix in _prefixes(slots)):
                part: Any = file.get_slice(tensor) if tensor in names else None
                found = None if part is None else part.get_shape()
                if found != wanted:
                    raise ValueError(f"{path} has {tensor} of shape {_short(found)}; {wanted} is wanted")
                dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
                if dtype != made.dtype:
                    raise ValueError(f"{path} has {tensor} of dtype {dtype}; {made.dtype} is wanted")
