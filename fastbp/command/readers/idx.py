"""IDX, the format of MNIST, plain or gzipped: a magic number, the size of each dimension, big-endian numbers."""

from __future__ import annotations

import gzip
import io
import math
from typing import Any, BinaryIO

import numpy as np

from fastbp.command.readers.contents import Contents, flattened
from fastbp.command.sizes import LARGEST_DEFLATE_RATIO, check_size

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
BYTES_A_READ = 1 << 24


def is_idx(start: bytes) -> bool:
    """Whether a file that begins with these four bytes is one: two zeros, the code of a dtype, the dimensions."""
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in DTYPES and start[3] > 0


def read(stream: BinaryIO, gzipped: bool) -> Contents:
    """The table of an IDX file: a row for each element of its first dimension."""
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    content: Any = gzip.GzipFile(fileobj=stream) if gzipped else stream
    magic = content.read(4)
    if not is_idx(magic):
        raise ValueError(f"it begins with {magic.hex(' ') or 'nothing'}; 00 00, a dtype and the dimensions are wanted")
    sizes = content.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError("it ends within its header: it is truncated")
    shape, dtype = np.frombuffer(sizes, ">u4").tolist(), np.dtype(DTYPES[magic[2]])
    declared = math.prod(shape) * dtype.itemsize
    held = LARGEST_DEFLATE_RATIO * length if gzipped else length - len(magic) - len(sizes)
    if declared > held or (declared < held and not gzipped):
        most = "at most " if gzipped else ""
        raise ValueError(f"it declares {declared:,} bytes of data and holds {most}{held:,}: it is truncated or corrupt")
    check_size(declared)
    array = np.empty(shape, dtype)
    memory, done = array.reshape(-1).view(np.uint8), 0
    while count := content.readinto(memory[done : done + BYTES_A_READ]):
        done += count
    if done < declared or content.read(1):  # to the end, where the checksum of a gzipped file is compared
        raise ValueError(f"it declares {declared:,} bytes of data and holds {'fewer' if done < declared else 'more'}")
    return flattened(array.astype(dtype.newbyteorder("="), copy=False))
