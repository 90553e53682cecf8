"""`for` over a range as a counter that goes up, or down, from number to number.

To Numba a range is an object that is iterated over: whether its step is 0, how often that fits in, with a division, and
what is left of it at each turn. That took 75 of LLVM's instructions for each loop, a fifth of all intermediate code.

    for i in range(first, stop, step):        counter = first
                                              while (valid := counter < stop):
                                                  i, counter = counter, counter + step

Steps of kernels are above 0, but for those that are written out with a sign.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from numba.core import ir
from numba.core.ir_utils import build_definitions


class _Counter(NamedTuple):
    """The variables that a range becomes, and the comparison of value and stop."""

    value: Any
    stop: Any
    step: Any
    goes_on: Any


def count_ranges(func_ir):
    """Rewrite the loops of a function, before its variables are assigned once."""
    definitions = build_definitions(func_ir.blocks)
    ranges = _ranges(func_ir.blocks, definitions)
    counters: dict[int, _Counter] = {}  # by where the range begins to be gone through
    pairs: dict[str, _Counter] = {}  # by the variable of a number and whether there is one
    for block in func_ir.blocks.values():
        block.body = [new for old in block.body for new in _begin(old, ranges, counters, definitions)]
    for block in func_ir.blocks.values():
        block.body = [new for old in block.body for new in _go_on(old, counters, pairs, definitions)]


def _ranges(blocks, definitions):
    """The calls of range, by the names of the variables that hold what they return."""
    return {
        assignment.target.name: assignment.value
        for block in blocks.values()
        for assignment in block.find_insts(ir.Assign)
        if _operation(assignment) == "call" and _is_range(definitions[assignment.value.func.name])
    }


def _operation(statement):
    """What an assignment assigns: call, getiter ...; None if the statement is no such assignment."""
    return statement.value.op if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr) else None


def _is_range(definitions):
    return any(isinstance(value, ir.Global | ir.FreeVar) and value.value is range for value in definitions)


def _begin(statement, ranges, counters, definitions):
    """What stands for a statement that makes a range, or that begins to go through it."""
    operation = _operation(statement)
    if operation == "call" and statement.target.name in ranges:
        return
    if operation != "getiter" or statement.value.value.name not in ranges:
        yield statement
        return
    target, loc = statement.target, statement.loc
    first, stop, step = _first_stop_step(ranges[statement.value.value.name], loc)
    steps = definitions[step.name] if isinstance(step, ir.Var) else [step]
    falls = all(isinstance(value, ir.Const) and value.value < 0 for value in steps)
    value, end, by = (target.scope.redefine(f"{what}.{target.name}", loc) for what in ("counter", "stop", "step"))
    counters[id(statement.value)] = counter = _Counter(value, end, by, operator.gt if falls else operator.lt)
    yield ir.Assign(first, counter.value, loc)
    yield ir.Assign(stop, counter.stop, loc)  # which the loop may assign anew
    yield ir.Assign(step, counter.step, loc)
    yield ir.Assign(counter.value, target, loc)


def _first_stop_step(call, loc):
    """As range takes them."""
    if len(call.args) == 1:
        return ir.Const(0, loc), call.args[0], ir.Const(1, loc)
    return (*call.args, ir.Const(1, loc))[:3]


def _go_on(statement, counters, pairs, definitions):
    """What stands for a statement that takes the next number of a range."""
    operation = _operation(statement)
    if operation == "iternext":
        counter = counters.get(id(_origin(statement.value.value.name, definitions)))
        if counter is not None:
            pairs[statement.target.name] = counter
            return
    elif operation in ("pair_first", "pair_second") and statement.value.value.name in pairs:
        counter, loc = pairs[statement.value.value.name], statement.loc
        if operation == "pair_first":
            yield ir.Assign(counter.value, statement.target, loc)
            return
        yield ir.Assign(ir.Expr.binop(counter.goes_on, counter.value, counter.stop, loc), statement.target, loc)
        yield ir.Assign(ir.Expr.binop(operator.add, counter.value, counter.step, loc), counter.value, loc)
        return
    yield statement


def _origin(name, definitions):
    """What a variable holds, however often that has been handed on."""
    names, seen = [name], set()
    for name in names:
        for value in definitions[name] if name not in seen else ():
            if not isinstance(value, ir.Var):
                return value
            names.append(value.name)
        seen.add(name)
    return None
