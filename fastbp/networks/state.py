"""What a network is at a moment: parameters, what its optimizer remembers, how far it is, and random numbers.

Threads that change a network take turns, a whole epoch or step each; those that only look at it do so beside each
other, and look again if it was changed under their eyes.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastbp import optimizers
from fastbp.architecture import Architecture
from fastbp.call import aligned
from fastbp.contract import FloatArray
from fastbp.networks.plan import layout_of, work_for
from fastbp.networks.session import Session, rule_of
from fastbp.optimizers import SGD, Optimizer
from fastbp.threads import get_num_threads

# Workspaces that a network keeps for the next call.
MOST_KEPT = 4

Seen = TypeVar("Seen")


class Moment(NamedTuple):
    """A copy of all that training changes, apart from the random numbers."""

    parameters: FloatArray
    slots: tuple[FloatArray, ...]
    updates: int


class State:
    """All parameters lie in one vector, and so does each of the optimizer's slots.

    weights[l] (inputs, outputs) and biases[l] (outputs,) are views into it.
    """

    slots: tuple[FloatArray, ...]

    def __init__(self, architecture: Architecture, seed: int) -> None:
        self.architecture = architecture
        self.seed = seed
        self.generator = np.random.default_rng(seed)
        self.parameters = self._zeros()
        self.weights, self.biases = self.views(self.parameters)
        for layer, (w, b) in enumerate(architecture.initial(self.generator)):
            self.weights[layer][...], self.biases[layer][...] = w, b
        self.start(SGD())
        self._at_rest()

    def _at_rest(self) -> None:
        """Nobody has done anything yet."""
        self._sessions: OrderedDict[tuple[Any, ...], Session] = OrderedDict()
        self._lock = threading.RLock()
        self._changes = 0
        self._trainer: int | None = None
        self._held: Moment | None = None
        _states.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: arrays as such, without the views into them."""
        with self.turn():
            names = "architecture", "seed", "generator", "parameters", "optimizer", "updates", "slots"
            return {name: getattr(self, name) for name in names}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        parameters, slots = self.parameters, self.slots
        self.parameters = self._zeros()
        self.slots = tuple(self._zeros() for _ in slots)
        self._set(Moment(parameters, slots, self.updates))
        self.weights, self.biases = self.views(self.parameters)
        self._at_rest()

    def _zeros(self) -> FloatArray:
        vector = aligned(layout_of(self.architecture).size, self.architecture.dtype)
        vector.fill(0)
        return vector

    def views(self, vector: FloatArray) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
        """The weights and biases in a vector of the parameters' layout."""
        layout, sizes = layout_of(self.architecture), self.architecture.sizes
        matrices = [
            vector[start : start + outputs * width].reshape(outputs, width)
            for start, width, outputs in zip(layout.starts, layout.widths, sizes[1:], strict=True)
        ]
        return (
            tuple(matrix[:, :inputs].T for matrix, inputs in zip(matrices, sizes, strict=False)),
            tuple(matrix[:, inputs] for matrix, inputs in zip(matrices, sizes, strict=False)),
        )

    def start(self, optimizer: Optimizer) -> None:
        """Use an optimizer that has done nothing yet."""
        slots = tuple(self._zeros() for _ in range(optimizer.slots))
        self.optimizer, self.updates, self.slots = optimizer, 0, slots

    def use(self, optimizer: Any) -> None:
        """Use another optimizer; one of the same kind goes on where the one before stopped."""
        if optimizer is None:
            return
        same = type(optimizers.checked(optimizer, self.architecture.dtype)) is type(self.optimizer)
        if same and optimizer.slots == self.optimizer.slots:
            self.optimizer = optimizer
        else:
            self.start(optimizer)

    def turn(self) -> AbstractContextManager[Any]:
        """For `with`: the network is this thread's until it has changed it as a whole.

        The lock itself, because Ctrl-C comes neither before nor after the moment when `with` takes it.
        """
        if self._trainer == threading.get_ident():
            raise RuntimeError(
                "the network is in the middle of a batch of this very thread, as a signal handler may find it; "
                "a call from elsewhere is wanted, such as fit's callback"
            )
        return self._lock

    def look(self, look: Callable[[], Seen]) -> Seen:
        """What `look` sees of parameters that nobody changes meanwhile."""
        if self._trainer is None or self._trainer == threading.get_ident():
            before = self._changes
            seen = look()
            if self._changes == before:
                return seen
        with self._lock:
            return look()

    def moment(self) -> Moment:
        return Moment(self.parameters.copy(), tuple(slot.copy() for slot in self.slots), self.updates)

    def hold(self) -> Moment:
        """Training begins; where it did."""
        return self._begin(self.moment())

    def rest(self) -> None:
        """Training has ended."""
        self._trainer = self._held = None

    def return_to(self, moment: Moment) -> None:
        try:
            self._set(self._begin(moment))
        except KeyboardInterrupt:  # in the middle of it
            self._set(moment)
            raise
        finally:
            self.rest()

    def _begin(self, held: Moment) -> Moment:
        self._held = held
        self._trainer = threading.get_ident()
        self._changes += 1
        return held

    def _set(self, moment: Moment) -> None:
        self.parameters[...] = moment.parameters
        for slot, kept in zip(self.slots, moment.slots, strict=True):
            slot[...] = kept
        self.updates = moment.updates

    def after_fork(self) -> None:
        """In the child: a thread that was training is not there, and what it had begun is undone."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        if self._held is not None:
            self._set(self._held)
        self.rest()

    def is_finite(self) -> bool:
        vectors = (self.parameters, *self.slots)
        return all(np.isfinite(vector.min()) and np.isfinite(vector.max()) for vector in vectors)

    def session(self, purpose: int, batch: int, targets: int = 0, *, labels: bool = False) -> tuple[Any, Session]:
        """A workspace, and the key to give it back with; who has it has it alone."""
        optimizer = self.optimizer
        threads, rule, clip_norm = get_num_threads(), rule_of(optimizer), optimizer.clip_norm or 0.0
        key = (purpose, batch, targets, labels, threads, rule, clip_norm)
        session = self._sessions.pop(key, None)
        if session is None:
            work = work_for(
                self.architecture, batch, targets, threads, purpose, labels=labels, rule=rule, clip_norm=clip_norm
            )
            session = Session(self.architecture, work)
        return key, session

    def give_back(self, key: Any, session: Session) -> None:
        self._sessions[key] = session
        if len(self._sessions) > MOST_KEPT:
            self._sessions.popitem(last=False)


_states: weakref.WeakSet[State] = weakref.WeakSet()


def _after_fork() -> None:
    for state in _states:
        state.after_fork()


if hasattr(os, "register_at_fork"):  # where processes fork
    os.register_at_fork(after_in_child=_after_fork)
