"""Threads that work on one call: every task is done once, and nobody waits for a helper that has not come."""

import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import COMPILED
from test_training import assert_same_bits

import fastbp
from fastbp import pool, threads
from fastbp.kernels import team
from fastbp.tiles.atomics import add, board, exchange, hang_bell, pause, read, ring, write
from fastbp.tiles.calls import lay_open


def run_together(calls):
    """A thread for each (function, *arguments); without the compiler one after the other, since twins do not lock."""
    workers = [threading.Thread(target=call[0], args=call[1:]) for call in calls]
    for worker in workers:
        worker.start() if COMPILED else worker.run()
    for worker in workers if COMPILED else ():
        worker.join()


# ---------------------------------------------------------------------------------------------------------- atomics


@numba.njit(nogil=True)
def _count_up(numbers, times):
    for _ in range(times):
        add(numbers, 1, 3)
        while True:
            old = read(numbers, 2)
            if exchange(numbers, 2, old, old + 5):
                break


def test_no_change_of_a_shared_number_is_lost():
    numbers, times = board(4), 20_000 if COMPILED else 20
    _count_up(numbers, 0)  # compiled before the threads start
    run_together([(_count_up, numbers, times)] * 4)
    assert numbers[:, 0].tolist() == [0, 4 * times * 3, 4 * times * 5, 0]
    assert not numbers[:, 1:].any()


@numba.njit
def _exchange(numbers, old, new):
    return exchange(numbers, 0, old, new)


def test_a_number_is_exchanged_only_for_the_one_that_was_expected():
    numbers = board(1)
    numbers[0, 0] = 7
    assert (_exchange(numbers, 8, 9), numbers[0, 0]) == (False, 7)
    assert (_exchange(numbers, 7, 9), numbers[0, 0]) == (True, 9)


# ------------------------------------------------------------------------------------------------------------ tasks


@numba.njit(nogil=True)
def _claim_all(desk, owner, line, count, claimed):
    i = 0
    task = team.claim(desk, owner, line, count)
    while task < count:
        claimed[i] = task
        i += 1
        task = team.claim(desk, owner, line, count)


@numba.njit
def _open_line(desk, line, workers):
    team.open_line(desk, line, workers)


@pytest.mark.parametrize("owner", [0, 2])
def test_every_task_is_claimed_once_by_any_number_of_threads(owner):
    count = 50_000 if COMPILED else 50
    desk, claimed = board(team.FIRST + 3), np.full((4, count), -1)
    _open_line(desk, 5, 3)
    _claim_all(desk, owner, 4, count, claimed[0])  # compiled before the threads start
    assert (claimed == -1).all(), "a line that is over has no tasks"
    run_together([(_claim_all, desk, owner, 5, count, mine) for mine in claimed])
    assert_same_bits(np.sort(claimed[claimed >= 0]), np.arange(count))


@numba.njit(nogil=True)
def _mark(worker, lines, tasks, workers, marks, desk, door):
    """A call of some lines, in which every task of every line adds 1 to its mark and to that of its worker.

    marks (lines, tasks + 1 + workers): behind those of the tasks stands what the leader counts of them.
    """
    helped = worker == team.LEADER and team.take(door)
    if helped:
        lay_open(door, team.TASK, _mark, (lines, tasks, workers, marks, desk, door))
        team.invite(door, desk, workers)
    line = 0
    while line < lines:
        if worker == team.LEADER:
            team.open_line(desk, line, 2)  # a line of one worker is not announced
        else:
            line = team.next_line(desk, line)
            if line == team.OVER:
                break
        task = team.claim(desk, 0, line, tasks)
        while task < tasks:
            marks[line, task] += 1
            marks[line, tasks + 1 + worker] += 1
            for _ in range(20):
                pause(desk)  # as long as it takes another worker to come
            add(desk, team.DONE, 1)
            task = team.claim(desk, 0, line, tasks)
        if worker == team.LEADER:
            team.await_tasks(desk, tasks)
            for task in range(tasks):
                marks[line, tasks] += marks[line, task]  # all of them are done, and seen
        line += 1
    if helped:
        team.dismiss(door, desk)
    return worker


@numba.njit
def _close(door):
    write(door, team.CALL, team.CLOSED)
    for row in range(team.HELPERS, door.shape[0], 2):
        if exchange(door, row, 1, 0):
            ring(door, row + 1)


class Helpers:
    """Behind a new door, as long as the block lasts; without the compiler there are none."""

    def __init__(self, *numbers, patience=1000):
        self.door = board(team.HELPERS + 2 * max(numbers, default=0))
        for number in range(1, 1 + max(numbers, default=0)):
            hang_bell(self.door, team.HELPERS + 2 * number - 1)
        arguments = [(self.door, number, patience) for number in numbers if COMPILED]
        self.threads = [threading.Thread(target=team.help_out.for_dtype(), args=each) for each in arguments]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self.door

    def __exit__(self, *_):
        _close(self.door)
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("patience", [0, 10, 100_000])
@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize("tasks", [1, 2, 40])
def test_every_task_is_done_once_and_before_the_next_line(helpers, tasks, patience):
    lines = 500 if COMPILED else 5
    desk, marks = board(team.FIRST + 2), np.zeros((lines, tasks + 2 + helpers), np.int64)
    calls, helped = 0, 0
    deadline = time.monotonic() + 60
    with Helpers(*range(1, 1 + helpers), patience=patience) as door:
        while calls < 10 or (COMPILED and helpers and not helped and time.monotonic() < deadline):
            marks[:] = 0
            _mark(team.LEADER, lines, tasks, helpers + 1, marks, desk, door)
            assert (marks[:, :tasks] == 1).all()
            assert (marks[:, tasks] == tasks).all()
            assert door[team.INSIDE, 0] == 0
            calls, helped = calls + 1, helped + marks[:, tasks + 2 :].sum()
    assert (helped > 0) == (COMPILED and helpers > 0), "else it says nothing of helpers"


def slept(door, number):
    """Wait until a helper sleeps."""
    deadline = time.monotonic() + 60
    while not door[team.HELPERS + 2 * number - 2, 0]:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.jit_only
def test_a_helper_that_finds_no_call_sleeps_until_the_next_one():
    desk, marks = board(team.FIRST + 2), np.zeros((1, 8 + 1 + 3), np.int64)
    with Helpers(1, 2) as door:
        for _ in range(20):
            slept(door, 1)
            slept(door, 2)
            before = time.process_time()
            time.sleep(0.01)
            assert time.process_time() - before < 0.005, "who sleeps uses no processor"
            _mark(team.LEADER, 1, 8, 2, marks, desk, door)
            assert door[team.HELPERS + 2, 0] == 1, "the second was not wanted"
    assert (marks[:, :8] == 20).all()
    assert marks[0, 8 + 1 + 2] == 0


@pytest.mark.jit_only
def test_a_helper_beyond_those_invited_does_not_come_in():
    for number, comes in ((6, True), (7, False)):
        desk, marks = board(team.FIRST + 2), np.zeros((20_000, 8 + 1 + 8), np.int64)
        with Helpers(number, patience=10**6) as door:
            _mark(team.LEADER, 20_000, 8, 7, marks, desk, door)
        assert (marks[:, :8] == 1).all()
        assert (marks[:, 8 + 1 + number].sum() > 0) == comes


# ------------------------------------------------------------------------------------------------------------- pool


def a_step(layer):
    x, y, w, b = layer(1797, 64, 10, "float32")
    return fastbp.step(x, y, w, b), w.tobytes(), b.tobytes()


def naps(name):
    """How often a thread has gone to sleep by itself."""
    (thread,) = (each for each in threading.enumerate() if each.name == name)
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.split("nonvoluntary_ctxt_switches")[0].split("voluntary_ctxt_switches:")[1])


@pytest.mark.jit_only
@pytest.mark.skipif(threads.available() == 1, reason="one processor")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the naps of a thread are read from /proc")
def test_a_sleeping_helper_is_woken_by_the_next_call(layer):
    wanted = a_step(layer)
    door = pool._current.door
    for _ in range(20):
        slept(door, 1)
        before = naps("fastbp-1")
        assert a_step(layer) == wanted
        deadline = time.monotonic() + 60
        while naps("fastbp-1") == before:  # it has woken, looked for another call, and sleeps again
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.mark.jit_only
@pytest.mark.skipif(threads.available() == 1, reason="one processor")
def test_a_caller_that_finds_the_helpers_taken_works_alone(layer):
    wanted = a_step(layer)
    door = pool.engage(2)
    calls = door[team.CALL, 0]
    door[team.TAKEN, 0] = 1
    try:
        assert a_step(layer) == wanted
        assert door[team.CALL, 0] == calls, "nobody was invited"
    finally:
        door[team.TAKEN, 0] = 0
    assert a_step(layer) == wanted
    assert door[team.CALL, 0] == calls + 2


@pytest.mark.jit_only
def test_a_system_that_gives_no_more_threads_costs_only_their_help(layer, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    wanted = a_step(layer)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(pool, "_current", pool.Pool())
    assert a_step(layer) == wanted
    assert a_step(layer) == wanted


@pytest.mark.jit_only
@pytest.mark.skipif(threads.available() == 1, reason="one processor")
def test_a_thread_that_the_system_did_not_give_is_asked_for_again_later(layer, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool, "_current", pool.Pool())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        a_step(layer)
    names = [thread.name for thread in threading.enumerate()]
    a_step(layer)
    assert [thread.name for thread in threading.enumerate()] == names, "not at once: a step would pay for it"
    monkeypatch.setattr(pool._current, "_retry_at", 0.0)
    a_step(layer)
    assert len(threading.enumerate()) == len(names) + 1


@pytest.mark.jit_only
def test_a_pool_that_a_signal_handler_opened_meanwhile_is_the_pool_of_all(monkeypatch):
    monkeypatch.setattr(pool, "_current", None)
    make, made = pool.Pool, []

    def interrupted():
        mine = make()
        made.append(mine)
        if len(made) == 1:
            pool.engage(2)  # the handler's: its helpers are behind the door of the second pool
        return mine

    monkeypatch.setattr(pool, "Pool", interrupted)
    door = pool.engage(2)
    assert door is pool._current.door
    assert door is made[1].door


@pytest.mark.jit_only
@pytest.mark.skipif(threads.available() == 1, reason="one processor")
def test_a_helper_that_is_in_the_callers_own_thread_does_not_stay_there(layer, monkeypatch):
    """As with gevent, which has threads of one thread: whoever helps there would keep the caller from going on."""
    wanted = a_step(layer)
    monkeypatch.setattr(pool, "_current", pool.Pool())
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)
    assert a_step(layer) == wanted
