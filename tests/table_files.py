"""Files of tables, made by hand, for tests of what is read and what is refused."""

import io
import zipfile

import numpy as np
import pytest


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy_of(header):
    """An NPY file with this text for its header."""
    text = header.encode("latin-1")
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + bytes(64)


def npy_header(shape, dtype="<f8"):
    """An NPY file that declares a shape and then ends."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def idx(array):
    """An IDX file, in big-endian numbers of the array's dtype."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def zipped(name, content, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def parquet_of(**columns):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def csv_of(numbers, separator=",", newline="\n"):
    return newline.join(separator.join(map(repr, row)) for row in numbers.tolist()) + newline
