"""What a network is at a moment: parameters, what its optimizer remembers, how far it is, and random numbers."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastbp import optimizers
from fastbp.architecture import Architecture, PerLayer
from fastbp.contract import FloatArray
from fastbp.memory import aligned
from fastbp.networks.coefficients import coefficients_of, rule_of
from fastbp.networks.division import TRAIN
from fastbp.networks.layout import layout_of
from fastbp.networks.session import Kind, Session
from fastbp.networks.turns import Turns
from fastbp.optimizers import SGD, Optimizer
from fastbp.threads import threads_of_call

# Workspaces that a network keeps for the next call.
MOST_KEPT = 4
# Single steps whose coefficients are computed together.
AHEAD = 32


class Snapshot(NamedTuple):
    """A copy of all that training changes, apart from the random numbers, and the optimizer that the rest is of."""

    parameters: FloatArray
    optimizer: Optimizer
    slots: tuple[FloatArray, ...]
    updates: int


class Change(NamedTuple):
    """What is under way: the batches of a session, or, without one, the way back to what was before."""

    before: Snapshot
    session: Session | None


class Beginning(NamedTuple):
    """What training replaces before its first update, and the state of the random numbers."""

    optimizer: Optimizer
    slots: tuple[FloatArray, ...]
    updates: int
    random: Any


class State(Turns):
    """All parameters lie in one vector, and so does each of the optimizer's slots.

    weights[l] (inputs, outputs) and biases[l] (outputs,) are views into it.
    """

    slots: tuple[FloatArray, ...]

    def __init__(self, architecture: Architecture, seed: int) -> None:
        self.architecture = architecture
        self.seed = seed
        self.generator = np.random.default_rng(seed)
        initial = architecture.initial(self.generator)
        self.parameters = self._zeros()
        self.weights, self.biases = self.views(self.parameters)
        for layer, (w, b) in enumerate(initial):
            self.weights[layer][...], self.biases[layer][...] = w, b
        self.start(SGD())
        self._at_rest()

    def _at_rest(self) -> None:
        """Nobody has used it yet."""
        super().__init__()
        self._beginning: Beginning | None = None  # of the training under way, as long as it has not updated anything
        self._sessions: OrderedDict[Kind, Session] = OrderedDict()
        self._ahead: tuple[Optimizer, int, FloatArray] | None = None  # coefficients of updates, from this one on

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: weights and biases as such, since other processors pad them to other widths."""
        names = "architecture", "seed", "generator", "optimizer", "updates"
        with self.turn():
            self.settle()
            kept = {name: copy.deepcopy(getattr(self, name)) for name in names}
            vectors = [self.parameters, *self.slots]
            return kept | {"vectors": [[array.copy() for array in self._arrays(vector)] for vector in vectors]}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vectors = kept.pop("vectors")
        vars(self).update(kept)
        self.parameters, *slots = (self._zeros() for _ in vectors)
        self.slots = tuple(slots)
        for vector, arrays in zip((self.parameters, *slots), vectors, strict=True):
            for view, array in zip(self._arrays(vector), arrays, strict=True):
                view[...] = array
        self.weights, self.biases = self.views(self.parameters)
        self._at_rest()

    def _arrays(self, vector: FloatArray) -> list[FloatArray]:
        """All weights and biases in a vector."""
        weights, biases = self.views(vector)
        return [*weights, *biases]

    def _zeros(self) -> FloatArray:
        vector = aligned(layout_of(self.architecture).size, self.architecture.dtype)
        vector.fill(0)
        return vector

    def views(self, vector: FloatArray) -> tuple[PerLayer, PerLayer]:
        """The weights and biases in a vector of the parameters' layout."""
        layout, sizes = layout_of(self.architecture), self.architecture.sizes
        matrices = [
            vector[start : start + outputs * width].reshape(outputs, width)
            for start, width, outputs in zip(layout.starts, layout.widths, sizes[1:], strict=True)
        ]
        return (
            PerLayer(matrix[:, :inputs].T for matrix, inputs in zip(matrices, sizes, strict=False)),
            PerLayer(matrix[:, inputs] for matrix, inputs in zip(matrices, sizes, strict=False)),
        )

    def start(self, optimizer: Optimizer) -> None:
        """Use an optimizer that has done nothing yet."""
        slots = tuple(self._zeros() for _ in range(optimizer.slots))
        self.optimizer, self.updates, self.slots = optimizer, 0, slots

    def use(self, optimizer: Any) -> None:
        """Use another optimizer; one of the same kind goes on where the one before stopped."""
        if optimizer is None or optimizer is self.optimizer:
            return
        same = type(optimizers.checked(optimizer, self.architecture.dtype)) is type(self.optimizer)
        if same and optimizer.slots == self.optimizer.slots:
            self.optimizer = optimizer
        else:
            self.start(optimizer)

    @contextmanager
    def using(self, optimizer: Any) -> Iterator[None]:
        """Use another optimizer for training that may fail: if it does so before its first update, nothing changes.

        None uses the one before. A turn may begin with it.
        """
        self.settle()
        beginning = Beginning(self.optimizer, self.slots, self.updates, self.generator.bit_generator.state)
        try:
            self._beginning = beginning
            self.use(optimizer)
            yield
        except BaseException:
            if self._beginning is not None:
                self._return_to_beginning(beginning)
            raise
        finally:
            self._beginning = None

    def _return_to_beginning(self, beginning: Beginning) -> None:
        self.optimizer, self.slots, self.updates, self.generator.bit_generator.state = beginning

    def snapshot(self) -> Snapshot:
        slots = tuple(slot.copy() for slot in self.slots)
        return Snapshot(self.parameters.copy(), self.optimizer, slots, self.updates)

    def restore(self, snapshot: Snapshot) -> None:
        """Within a turn: be what the network was."""
        self.begin(Change(snapshot, None))
        try:
            self.settle()
        finally:  # if Ctrl-C came in the middle of it
            self.settle()

    def updated(self, batches: int) -> None:
        """Count so many updates more."""
        if batches:
            self._beginning = None
        self.updates += batches

    def _settle(self, change: Change) -> None:
        if change.session is not None and change.session.finite:
            self.updates = change.before.updates
            self.updated(change.session.batches)
        else:
            self._set(change.before)

    def _abandon(self, change: Change | None) -> None:
        if change is not None:
            self._set(change.before)
        if self._beginning is not None:
            self.generator = np.random.default_rng(0)  # the thread may have had the lock of the one before
            self._return_to_beginning(self._beginning)
            self._beginning = None

    def _set(self, snapshot: Snapshot) -> None:
        if len(snapshot.slots) != len(self.slots):  # another optimizer has been used since
            self.slots = tuple(self._zeros() for _ in snapshot.slots)
        self.parameters[...] = snapshot.parameters
        for slot, kept in zip(self.slots, snapshot.slots, strict=True):
            slot[...] = kept
        self.optimizer, self.updates = snapshot.optimizer, snapshot.updates

    def coefficients(self, count: int) -> FloatArray:
        """What the next updates take, a row each.

        Of single steps some are computed ahead: a call costs 3 us, with Adam 10, however many rows it makes.
        """
        if count > 1:
            return coefficients_of(self.optimizer, self.updates, count, self.parameters.dtype)
        optimizer, first, rows = self._ahead or (None, 0, None)
        if rows is None or optimizer is not self.optimizer or not 0 <= self.updates - first < len(rows):
            first, rows = self.updates, coefficients_of(self.optimizer, self.updates, AHEAD, self.parameters.dtype)
            self._ahead = self.optimizer, first, rows
        return rows[self.updates - first :][:1]

    def session(self, purpose: int, batch: int, targets: int = 0, *, labels: bool = False) -> Session:
        """A workspace, to be given back; who has it has it alone."""
        rule, clip_norm = 0, 0.0
        if purpose == TRAIN:
            rule, clip_norm = rule_of(self.optimizer), self.optimizer.clip_norm or 0.0
        kind = Kind(purpose, batch, targets, labels, threads_of_call(), rule, clip_norm)
        return self._sessions.pop(kind, None) or Session(kind, self.architecture)

    def give_back(self, session: Session) -> None:
        """Keep the workspace for the next call of its kind."""
        self._sessions[session.kind] = session
        if len(self._sessions) > MOST_KEPT:
            self._sessions.popitem(last=False)
