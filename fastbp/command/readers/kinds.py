"""Which kind a file is of, told by its ending or its first bytes, and its reader."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from fastbp.command.readers import arrays, idx, parquet, text
from fastbp.command.readers.contents import Contents

ENDINGS = {".npy": "NPY", ".npz": "NPZ", ".parquet": "Parquet", ".pq": "Parquet"}
MAGIC = {b"\x93NUMPY": "NPY", b"PK\x03\x04": "NPZ", b"PAR1": "Parquet"}
IDX_NAME = re.compile(r"[.-]idx\d*(-ubyte)?(\.gz)?$")  # as in train-images-idx3-ubyte
GZIP = b"\x1f\x8b"


def is_gzipped(stream: io.BufferedReader) -> bool:
    """Whether a file is; the stream stays where it is, at its beginning."""
    return stream.peek(8).startswith(GZIP)


def kind_of(name: str, stream: io.BufferedReader) -> str:
    """The kind of a file of that name; what none of the others is, is CSV."""
    if ending := ENDINGS.get(Path(name).suffix.lower()):
        return ending
    start = stream.peek(8)[:8]
    if IDX_NAME.search(name.lower()) or idx.is_idx(_unpacked(stream) if start.startswith(GZIP) else start[:4]):
        return "IDX"
    return next((MAGIC[magic] for magic in MAGIC if start.startswith(magic)), "CSV")


def _unpacked(stream: io.BufferedReader) -> bytes:
    """The first bytes of what was gzipped, as far as they can be read; then the stream is where it was."""
    try:
        return gzip.GzipFile(fileobj=stream).read(4)
    except (OSError, EOFError, zlib.error):
        return b""
    finally:
        stream.seek(0)


def read(kind: str, stream: io.BufferedReader, header: bool | None, expected: Sequence[str]) -> Contents:
    """The table of a file of that kind; `header` and `expected` are those of `tables.read_table`."""
    if kind == "NPY":
        return arrays.read_npy(stream)
    if kind == "NPZ":
        return arrays.read_npz(stream)
    if kind == "Parquet":
        return parquet.read(stream)
    gzipped = is_gzipped(stream)
    return idx.read(stream, gzipped) if kind == "IDX" else text.read(stream, gzipped, header, expected)
