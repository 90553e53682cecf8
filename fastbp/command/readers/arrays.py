"""NumPy's own files, NPY and NPZ: read without unpickling, and never more than the file itself can hold."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from fastbp.command.readers.contents import Contents, flattened
from fastbp.command.sizes import BYTES_A_STRING, LARGEST_DEFLATE_RATIO, check_size
from fastbp.command.words import listed


def read_npy(stream: BinaryIO) -> Contents:
    """The table of an NPY file: an array (rows, ...), flattened, or a structured one, whose fields are the columns."""
    array = _array(stream, stream.seek(0, io.SEEK_END))
    if array.ndim == 1 and not array.dtype.names:
        numbers, text = _column("its array", array)
        return Contents(None, numbers[:, np.newaxis], {0: text} if text else {})
    return _structured(array) if array.dtype.names else _matrix("its array", array)


def read_npz(stream: BinaryIO) -> Contents:
    """The table of an NPZ file: x (rows, ...), flattened, with or without y (rows,), or a single array of any name."""
    arrays = npz_arrays(stream)
    if "x" in arrays and set(arrays) <= {"x", "y"}:
        x = _matrix("x", arrays["x"])
        if "y" not in arrays:
            return x
        y = arrays["y"].reshape(-1) if arrays["y"].ndim == 2 and arrays["y"].shape[1] == 1 else arrays["y"]
        if y.shape != x.values.shape[:1]:
            raise ValueError(f"y has shape {y.shape}; ({len(x.values)},) is wanted, after x {x.values.shape}")
        numbers, text = _column("y", y)
        values = np.column_stack([x.values, numbers])
        last = values.shape[1] - 1
        return Contents([*[""] * last, "y"], values, {last: text} if text else {}, x.image)
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        return _structured(array) if array.dtype.names else _matrix(name, array)
    held = ", ".join(sorted(arrays)) or "nothing"
    raise ValueError(f"it holds {held}; arrays x and y are wanted, or a single matrix")


def npz_arrays(stream: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    """Every array of an NPZ file by its name."""
    length = stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        if not members and archive.namelist():
            raise ValueError(f"it is an archive of {listed(archive.namelist())}; what is unpacked from it is wanted")
        check_size(sum(member.file_size for member in members))
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f"{member.filename} is compressed in an unknown way; numpy.savez writes what is wanted"
                )
            if member.file_size > LARGEST_DEFLATE_RATIO * min(member.compress_size, length):
                raise ValueError(f"{member.filename} declares more bytes than the file can hold")
        arrays = {}
        for member in members:
            with archive.open(member) as content:
                arrays[member.filename.removesuffix(".npy")] = _array(content, member.file_size)
                content.read()  # to the end, where the checksum is compared
        return arrays


def _array(stream: IO[bytes], length: int) -> npt.NDArray[Any]:
    """The array of an NPY stream of `length` bytes, once its header is seen to declare no more than those."""
    stream.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers that Python 2 wrote
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, _, dtype = header(stream)
        except MemoryError:  # the parser's, of a deep nesting, or for a length that is not that of a header
            raise ValueError("its header is too long or too deep") from None
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are never unpickled; numbers are wanted")
        if dtype.itemsize == 0:
            raise ValueError(f"it has dtype {dtype}, of no bytes; numbers are wanted")
        held, declared = length - stream.tell(), math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or declared > held:
            raise ValueError(f"it declares {declared:,} bytes of data and holds {held:,}: it is truncated or corrupt")
        check_size(declared)
        stream.seek(0)
        array: npt.NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array


def _matrix(name: str, array: npt.NDArray[Any]) -> Contents:
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}; two dimensions or more (rows, columns) are wanted")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {array.dtype}; real numbers are wanted")
    return flattened(_native(array))


def _structured(array: npt.NDArray[Any]) -> Contents:
    if array.ndim != 1:
        raise ValueError(f"its structured array has shape {array.shape}; one dimension (rows,) is wanted")
    names = list(array.dtype.names or ())
    unusable = {column: what for column, name in enumerate(names) if (what := _unusable(array[name]))}
    nothing: tuple[npt.NDArray[Any], list[str]] = np.full(len(array), np.nan), []
    columns = [nothing if i in unusable else _column(name, array[name]) for i, name in enumerate(names)]
    text = {column: cells for column, (_, cells) in enumerate(columns) if cells}
    return Contents(names, np.column_stack([numbers for numbers, _ in columns]), text, (), unusable)


def _unusable(array: npt.NDArray[Any]) -> str:
    """What a column is that holds neither numbers nor text; nothing is said of another."""
    if array.ndim != 1:
        return f"{math.prod(array.shape[1:])} numbers a row"
    return "" if array.dtype.kind in "fiubUS" else f"dtype {array.dtype}"


def _column(name: str, array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], list[str]]:
    """The numbers of a column, and its cells if it is text."""
    if array.dtype.kind in "fiub":
        return _native(array), []
    if array.dtype.kind in "US":
        check_size(array.nbytes + BYTES_A_STRING * len(array))
    if array.dtype.kind == "U":
        return np.full(len(array), np.nan), [str(cell).strip() for cell in array]
    if array.dtype.kind == "S":
        return np.full(len(array), np.nan), [bytes(cell).decode("utf-8").strip() for cell in array]
    raise ValueError(f"{name} has dtype {array.dtype}; real numbers are wanted, or text for a class")


def _native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`array` in this machine's byte order, long doubles as float64."""
    dtype = np.dtype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array.dtype
    with np.errstate(over="ignore"):
        return array.astype(dtype.newbyteorder("="), copy=False)
