"""Seeded damages of files: of their bytes, and of what they say in JSON."""

import json
import math
import re
import struct

# --------------------------------------------------------------------------------------------------- damages of bytes


def _cut(content, rng):
    return content[: rng.integers(len(content) + 1)]


def _flipped(content, rng):
    damaged = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def _overwritten(content, rng):
    start, end = _chunk(content, rng)
    value = [b"\0", b"\xff", b"\x7f", rng.bytes(1)][rng.integers(4)]
    return content[:start] + value * (end - start) + content[end:]


def _deleted(content, rng):
    start, end = _chunk(content, rng)
    return content[:start] + content[end:]


def _repeated(content, rng):
    start, end = _chunk(content, rng)
    return content[:end] + content[start:end] * rng.integers(1, 4) + content[end:]


def _inserted(content, rng):
    place = rng.integers(len(content) + 1)
    return content[:place] + rng.bytes(rng.integers(1, 33)) + content[place:]


INSANE_TEXTS = [
    b"-1",
    b"0",
    b"nan",
    b"-inf",
    b"1e999",
    b"1e-320",
    b"9" * 19,
    b"9" * 5000,
    b"2147483648",
    b"",
    b"[",
    b'"',
]


def _renumbered(content, rng):
    """With an insane number for one that is written in it as text."""
    found = list(re.finditer(rb"\d[\d.]*(e[+-]?\d+)?", content))
    if not found:
        return _flipped(content, rng)
    number = found[rng.integers(len(found))]
    return content[: number.start()] + INSANE_TEXTS[rng.integers(len(INSANE_TEXTS))] + content[number.end() :]


def _chunk(content, rng):
    start = int(rng.integers(len(content)))
    return start, min(len(content), start + int(rng.integers(1, 65)))


DAMAGES = [_cut, _flipped, _overwritten, _deleted, _repeated, _inserted, _renumbered]


def damaged(content, rng):
    """One to three damages, half of the time only to the beginning, where the headers are."""
    begin = int(rng.integers(1, 257)) if rng.integers(2) else len(content)
    head, rest = content[:begin], content[begin:]
    for _ in range(rng.integers(1, 4)):
        if head:
            head = DAMAGES[rng.integers(len(DAMAGES))](head, rng)
    return head + rest


# ------------------------------------------------------------------------------------------- damages of what is said

INSANE_VALUES = [
    *(None, True, -1, 0, 1, 2, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 2**128 - 1, 10**30, 10**400),
    *(0.5, 5e-324, 1e-300, 1e300, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *("", "x", "nan", "1", "\ud800", "x" * 10_000, [], [[]], [1] * 10_000, {}, {"name": "SGD"}),
]


def misstated(said, rng):
    """A JSON value in which one value of any depth is insane, is missing, or stands twice."""
    said = json.loads(json.dumps(said))
    parent, keys = said, []
    while isinstance(parent, dict | list) and parent:
        keys.append(
            (parent, list(parent)[rng.integers(len(parent))] if isinstance(parent, dict) else rng.integers(len(parent)))
        )
        parent = parent[keys[-1][1]]
    holder, key = keys[rng.integers(len(keys))]
    way = rng.integers(8)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[key] = INSANE_VALUES[rng.integers(len(INSANE_VALUES))]
    return said


def parts_of(content):
    """(header, data) of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def safetensors(header, data=b""):
    """The file of any header, a JSON value or bytes, whatever it says."""
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + data


def misstated_safetensors(content, rng):
    """With insane values in what is said of its tensors, or in the JSON of its metadata."""
    header, data = parts_of(content)
    metadata = header["__metadata__"]
    if rng.integers(5) == 0:
        return safetensors(misstated(header, rng), data)
    key = sorted(metadata)[rng.integers(len(metadata))]
    metadata[key] = json.dumps(misstated(json.loads(metadata[key]), rng))
    return safetensors(header, data)
