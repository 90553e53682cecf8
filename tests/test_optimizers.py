"""Schedules and optimizers as settings: the rates they give, what they refuse, and that they survive JSON.

What optimizers do to a network is in test_network.py.
"""

import json
import math

import numpy as np
import pytest

from fastbp import optimizers
from fastbp.optimizers import SGD, Adam, AdamW
from fastbp.schedules import CosineDecay, StepDecay

# a schedule, and its rates for step 0, 1, ...
RATES = [
    (StepDecay(8, every=2, factor=0.5), [8, 8, 4, 4, 2, 2, 1]),
    (StepDecay(8, every=1, factor=0.5), [8, 4, 2, 1]),
    (StepDecay(3, every=2, factor=1), [3, 3, 3, 3]),
    (StepDecay(8, every=2, factor=0.5, warmup=4), [2, 4, 6, 8, 8, 8, 4, 4, 2]),
    (StepDecay(8, every=2, factor=0.5, warmup=1), [8, 8, 8, 4, 4]),
    (CosineDecay(4, steps=4), [4, 2 + 2 * 0.5**0.5, 2, 2 - 2 * 0.5**0.5, 0, 0, 0]),
    (CosineDecay(4, steps=2, final=1), [4, 2.5, 1, 1]),
    (CosineDecay(1, steps=2, final=4), [1, 2.5, 4, 4]),
    (CosineDecay(4, steps=1), [4, 0, 0]),
    (CosineDecay(4, steps=2, warmup=2), [2, 4, 4, 2, 0, 0]),
]


@pytest.mark.parametrize(("schedule", "rates"), RATES, ids=str)
def test_rates_are_those_of_the_formula(schedule, rates):
    assert [schedule(step) for step in range(len(rates))] == pytest.approx(rates, rel=1e-15, abs=1e-15)


def test_cosine_decay_begins_and_ends_exactly():
    schedule = CosineDecay(0.1, steps=1000, final=0.003)
    assert (schedule(0), schedule(1000), schedule(10**9)) == (0.1, 0.003, 0.003)


def test_step_decay_fades_to_nothing_without_an_error():
    assert StepDecay(0.1, every=1)(10**6) == 0


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        (StepDecay(1.0, every=1), 2**53, 0),
        (StepDecay(1e300, every=1, warmup=2**53), 2**51 - 1, 2.5e299),
        (CosineDecay(1.0, steps=2**53, final=2.0), 2**52, 1.5),
        (CosineDecay(1e300, steps=1, warmup=2**53), 2**51 - 1, 2.5e299),
    ],
    ids=lambda value: f"{value}"[:40] if not isinstance(value, int) else "",
)
def test_no_number_of_updates_is_too_large(schedule, step, rate):
    assert schedule(step) == pytest.approx(rate, rel=1e-12)


def test_step_decay_falls_by_ten_unless_told_otherwise():
    assert StepDecay(1, every=1)(1) == 0.1


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
def test_rate_is_the_number_or_that_of_the_schedule(optimizer):
    assert optimizer(learning_rate=0.25).rate(7) == optimizer(0.25).rate(7) == 0.25
    assert optimizer(learning_rate=StepDecay(8, every=2, factor=0.5)).rate(2) == 4


def test_defaults_are_the_promised_ones():
    assert SGD() == SGD(learning_rate=0.01, momentum=0, nesterov=False, weight_decay=0, clip_norm=None)
    promised = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "clip_norm": None}
    assert Adam() == Adam(**promised, weight_decay=0)
    assert AdamW() == AdamW(**promised, weight_decay=0.01)


def test_adam_and_adamw_are_not_equal():
    assert Adam(weight_decay=0.01) != AdamW(weight_decay=0.01)


def test_slots_are_what_the_formulas_remember():
    assert [o.slots for o in (SGD(), SGD(momentum=0.9), Adam(), AdamW())] == [0, 1, 2, 2]


def test_numbers_of_numpy_become_plain():
    optimizer = SGD(learning_rate=np.float32(0.5), momentum=np.float64(0.25), nesterov=np.True_, clip_norm=np.int64(2))
    assert [type(value) for value in vars(optimizer).values()] == [float, float, bool, float, float]
    assert optimizer == SGD(learning_rate=0.5, momentum=0.25, nesterov=True, clip_norm=2)
    assert [type(value) for value in vars(StepDecay(np.int64(1), np.int8(2))).values()] == [float, int, float, int]


@pytest.mark.parametrize("made", [SGD(), Adam(), StepDecay(1, 1), CosineDecay(1, 1)], ids=str)
def test_settings_cannot_change_unchecked(made):
    with pytest.raises(AttributeError, match="cannot assign"):
        made.warmup = made.learning_rate = -1


# -------------------------------------------------------------------------------------------------------- refusals


class Own(StepDecay):
    """A schedule that nobody but its class knows."""


NO_POSITIVE = [0, -0.1, math.nan, math.inf, 10**400, None, "0.1", True, 1j, [0.1]]
NEGATIVE = [-1e-9, -1, math.nan, math.inf, "0", None, False]
NO_FRACTION = [*NEGATIVE, 1, 1.5]
NO_COUNT = [0, -1, 1.5, 2.0, None, "3", True, 2**53 + 1, 10**400]
NO_WARMUP = [-1, 1.5, None, True, 2**53 + 1, 10**400]
OPTIONAL = [value for value in NO_POSITIVE if value is not None]

# what is made, its other arguments, the argument, its bad values, what is wanted
REFUSED = [
    (StepDecay, {"every": 1}, "initial", NO_POSITIVE, "a positive number is wanted"),
    (StepDecay, {"initial": 1}, "every", NO_COUNT, "1 or more|a whole number|9007199254740992 at most"),
    (StepDecay, {"initial": 1, "every": 1}, "factor", [*NO_POSITIVE, 1.5], "a positive number of 1 at most is wanted"),
    (StepDecay, {"initial": 1, "every": 1}, "warmup", NO_WARMUP, "0 or more|a whole number|9007199254740992 at most"),
    (CosineDecay, {"steps": 1}, "initial", NO_POSITIVE, "a positive number is wanted"),
    (CosineDecay, {"initial": 1}, "steps", NO_COUNT, "1 or more|a whole number|9007199254740992 at most"),
    (CosineDecay, {"initial": 1, "steps": 1}, "final", NEGATIVE, "a number of 0 or more is wanted"),
    (CosineDecay, {"initial": 1, "steps": 1}, "warmup", NO_WARMUP, "0 or more|a whole number|9007199254740992 at most"),
    (SGD, {}, "momentum", NO_FRACTION, "a number of 0 or more and below 1 is wanted"),
    (SGD, {"momentum": 0.9}, "nesterov", [0, 1, None, "yes"], "True or False is wanted"),
    (SGD, {}, "nesterov", [True], "a momentum above 0 is wanted"),
    (Adam, {}, "beta1", NO_FRACTION, "a number of 0 or more and below 1 is wanted"),
    (Adam, {}, "beta2", NO_FRACTION, "a number of 0 or more and below 1 is wanted"),
    (Adam, {}, "epsilon", NO_POSITIVE, "a positive number is wanted"),
]
for optimizer in (SGD, Adam, AdamW):
    no_rate = [*NO_POSITIVE, SGD(), lambda step: 0.1, {"name": "StepDecay"}, Own(0.1, every=1)]
    REFUSED += [
        (optimizer, {}, "learning_rate", no_rate, "a positive number, StepDecay or CosineDecay is wanted"),
        (optimizer, {}, "weight_decay", NEGATIVE, "a number of 0 or more is wanted"),
        (optimizer, {}, "clip_norm", OPTIONAL, "None or a positive number is wanted"),
    ]


@pytest.mark.parametrize(("make", "others", "argument", "values", "wanted"), REFUSED)
def test_what_cannot_be_is_refused_by_name(make, others, argument, values, wanted):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=rf"^{argument} is .*({wanted})"):
            make(**others, **{argument: value})


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
def test_settings_but_the_learning_rate_go_by_name_alone(optimizer):
    with pytest.raises(TypeError, match="positional"):
        optimizer(0.1, 0.9)


@pytest.mark.parametrize("value", ["adam", SGD, None, 0.1, StepDecay(1, 1)], ids=str)
def test_what_is_no_optimizer_is_refused(value):
    with pytest.raises(TypeError, match=r"^optimizer is .*; SGD or Adam or AdamW is wanted"):
        optimizers.checked(value, np.dtype("float32"))


# ------------------------------------------------------------------------------------------------------------ JSON

ALL = [
    SGD(),
    SGD(learning_rate=0.3, momentum=0.9, nesterov=True, weight_decay=1e-4, clip_norm=2),
    SGD(learning_rate=StepDecay(0.1, every=10, factor=0.5, warmup=3)),
    Adam(),
    Adam(learning_rate=CosineDecay(0.1, steps=100, final=0.01, warmup=5), beta1=0.8, beta2=0.99, epsilon=1e-6),
    AdamW(weight_decay=0.1, clip_norm=0.5),
]


@pytest.mark.parametrize("optimizer", ALL, ids=str)
def test_an_optimizer_survives_json(optimizer):
    read = optimizers.from_dict(json.loads(json.dumps(optimizer.to_dict(), allow_nan=False)))
    assert read == optimizer
    assert type(read) is type(optimizer)


def test_the_dictionary_is_plain():
    rate = {"name": "StepDecay", "initial": 0.1, "every": 10, "factor": 0.5, "warmup": 0}
    assert SGD(learning_rate=StepDecay(0.1, 10, 0.5), momentum=0.9).to_dict() == {
        "name": "SGD",
        "learning_rate": rate,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
        "clip_norm": None,
    }


GOOD = SGD().to_dict()
SCHEDULE = SGD(learning_rate=StepDecay(0.1, 10)).to_dict()["learning_rate"]
MALFORMED = {
    "no dictionary": (None, "optimizer is None; a dictionary is wanted"),
    "a list": ([GOOD], "a dictionary is wanted"),
    "empty": ({}, "optimizer has the name None; 'SGD' or 'Adam' or 'AdamW' is wanted"),
    "another name": (GOOD | {"name": "Lion"}, "optimizer has the name 'Lion'"),
    "a name that is a list": (GOOD | {"name": ["SGD"]}, "optimizer has the name"),
    "a schedule alone": (SCHEDULE, "optimizer has the name 'StepDecay'"),
    "a field too many": (GOOD | {"beta1": 0.9}, "'beta1'; 'name', 'learning_rate', .* are wanted"),
    "a field that is no text": (GOOD | {1: 2}, "optimizer has .*, 1; .* are wanted"),
    "a field too few": ({"name": "SGD", "learning_rate": 0.1}, "optimizer has 'name', 'learning_rate'; 'name', .* are"),
    "fields of another": (GOOD | {"name": "Adam"}, "are wanted"),
    "a bad number": (GOOD | {"momentum": 2}, "momentum is 2"),
    "text for a number": (GOOD | {"momentum": "0.9"}, "momentum is '0.9'"),
    "an optimizer for a rate": (GOOD | {"learning_rate": GOOD}, "learning_rate has the name 'SGD'; 'StepDecay' or"),
    "a list for a rate": (GOOD | {"learning_rate": [0.1]}, r"learning_rate is \[0.1\]"),
    "a bad schedule": (GOOD | {"learning_rate": SCHEDULE | {"every": 0}}, "every is 0; 1 or more is wanted"),
    "half a schedule": (GOOD | {"learning_rate": {"name": "StepDecay"}}, "learning_rate has 'name'; 'name', 'initial'"),
}


@pytest.mark.parametrize(("values", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_dictionary_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        optimizers.from_dict(values)


@pytest.mark.parametrize("step", [0, 1])
def test_cosine_decay_of_the_largest_rates_does_not_overflow(step):
    assert CosineDecay(1.7e308, steps=10**9, final=1.7e308)(step) == pytest.approx(1.7e308, rel=1e-12)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_class_derived_from_an_optimizer_is_none_of_them(kind):
    """Its rule would not be followed, and a file could not say what it is."""
    derived = type("Derived", (kind,), {})
    with pytest.raises(TypeError, match=r"^optimizer is .*; SGD or Adam or AdamW is wanted"):
        optimizers.checked(derived(), np.dtype("float32"))
