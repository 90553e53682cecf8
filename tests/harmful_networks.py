"""What somebody may do to the file of a network or a model so that it does harm."""

import json
import math
import pickle
import struct

import numpy as np
from damages import parts_of, safetensors


def _said(changes, key="fastbp"):
    """A damage of a safetensors file that says something else of a network, or of what is beside it."""

    def change(content):
        header, data = parts_of(content)
        said = json.loads(header["__metadata__"][key])
        header["__metadata__"][key] = json.dumps(said | changes)
        return safetensors(header, data)

    return change


def _declared(**changes):
    """A damage of a safetensors file that declares something else of each tensor."""

    def change(content):
        header, data = parts_of(content)
        return safetensors(
            {name: said if name == "__metadata__" else said | changes for name, said in header.items()}, data
        )

    return change


def _metadata(**changes):
    def change(content):
        header, data = parts_of(content)
        return safetensors(header | {"__metadata__": header["__metadata__"] | changes}, data)

    return change


def _in_slot(slot, value):
    """A damage of a safetensors file that has a value in all of what the optimizer remembers in a slot."""

    def change(content):
        header, data = parts_of(content)
        data = bytearray(data)
        for name, said in header.items():
            if name.startswith(slot):
                start, end = said["data_offsets"]
                data[start:end] = np.full((end - start) // 4, value, "<f4").tobytes()
        return safetensors(header, bytes(data))

    return change


def _adam(**changes):
    usual = {"name": "Adam", "learning_rate": 0.001, "weight_decay": 0.0, "clip_norm": None, "beta1": 0.9}
    return _said({"optimizer": usual | {"beta2": 0.999, "epsilon": 1e-8} | changes})


def _schedule(**changes):
    return _adam(
        learning_rate={"name": "CosineDecay", "initial": 0.1, "steps": 10, "final": 0.0, "warmup": 0} | changes
    )


PCG64 = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}
LENGTHS = (0, 1, 2**27, 2**31, 2**63, 2**64 - 1)

# What is done to a file of a network, or of a model, in float32 with Adam.
HARMFUL_NETWORKS = {
    "empty": lambda content: b"",
    "eight bytes": lambda content: bytes(8),
    "text": lambda content: b"weights = 1\n" * 100,
    "a pickle": lambda content: pickle.dumps(content),
    **{f"a header of {n} bytes": lambda content, n=n: struct.pack("<Q", n) + content[8:] for n in LENGTHS},
    "deep header": lambda content: safetensors(b"[" * 1_000_000),
    "header not UTF-8": lambda content: safetensors(b'{"\xff": 1}'),
    "long header": lambda content: safetensors(b" " * 5_000_000 + b"{}"),
    "header of names": lambda content: safetensors(dict.fromkeys(map(str, range(10_000)), 1)),
    "header a list": lambda content: safetensors([]),
    "no header": lambda content: safetensors({}),
    "overlapping tensors": _declared(data_offsets=[0, 4]),
    "negative offsets": _declared(data_offsets=[-4, 0]),
    "turned offsets": _declared(data_offsets=[4, 0]),
    "offsets beyond": _declared(data_offsets=[0, 2**63]),
    "shape of terabytes": _declared(shape=[10**6, 10**6]),
    "shape that overflows": _declared(shape=[2**32, 2**32, 2**32]),
    "shape of many dimensions": _declared(shape=[1] * 10_000),
    "tensors of bytes": _declared(dtype="U8"),
    "tensors of half bytes": _declared(dtype="F4"),
    "tensors of unknown numbers": _declared(dtype="Q9"),
    "metadata not JSON": _metadata(fastbp="fastbp"),
    "metadata a number": _metadata(fastbp="5"),
    "metadata deep": _metadata(fastbp="[" * 1_000_000),
    "metadata nested deeply": _metadata(fastbp='{"format":' * 100_000),
    "metadata of digits": _metadata(fastbp='{"format":' + "9" * 1_000_000 + "}"),
    "metadata of long words": _said({"format": "x" * 1_000_000}),
    "a layer of a billion units": _said({"sizes": [3, 10**9, 2]}),
    "a hundred thousand layers": _said({"sizes": [1] * 100_000, "activations": ["relu"] * 99_999}),
    "a hundred thousand layers of nothing": _said({"sizes": [0] * 100_000}),
    "sizes of half units": _said({"sizes": [3.5, 4, 2]}),
    "sizes of long words": _said({"sizes": "x" * 1_000_000}),
    "sizes of digits": _said({"sizes": [10**4000, 10**4000]}),
    "activation of a long name": _said({"activations": ["x" * 1_000_000] * 2}),
    "dtype of fields": _said({"dtype": "f4,f4"}),
    "dtype of objects": _said({"dtype": "O"}),
    "updates that are not finite": _said({"updates": float("inf")}),
    **{f"{n} updates": _said({"updates": n}) for n in (2**53, 2**63 - 1, 2**64, 10**400)},
    "a seed of digits": _said({"seed": 10**4000}),
    **{f"a rate of {rate}": _adam(learning_rate=rate) for rate in (0, -1, math.nan, math.inf, 1e-60, 1e60, 10**400)},
    **{f"a beta of {beta}": _adam(beta2=beta) for beta in (1, -1, math.nan, 1e-300, 1 - 2**-53)},
    **{f"an epsilon of {value}": _adam(epsilon=value) for value in (0, math.nan, 1e-300, 1e300)},
    **{f"a weight decay of {value}": _adam(weight_decay=value) for value in (-1, math.nan, 1e300)},
    **{f"a norm of {value}": _adam(clip_norm=value) for value in (0, math.nan, 1e-300, 1e300, "1")},
    **{f"a warm-up of {n} steps": _schedule(warmup=n) for n in (-1, 0.5, 2**53, 2**63, 10**400)},
    **{f"a decay of {n} steps": _schedule(steps=n) for n in (0, math.nan, 2**53, 2**63, 10**400)},
    **{f"a final rate of {value}": _schedule(final=value) for value in (-1, math.nan, 1e300)},
    "a schedule in a schedule": _schedule(initial={"name": "CosineDecay"}),
    "an unknown optimizer": _adam(name="__import__"),
    "random numbers of another kind": _said({"random": PCG64 | {"bit_generator": "MT19937"}}),
    "random numbers without a state": _said({"random": PCG64 | {"state": None}}),
    "random numbers beyond their state": _said({"random": PCG64 | {"state": {"state": 2**200, "inc": -1}}}),
    "random numbers in halves": _said({"random": PCG64 | {"has_uint32": 0.5, "uinteger": 10**30}}),
    "a negative second moment": _in_slot("second.", -1.0),
    "a moment that is not finite": _in_slot("first.", math.nan),
}

# What is done to a file of a model of values.
HARMFUL_MODELS = {
    "no names": _said({"names": []}, "extra"),
    "names that are no texts": _said({"names": [[]] * 3}, "extra"),
    "names of long words": _said({"names": "x" * 1_000_000}, "extra"),
    "a target that is no text": _said({"target": {"name": 1}}, "extra"),
    "half a character for a name": _said({"names": ["a", "b", "\ud800"]}, "extra"),
    "half a character for a target": _said({"target": "\ud800"}, "extra"),
    "half a character for a label": _said({"labels": ["\ud800"]}, "extra"),
    "named by a text": _said({"named": "no"}, "extra"),
    "a mean in words": _said({"mean": "1e5"}, "extra"),
    "a true mean": _said({"mean": True}, "extra"),
    "a deviation of digits": _said({"deviation": 10**400}, "extra"),
    **{f"a mean of {value}": _said({"mean": value}, "extra") for value in (math.nan, math.inf, 1e308, -1e308)},
    **{f"a deviation of {n}": _said({"deviation": n}, "extra") for n in (0, -1, math.nan, math.inf, 1e308, 5e-324)},
    "extra nested deeply": _metadata(extra="[" * 1_000_000),
    "extra a list": _metadata(extra="[]"),
    "extra of digits": _metadata(extra='{"format":' + "9" * 1_000_000 + "}"),
}
