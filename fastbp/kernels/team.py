"""How threads work together on one call: a leader, whose call it is, and helpers that come as they can.

Nobody waits for a helper that has not come. The leader goes from line to line of its program (`program`); a line has
tasks, which the leader and whoever has come take one by one; it is over when every task that was taken is done. So a
thread that the system has put aside, or has not woken yet, costs its help and nothing more.

A door, one for a pool of helpers, where they look for a call to join:
    CALL    counts up when a call begins and when it ends: a call is open while it is odd; CLOSED sends helpers home
    TAKEN   1 while the door belongs to a leader: the calls of other threads do without helpers
    TASK    what to call
    WORKERS how many may take part, the leader included
    INSIDE  helpers that are inside the call
    HELPERS and on, two for each: 1 if it is asleep, and the bell that wakes it

A desk, one for a call, where the tasks are given out:
    LINE    the line that is worked on
    DONE    tasks of it that are done
    FIRST   and on, for each worker: its line and the next of its tasks, as line << 32 | task
"""

from __future__ import annotations

from fastbp.kernels.jit import entry, inlined
from fastbp.tiles.atomics import add, board, exchange, give_way, pause, read, ring, sleep, write
from fastbp.tiles.calls import enter

CALL, TAKEN, TASK, WORKERS, INSIDE, HELPERS = range(6)
LINE, DONE, FIRST = range(3)

LEADER = 0
NOT_BEGUN, OVER = -1, 1 << 62
CLOSED = -1

# Looks before a thread that waits for another one gives way to those that want its core: some 20 us here.
LOOKS_BEFORE_YIELDING = 500
# Looks before a worker that has nothing left to do takes the tasks of one that is at work: some 3 us here.
LOOKS_BEFORE_STEALING = 100


@inlined
def _look_again(board, looks):
    """Between two looks at a board; the number of the next look."""
    if looks < LOOKS_BEFORE_YIELDING:
        pause(board)
    else:
        give_way(board)
    return looks + 1


@inlined
def open_line(desk, line, workers):
    """Give out the tasks of a line; a line for one worker is not announced, since it is the leader's."""
    write(desk, DONE, 0)
    for owner in range(workers):
        write(desk, FIRST + owner, line << 32)
    if workers > 1:
        write(desk, LINE, line)


@inlined
def next_line(desk, line):
    """Wait for `line` or one after it; the number of that, or OVER."""
    looks = 0
    while read(desk, LINE) < line:
        looks = _look_again(desk, looks)
    return read(desk, LINE)


@inlined
def claim(desk, owner, line, count):
    """The next of the `count` tasks of an owner, or `count` if there is none or the line is over."""
    while True:
        ticket = read(desk, FIRST + owner)
        task = ticket - (line << 32)
        if task >= count:  # also if the line is over: tickets only grow
            return count
        if exchange(desk, FIRST + owner, ticket, ticket + 1):
            return task


@inlined
def wait_before_stealing(desk, owner, line, count):
    """Leave an owner that is at work its tasks for a while: their rows would have to come from its core's cache."""
    looks = 0
    ticket = read(desk, FIRST + owner)
    while looks < LOOKS_BEFORE_STEALING and ticket > line << 32 and ticket < (line << 32) + count:
        pause(desk)
        looks += 1
        ticket = read(desk, FIRST + owner)


@inlined
def await_tasks(desk, tasks):
    """Wait until all tasks of the line are done."""
    looks = 0
    while read(desk, DONE) < tasks:
        looks = _look_again(desk, looks)


@inlined
def take(door):
    """Whether the door is there, and the caller's from now on until it dismisses its helpers."""
    return door.shape[0] > 0 and exchange(door, TAKEN, 0, 1)


@inlined
def invite(door, desk, workers):
    """Begin a call that is laid open at the door, and wake the helpers that are wanted and asleep."""
    write(desk, LINE, NOT_BEGUN)
    write(door, WORKERS, workers)
    write(door, CALL, read(door, CALL) + 1)
    helpers = (door.shape[0] - HELPERS) // 2
    for helper in range(min(helpers, workers - 1)):
        if exchange(door, HELPERS + 2 * helper, 1, 0):
            ring(door, HELPERS + 2 * helper + 1)


@inlined
def dismiss(door, desk):
    """End a call: its helpers leave, no other comes in, and the door is anybody's again."""
    write(desk, LINE, OVER)
    write(door, CALL, read(door, CALL) + 1)
    looks = 0
    while read(door, INSIDE) > 0:
        looks = _look_again(door, looks)
    write(door, TAKEN, 0)


@entry(lambda _: (board(FIRST), 1, 1))
def help_out(door, worker, patience):
    """Join one call after the other, until the door is closed. After so many looks without a call: sleep.

    It runs without the interpreter and never asks for it: who waits for the interpreter's lock while another thread
    calls one kernel after the other may wait for good.
    """
    asleep = HELPERS + 2 * (worker - 1)
    known = 0
    looks = 0
    call = read(door, CALL)
    while call != CLOSED:
        if call % 2 == 1 and call != known:
            known = call
            looks = 0
            add(door, INSIDE, 1)
            if read(door, CALL) == call and worker < read(door, WORKERS):  # it has not ended in between
                enter(door, TASK, worker)
            add(door, INSIDE, -1)
        elif looks < patience:
            pause(door)
            looks += 1
        else:
            looks = 0
            write(door, asleep, 1)
            if read(door, CALL) == call or not exchange(door, asleep, 1, 0):  # else a call has come in between
                sleep(door, asleep + 1)
        call = read(door, CALL)
