"""Tables that somebody made to do harm: to run code, to fill the memory, to take for ever."""

import gzip
import io
import math
import pickle
import struct
import zipfile

import numpy as np
from table_files import csv_of, idx, npy, npy_header, npy_of, npz, parquet_of, zipped

NUMBERS = np.random.default_rng(20261124).normal(size=(7, 3))


class Trap:
    """Its pickle runs code that makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (self.folder,)


def traps(folder):
    """Files whose unpickling would make the folder."""
    trap = Trap(str(folder))
    array = np.array([[trap, trap]], dtype=object)
    return {
        "objects.npy": npy(array, allow_pickle=True),
        "objects.npz": npz(x=array),
        "field.npy": npy(np.array([(trap, 1.0)], [("a", "O"), ("b", "f8")]), allow_pickle=True),
        **{f"pickle.{ending}": pickle.dumps(trap) for ending in ("npy", "npz", "parquet", "csv", "pkl", "idx")},
        "pickle": zipped("x.npy", pickle.dumps(trap)),
    }


def _npy_of_shape(shape):
    return npy_of(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n")


def _npy_of_dtype(descr):
    return npy_of(f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1, 1)}}\n")


def _bomb(character, length):
    """A gzipped text of one line or character over and over, a thousandth of its size."""
    return gzip.compress(character * (length // len(character)), 9)


def _overlapping_zip(members):
    """An archive whose directory names one compressed member many times."""
    content = zipped("x.npy", npy(np.zeros((1000, 1000))), compression=zipfile.ZIP_DEFLATED)
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    ending = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, members, members, members * len(entry), start, 0)
    return content[:start] + entry * members + ending


def _patched_zip(offset, value):
    """An archive of one array with other bytes at an offset into its directory."""
    content = bytearray(npz(x=NUMBERS))
    at = content.index(b"PK\x01\x02") + offset
    content[at : at + len(value)] = value
    return bytes(content)


def _varint(number):
    """A number as Thrift writes it in Parquet's footer: zigzag, seven bits a byte."""
    number, groups = 2 * number, []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def _parquet_of_rows(rows):
    """A Parquet file of 7777 rows that declares others."""
    content = parquet_of(a=np.arange(7777.0))
    (length,) = struct.unpack("<I", content[-8:-4])
    footer = content[-8 - length : -8].replace(_varint(7777), _varint(rows))
    return content[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _parquet_bomb(column, groups):
    """A small Parquet file that holds a column of many cells so many times over, and says nothing of Arrow."""
    import pyarrow as pa
    from pyarrow import parquet

    stream = io.BytesIO()
    table = pa.table({"a": column})
    with parquet.ParquetWriter(stream, table.schema, compression="zstd", store_schema=False) as writer:
        for _ in range(groups):
            writer.write_table(table)
    return stream.getvalue()


def harmful_tables():
    """Files by name; no two names are alike."""
    import pyarrow as pa

    most = b"\xff\xff\xff\xff"
    million = 1_000_000
    return {
        **{f"empty{ending}": b"" for ending in (".csv", ".npy", ".npz", ".parquet", ".idx", ".gz", "")},
        "terabytes.npy": npy_header((10**12, 10**6)),
        "terabytes-of-text.npy": npy_header((10**6,), "<U99999999"),
        "terabytes-of-fields.npy": npy_header((10**9,), [("a", "<f8"), ("b", "<f8")]),
        "rows-of-nothing.npy": npy_header((10**12,), "<U0"),
        "bytes-of-nothing.npy": npy_header((10**12,), "|S0"),
        "fields-of-nothing.npy": npy_header((10**12,), [("a", "<U0"), ("b", "|S0")]),
        "no-fields.npy": npy_header((10**12,), []),
        "rows-without-columns.npy": npy_header((10**12, 0)),
        "columns-without-rows.npy": npy_header((0, 10**12)),
        "columns-without-rows.npz": zipped("x.npy", npy_header((0, 10**12))),
        "overflow.npy": npy_header((2**63, 2)),
        "overflow-to-nothing.npy": npy_header((2**32, 2**32, 0)),
        "digits.npy": _npy_of_shape(f"({'9' * 4000}, {'9' * 4000})"),
        "more-digits.npy": _npy_of_shape(f"({'9' * 9000},)"),
        **{
            f"shape-{i}.npy": _npy_of_shape(shape)
            for i, shape in enumerate(["(nan,)", "(1e3, 2)", "(True, True)", "()"])
        },
        **{
            f"shape-also-{i}.npy": _npy_of_shape(shape)
            for i, shape in enumerate(["(-1, -8)", "[7, 3]", "7", "(None,)"])
        },
        "dimensions.npy": _npy_of_shape("(" + "1, " * 100 + ")"),
        "subarrays.npy": _npy_of_dtype("('<f8', (10**3, 10**3))"),
        "more-subarrays.npy": _npy_of_dtype("[('a', '<f8', (100000, 100000))]"),
        "unknown-dtype.npy": _npy_of_dtype("'<q9'"),
        "dtype-of-text.npy": _npy_of_dtype("'" + "f8," * 900 + "f8'"),
        "deep-brackets.npy": npy_of("(" * 9000),
        "deep-signs.npy": npy_of("-" * 9000 + "1"),
        "deep-sums.npy": npy_of("1" + "+1" * 4000),
        "call.npy": npy_of("__import__('os').mkdir('trapped')"),
        "long-header.npy": b"\x93NUMPY\x02\x00" + most + b"{",
        "later-version.npy": b"\x93NUMPY\x09\x00" + bytes(200),
        "terabytes.npz": zipped("x.npy", npy_header((10**12, 10**6))),
        "bomb.npz": npz(x=np.zeros((3000, 5000))),
        "overlapping.npz": _overlapping_zip(1000),
        "larger-than-it-is.npz": _patched_zip(24, most),
        "compressed-larger-than-it-is.npz": _patched_zip(20, most),
        "smaller-than-it-is.npz": _patched_zip(24, bytes([9, 0, 0, 0])),
        "encrypted.npz": _patched_zip(8, b"\x01"),
        "elsewhere.npz": _patched_zip(42, b"\xf0\xff\xff\x7f"),
        "nested.npz": zipped("x.npy", npz(x=NUMBERS)),
        "many-members.npz": npz(**{f"a{i}": NUMBERS for i in range(300)}),
        **{f"terabytes-{n}.idx": bytes([0, 0, 14, n]) + most * n for n in (1, 2, 4, 64, 255)},
        "terabytes.idx.gz": gzip.compress(bytes([0, 0, 8, 3]) + most * 3),
        "columns-without-rows.idx": bytes([0, 0, 8, 3]) + bytes(4) + most * 2,
        "rows-without-columns.idx": bytes([0, 0, 8, 2]) + most + bytes(4),
        "bomb.idx.gz": gzip.compress(bytes([0, 0, 8, 2]) + struct.pack(">2I", 8000, 8000) + bytes(64 * million)),
        "not-finite.idx": idx(np.array([[math.nan, math.inf], [1, 2]])),
        "gzip-in-gzip.csv.gz": gzip.compress(gzip.compress(csv_of(NUMBERS).encode())),
        "zeros.csv.gz": _bomb(b"0", 40 * million),
        "nulls.csv.gz": _bomb(b"\0", 40 * million),
        "rows.csv.gz": _bomb(b"1,2\n", 40 * million),
        "words.csv.gz": _bomb(b"a,b\n", 40 * million),
        "columns.csv.gz": _bomb(b"1,", 16 * million),
        "empty-columns.csv.gz": _bomb(b",", 16 * million),
        "names.csv.gz": gzip.compress(",".join(f"n{i}" for i in range(million)).encode()),
        "quotes.csv.gz": _bomb(b'"', 16 * million),
        "quoted-lines.csv.gz": gzip.compress(b'a,b\n"' + b"\n" * million),
        "blank-lines.csv.gz": _bomb(b"\n", 20 * million),
        "not-utf-8.csv": b"a,b\n1,\xff\n",
        "not-utf-8-but-nearly.csv": b"a,b\n1,\xed\xa0\x80\n",
        "utf-16.csv": "a,b\n1,2\n".encode("utf-16"),
        "null.csv": b"a,b\n1,\0\n",
        "numbers.csv": b"a,b\n1e999,-1e999\n1,2\n",
        "long-numbers.csv": b"a,b\n" + b"9" * 5000 + b",2\n1,2\n",
        "names-of-nan.csv": b"nan,inf\nnan,inf\n",
        "escapes.csv": b"\x1b[2J,b\n1,\x1b]0;x\x07\n",
        **{f"rows-{n}.parquet": _parquet_of_rows(n) for n in (0, 7776, 7778, 2**31, 2**62)},
        "bomb.parquet": _parquet_bomb(pa.array(np.zeros(million)), 2),
        "bomb-of-nulls.parquet": _parquet_bomb(pa.nulls(million, pa.float64()), 2),
        "bomb-of-words.parquet": _parquet_bomb(pa.array(["x"] * million), 2),
        "bomb-of-a-long-word.parquet": _parquet_bomb(
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, "i4")), pa.array(["x" * 100_000])), 1
        ),
        "nested.parquet": parquet_of(a=pa.array([[1.0], [2.0]])),
        "not-finite.parquet": parquet_of(a=[math.nan, math.inf], b=[1.0, 2.0]),
        "names.parquet": parquet_of(**{f"n{i}": [1.0] for i in range(2000)}),
        "decimals.parquet": parquet_of(a=pa.array([10**30], pa.decimal128(38, 0)), b=[1]),
    }
