"""Dataclasses as plain JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Record = TypeVar("Record")


def to_dict(record: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values: its name, and its fields by their names."""
    values = {name: to_dict(value) if is_dataclass(value) else value for name, value in vars(record).items()}
    return {"name": type(record).__name__} | values


def from_dict(argument: str, values: Any, kinds: Mapping[str, type[Record]]) -> Record:
    """The dataclass, one of `kinds`, that `to_dict` made these values of; ValueError if none could be."""
    if not isinstance(values, dict):
        raise ValueError(f"{argument} is {values!r}; a dictionary is wanted")
    name = values.get("name")
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"{argument} has the name {name!r}; {' or '.join(map(repr, kinds))} is wanted")
    wanted = ["name", *(field.name for field in fields(kinds[name]))]  # type: ignore[arg-type]
    if set(values) != set(wanted):
        raise ValueError(f"{argument} has {', '.join(map(repr, values))}; {', '.join(map(repr, wanted))} are wanted")
    try:
        return kinds[name](**{key: value for key, value in values.items() if key != "name"})
    except TypeError as error:  # the type of a value
        raise ValueError(str(error)) from None
