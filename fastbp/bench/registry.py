"""Implementations of the same work: what each is made of, how it is held to a number of threads, and what is missing.

A registry names them. A configuration is one of them, held to a number of threads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from threadpoolctl import ThreadpoolController

from .training import thread_count


def from_module(module: str, function: str, *arguments: Any, **options: Any) -> Any:
    """Call a function of a sibling module, which is imported only now: its library may be missing."""
    return getattr(import_module(f".{module}", __package__), function)(*arguments, **options)


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    limited: AbstractContextManager[Any] = ThreadpoolController().limit(limits=threads, user_api="blas")
    return limited


def threads_of(package: str, threads: int) -> AbstractContextManager[None]:
    return thread_count(import_module(package), threads)


fastbp_threads, torch_threads = partial(threads_of, "fastbp"), partial(threads_of, "torch")


class NotTimed(Exception):
    """What an implementation raises of a case that it has other work for than the rest; it says why."""


class Implementation(NamedTuple):
    """How to set a problem up, and how to hold the library to a number of threads (None: it chooses by itself).

    setup(problem) copies the weights, prepares what the library wants, and returns a callable that trains.
    """

    package: str
    setup: Callable[[Any], Callable[[], Any]]
    threads: Callable[[int], AbstractContextManager[Any]] | None = None

    def limited(self, threads: int | None) -> AbstractContextManager[Any]:
        """The library held to `threads` threads, where a number is given."""
        return nullcontext() if self.threads is None or threads is None else self.threads(threads)


class Configuration(NamedTuple):
    """An implementation by its name, held to a number of threads (None: it chooses by itself)."""

    name: str
    threads: int | None

    @property
    def family(self) -> str:
        """The library, or the engine, that does the work."""
        return self.name.split()[0]

    @property
    def label(self) -> str:
        if self.threads is None:
            return self.name
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


class Registry(dict[str, Implementation]):
    """The implementations of one kind of work by name; and what a reader may look for, and why it is not timed."""

    def __init__(self, implementations: Mapping[str, Implementation], not_timed: Mapping[str, str]) -> None:
        super().__init__(implementations)
        self.not_timed = not_timed

    def missing(self) -> dict[str, str]:
        """What is not timed here, each with the reason."""
        reasons = {}
        for name, implementation in self.items():
            try:
                import_module(implementation.package)
            except ImportError as error:
                reasons[name] = str(error)
                continue
            if name == "torch compile" and not shutil.which(os.environ.get("CXX", "g++")):
                reasons[name] = "no C++ compiler"
        return reasons | dict(self.not_timed)

    def present(self) -> list[str]:
        """The implementations that can run here."""
        absent = self.missing()
        return [name for name in self if name not in absent]

    def packages(self, labels: Iterable[str]) -> set[str]:
        """What the configurations of these labels are made of."""
        return {self[label.split(",")[0]].package for label in labels}

    def configurations(self, names: Iterable[str], threads: Iterable[int]) -> list[Configuration]:
        """Each implementation with each number of threads, where it can be held to one."""
        return [
            Configuration(name, number)
            for name in names
            for number in (dict.fromkeys(threads) if self[name].threads else (None,))
        ]
