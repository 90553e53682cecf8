"""Tables from files: what is recognised, what is refused and how, and that no file is trusted."""

import contextlib
import gzip
import io
import json
import os
import re
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from table_files import csv_of, idx, npy, npy_header, npy_of, npz, parquet_of, zipped

from fastbp.command import sizes, tables, words
from fastbp.command.readers import text
from fastbp.command.sizes import ROWS_A_BLOCK
from fastbp.command.tables import Table, read_table

RNG_SEED = 20240607
NUMBERS = np.random.default_rng(RNG_SEED).normal(size=(7, 3))


@pytest.fixture
def write(tmp_path):
    """write(name, content) -> path: text as UTF-8, bytes as they are."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# name of the case: file name, content; each holds NUMBERS
SAME_NUMBERS = {
    "comma": ("a.csv", csv_of(NUMBERS)),
    "semicolon": ("a.csv", csv_of(NUMBERS, ";")),
    "tab": ("a.tsv", csv_of(NUMBERS, "\t")),
    "spaces after commas": ("a.csv", csv_of(NUMBERS, ", ")),
    "windows line ends": ("a.csv", csv_of(NUMBERS, newline="\r\n")),
    "old line ends": ("a.csv", csv_of(NUMBERS, newline="\r")),
    "no last line end": ("a.csv", csv_of(NUMBERS).rstrip()),
    "blank lines": ("a.csv", "\n\n" + csv_of(NUMBERS).replace("\n", "\n\n")),
    "byte order mark": ("a.csv", "\ufeff" + csv_of(NUMBERS)),
    "gzip": ("a.csv.gz", gzip.compress(csv_of(NUMBERS).encode())),
    "gzip without its ending": ("a.data", gzip.compress(csv_of(NUMBERS).encode())),
    "header": ("a.csv", "a,b,c\n" + csv_of(NUMBERS)),
    "header after a byte order mark": ("a.csv", "\ufeff" + '"a","b","c"\n' + csv_of(NUMBERS)),
    "header of numbers, as pandas writes": ("a.csv", "0,1,c\n" + csv_of(NUMBERS)),
    "matrix": ("a.npy", npy(NUMBERS)),
    "matrix of another ending": ("a.dat", npy(NUMBERS)),
    "Fortran order": ("a.npy", npy(np.asfortranarray(NUMBERS))),
    "big-endian": ("a.npy", npy(NUMBERS.astype(">f8"))),
    "long doubles": ("a.npy", npy(NUMBERS.astype(np.longdouble))),
    "structured": ("a.npy", npy(np.rec.fromarrays(list(NUMBERS.T), names="a,b,c"))),
    "archive of one matrix": ("a.npz", npz(anything=NUMBERS)),
    "idx": ("a.idx", idx(NUMBERS)),
    "idx of any name": ("a", idx(NUMBERS)),
    "idx of images": ("a-idx3", idx(NUMBERS.reshape(7, 3, 1))),
    "gzipped idx": ("a.gz", gzip.compress(idx(NUMBERS))),
    "images": ("a.npy", npy(NUMBERS.reshape(7, 1, 3))),
    "x of images": ("a.npz", npz(x=NUMBERS.reshape(7, 1, 3))),
    "x": ("a.npz", npz(x=NUMBERS)),
    "x and y": ("a.npz", npz(x=NUMBERS[:, :2], y=NUMBERS[:, 2])),
    "x and y in a column": ("a.npz", npz(x=NUMBERS[:, :2], y=NUMBERS[:, 2:])),
}


@pytest.mark.parametrize(("name", "content"), SAME_NUMBERS.values(), ids=SAME_NUMBERS)
def test_every_form_of_a_table_holds_the_same_numbers(write, name, content):
    table = read_table(write(name, content))
    np.testing.assert_array_equal(table.numbers([0, 1, 2]), NUMBERS)
    assert table.rows == 7


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_idx_of_every_dtype_is_read_in_the_machines_byte_order(write, dtype, pack):
    numbers = (100 * NUMBERS).clip(0, 99).astype(dtype).reshape(7, 3, 1)
    table = read_table(write("a", pack(idx(numbers))))
    np.testing.assert_array_equal(table.values, numbers[:, :, 0], strict=True)
    assert table.image == (3, 1)


def test_one_dimension_is_one_column_of_numbers_or_text(write):
    for name, content in (("a.npy", npy(NUMBERS[:, 0])), ("a.idx", idx(NUMBERS[:, 0]))):
        table = read_table(write(name, content))
        np.testing.assert_array_equal(table.values, NUMBERS[:, :1])
        assert table.image == ()
    assert read_table(write("a.npy", npy(np.array(["x ", "y"])))).text == {0: ["x", "y"]}


def test_parquet_holds_numbers_booleans_and_text(write):
    content = parquet_of(a=[1, None, 3], b=[True, False, True], c=["x", "y", None], d=[0.5, 1.5, 2.5])
    table = read_table(write("a.parquet", content))
    assert table.names == ("a", "b", "c", "d")
    np.testing.assert_array_equal(table.values[:, [0, 1, 3]], [[1, 1, 0.5], [np.nan, 0, 1.5], [3, 1, 2.5]])
    assert table.text == {2: ["x", "y", ""]}


def test_a_nameless_index_of_pandas_is_no_column(write):
    columns = {"a.b": [1.0, 2.0], "__index_level_0__": [7, 9], "c": ["x", "y"], "__index_level_1__": [0, 1]}
    table = read_table(write("a.parquet", parquet_of(**columns)))
    assert table.names == ("a.b", "c")
    np.testing.assert_array_equal(table.values[:, 0], [1, 2])
    assert table.text == {1: ["x", "y"]}


def test_parquet_holds_text_of_every_kind(write):
    pa = pytest.importorskip("pyarrow")
    words = ["x", None, " y", "x", "long words"]
    kinds = {
        "plain": pa.array(words),
        "large": pa.array(words, pa.large_string()),
        "view": pa.array(words, pa.string_view()),
        "dictionary": pa.array(words).dictionary_encode(),
        "small indices": pa.array(words, pa.dictionary(pa.int8(), pa.string())),
        "with.a point": pa.array(words),
        "nothing": pa.nulls(5, pa.string()),
    }
    table = read_table(write("a.parquet", parquet_of(**kinds)))
    read = ["x", "", "y", "x", "long words"]
    assert table.text == dict.fromkeys(range(6), read) | {6: [""] * 5}


def test_dates_and_times_of_parquet_are_text(write):
    import pyarrow as pa

    times = {
        "moment": pa.array([0, None], pa.timestamp("ms")),
        "zoned": pa.array([0, None], pa.timestamp("us", "Nowhere/Known")),
        "day": pa.array([1, None], pa.date32()),
        "time": pa.array([62000, None], pa.time32("ms")),
    }
    table = read_table(write("a.parquet", parquet_of(**times, a=[1, 2])))
    assert table.text == {
        0: ["1970-01-01 00:00:00.000", ""],
        1: ["1970-01-01 00:00:00.000000", ""],
        2: ["1970-01-02", ""],
        3: ["00:01:02.000", ""],
    }
    np.testing.assert_array_equal(table.ignoring(times).values, [[1], [2]])


def test_a_column_of_parquet_without_any_value_is_missing(write):
    import pyarrow as pa

    table = read_table(write("a.parquet", parquet_of(a=pa.array([None, None], pa.null()), b=[1, 2])))
    np.testing.assert_array_equal(table.values, [[np.nan, 1], [np.nan, 2]])


def test_parquet_says_a_long_text_many_times_in_the_memory_of_one(write):
    pa = pytest.importorskip("pyarrow")
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, "i4")), pa.array(["x" * 10_000]))
    path = write("a.parquet", parquet_of(a=column))
    tracemalloc.start()
    cells = read_table(path).text[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(cells), cells[0], cells[-1]) == (100_000, "x" * 10_000, "x" * 10_000)
    assert peak < 2**24


def test_parquet_without_pyarrow_says_how_to_install_it(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        read_table(write("a.parquet", b"PAR1"))


# first line, second line: the names found
HEADERS = [
    ("a,b", "1,2", ("a", "b")),
    ("a,", "1,2", ("a", "column 1")),
    ("0,1,species", "1,2,x", ("0", "1", "species")),
    ("5.1,3.5,setosa", "4.9,3.0,setosa", None),
    ("1,abc", "1,2", None),  # a number that is not the column's own: a row with a mistake, not a header
    ("1,2", "3,4", None),
    ("nan,1", "2,3", None),
    ("0,1", "2,3", ("0", "1")),
    (" 0, 1, 2", "2,3,4", ("0", "1", "2")),
    ("0,1,1", "2,3,4", None),
    ("0.0,1.0", "2,3", None),
    ("2019,2020", "2,3", None),
    ("0", "1", None),  # the first of a file of labels
]


@pytest.mark.parametrize(("first", "second", "names"), HEADERS)
def test_first_line_is_a_header_if_it_holds_text_and_no_number_or_the_numbers_of_the_columns(
    write, first, second, names
):
    table = read_table(write("a.csv", f"{first}\n{second}\n"))
    assert table.named == (names is not None)
    assert table.names == (names or tuple(f"column {i}" for i in range(len(table.names))))
    assert table.rows == (1 if names else 2)
    assert table.headless == (names is None)


@pytest.mark.parametrize("first", ["2019,2020", "0,1", "a,b", "1,abc", "5,"])
def test_first_line_is_what_it_is_said_to_be(write, first):
    path = write("a.csv", f"{first}\n2,3\n")
    named, unnamed = read_table(path, header=True), read_table(path, header=False)
    assert (named.names, named.rows, named.headless) == (tuple(first.replace("5,", "5,column 1").split(",")), 1, False)
    assert (unnamed.names, unnamed.rows, unnamed.headless) == (("column 0", "column 1"), 2, True)


def test_only_csv_files_are_without_a_header(write):
    path = write("a.npy", npy(NUMBERS))
    assert [read_table(path, header=header).headless for header in (None, True, False)] == [False] * 3


def test_text_that_starts_after_many_numbers_keeps_every_label(write, monkeypatch):
    monkeypatch.setattr("fastbp.command.readers.text.CELLS_A_BLOCK", 6)
    rows = [f"{i},{label}" for i, label in enumerate(["1", "2.0", "2", "7", "8", "9", "a", "1.5", "", "9.0"])]
    table = read_table(write("a.csv", "i,label\n" + "\n".join(rows)))
    assert table.text == {1: ["1", "2.0", "2", "7", "8", "9", "a", "1.5", "", "9.0"]}
    np.testing.assert_array_equal(table.numbers([0])[:, 0], np.arange(10))


def test_codes_among_text_stay_as_they_are_written(write):
    table = read_table(write("a.csv", "code,b\n1E2,1\n100,2\n007,3\n9007199254740993,4\nB7,5\nNA,6\n"))
    assert table.text == {0: ["1E2", "100", "007", "9007199254740993", "B7", ""]}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("True,False,no", None),
        ("false,2,x", None),
        ("2019,2020,y", None),
        ("a,b,y", ("a", "b", "y")),
        ("0,1,y", ("0", "1", "y")),
    ],
)
def test_a_first_line_with_true_or_false_is_a_row(write, line, names):
    table = read_table(write("a.csv", f"{line}\n" + "True,False,yes\n" * 3))
    assert table.headless == (names is None)
    assert table.rows == (4 if names is None else 3)
    assert table.names == (names or ("column 0", "column 1", "column 2"))


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("0,126;-0,132;0,64;-0,1", ["0,126", "-0,132", "0,64", "-0,1"]),
        ("a;0,5;1,5e3", ["a", "0,5", "1,5e3"]),
        ('"City, State, Zip, x";b;c', ["City, State, Zip, x", "b", "c"]),
        ("1;2,3", ["1", "2,3"]),
        ("1,2,3;4", ["1", "2", "3;4"]),
        ("a;b,c,d,e", ["a;b", "c", "d", "e"]),
        ("1\t2,5\t3,5", ["1", "2,5", "3,5"]),
    ],
)
def test_a_comma_in_quotes_or_for_a_decimal_point_parts_no_cells(write, line, cells):
    table = read_table(write("a.csv", f"{line}\n{line}\n"), header=False)
    written = [table.text[i][0] if i in table.text else f"{table.values[0, i]:g}" for i in range(len(table.names))]
    assert written == cells


def test_the_index_that_pandas_writes_is_left_out(write):
    table = read_table(write("a.csv", ",a,b\n0,5,1\n1,6,2\n2,7,3\n"))
    assert table.names == ("a", "b")
    assert table.ignored == {0: "column 0"}
    assert table.numbers([0, 1]).tolist() == [[5, 1], [6, 2], [7, 3]]
    assert table.find("-1") == table.find("2") == 1
    assert table.ignoring(["0", "a"]).names == ("b",)
    assert table.ignoring(["a"]).ignored == {0: "column 0", 1: "a"}
    with pytest.raises(ValueError, match=r"column '0' of .*a\.csv is left out; another one is wanted"):
        table.find("0")
    numbered = read_table(write("b.csv", ",0,1\n0,5,1\n1,6,2\n"))
    assert numbered.names == ("0", "1")
    assert numbered.find("0") == 0
    assert numbered.ignoring(["0"]).names == ("1",)
    for no_index in (",a\n1,5\n2,6\n", ",\n0,5\n1,6\n", "i,a\n0,5\n1,6\n", "0,5\n1,6\n"):
        assert not read_table(write("c.csv", no_index)).ignored


@pytest.mark.parametrize("about", [{"index_columns": ["id"]}, {"index_columns": [{"kind": "range"}]}, 5, None])
def test_the_named_index_of_pandas_comes_first_in_parquet_as_in_csv(write, about):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table, stream = pa.table({"a": [5, 6], "y": [[1], [0]], "id": ["u", "v"]}), io.BytesIO()
    if about is not None:
        table = table.replace_schema_metadata({"pandas": json.dumps(about)})
    parquet.write_table(table, stream)
    read = read_table(write("a.parquet", stream.getvalue()))
    first = about == {"index_columns": ["id"]}
    assert read.names == (("id", "a", "y") if first else ("a", "y", "id"))
    assert read.words(read.find("id")) == ["u", "v"]
    assert read.numbers([read.find("a")]).tolist() == [[5], [6]]
    assert list(read.unusable) == [read.find("y")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("kind", ["npy", "csv whose text begins late"])
def test_a_table_that_comes_through_a_pipe_may_be_of_any_kind(tmp_path, kind):
    pipe, content = tmp_path / "pipe", GOOD_NPY if kind == "npy" else b"1,2\n" * 40_000 + b"1,x\n"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that it can be opened to write into at once
    stream = pipe.open("wb")
    writer = threading.Thread(target=lambda: (stream.write(content), stream.close()))
    writer.start()
    try:
        table = read_table(pipe)
    finally:
        os.close(reading)
        writer.join()
    if kind == "npy":
        np.testing.assert_array_equal(table.values, NUMBERS)
    else:
        assert table.text == {1: ["2"] * 40_000 + ["x"]}


def test_underscores_make_text_and_no_number(write):
    table = read_table(write("a.csv", "code,b\n12_3,1\n1_23,2\n4,3\n"))
    assert table.text == {0: ["12_3", "1_23", "4"]}
    assert table.names == ("code", "b")


TRUTHS = ["True", "False", "true", "FALSE", "TRUE", "false"]


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_true_and_false_are_1_and_0_in_every_format(write, kind):
    numbers = [5.0, 6, 7, 8, 9, 10]
    content = {
        "csv": lambda: "a,b\n" + "".join(f"{number},{word}\n" for number, word in zip(numbers, TRUTHS, strict=True)),
        "npy": lambda: npy(np.rec.fromarrays([numbers, TRUTHS], names="a,b")),
        "parquet": lambda: parquet_of(a=numbers, b=TRUTHS),
    }[kind]()
    table = read_table(write(f"a.{kind}", content))
    wanted = np.column_stack([numbers, [1, 0, 1, 0, 1, 0]])
    np.testing.assert_array_equal(table.numbers([0, 1]), wanted)
    np.testing.assert_array_equal(table.numbers([1, 0]), wanted[:, ::-1])
    assert table.words(1) == TRUTHS


def test_a_true_or_false_that_is_missing_is_refused_by_its_row(write):
    with pytest.raises(ValueError, match="column 'b', row 2 is missing; a finite number is wanted"):
        read_table(write("a.csv", "a,b\n1,True\n2,\n3,False\n")).numbers([0, 1])
    with pytest.raises(ValueError, match="column 'b', row 3 holds the text 'maybe'; a number is wanted"):
        read_table(write("a.csv", "a,b\n1,True\n2,False\n3,maybe\n")).numbers([0, 1])


@pytest.mark.parametrize(("wanted", "found"), [("b", 1), ("0", 0), ("-1", 2), ("2", 2), ("-3", 0)])
def test_column_is_found_by_name_or_number(write, wanted, found):
    assert read_table(write("a.csv", "a,b,c\n1,2,3\n")).find(wanted) == found


@pytest.mark.parametrize("wanted", ["d", "3", "-4", "1.0", ""])
def test_unknown_column_is_refused_with_what_is_wanted(write, wanted):
    with pytest.raises(ValueError, match=r"no column .*'a', 'b', 'c'.*-3 to 2"):
        read_table(write("a.csv", "a,b,c\n1,2,3\n")).find(wanted)


# content, what the message says: row 1 is the first under the header
NOT_NUMBERS = [
    ("a,b\n1,2\n3,x\n", r"column 'b', row 2 holds the text 'x'"),
    ("a,b\n1,2\n3,\n", r"column 'b', row 2 is missing"),
    ("a,b\n1,NA\n3,4\n", r"column 'b', row 1 is missing"),
    ("a,b\n1,2\n3,-inf\n", r"column 'b', row 2 is -inf"),
    ("a;b\n1;2\n3;0,5\n", r"column 'b', row 2 holds the text '0,5'; a number with a decimal point is wanted"),
    ("a;b\n1;-282594,125e3\n", r"row 1 holds the text '-282594,125e3'; a number with a decimal point is wanted"),
    ("a;b\n1;1,000\n", r"column 'b', row 1 holds the text '1,000'; a number is wanted"),
    ("a;b\n1;1,000,000.5\n", r"column 'b', row 1 holds the text '1,000,000.5'; a number is wanted"),
    ("a;b\n1;1,2,3\n", r"column 'b', row 1 holds the text '1,2,3'; a number is wanted"),
    ("a,b\n1,2\n3,1_000\n", r"column 'b', row 2 holds the text '1_000'; a number is wanted"),
    ("1,2\n3,nan\n", r"column 'column 1', row 2 is missing"),
]


@pytest.mark.parametrize(("content", "message"), NOT_NUMBERS)
def test_what_is_not_a_number_is_refused_by_column_and_row(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_table(write("a.csv", content)).numbers([0, 1])


GOOD_NPY, GOOD_NPZ = npy(NUMBERS), npz(x=NUMBERS)
TERABYTES = (10**6, 10**6)
DEEP_NPY = npy_of("-" * 9000 + "1")
UNPICKLED = npy(np.array([[1, "a"]], dtype=object), allow_pickle=True)

# name of the case: file name, content, what the message says
UNREADABLE = {
    "empty csv": ("a.csv", "", "it is empty"),
    "blank csv": ("a.csv", "\n \n", "it is empty"),
    "header only": ("a.csv", "a,b\n", "0 rows"),
    "ragged": ("a.csv", "a,b\n1,2\n3\n", "row 2 has 1 cell, and the first line 2; as many are wanted"),
    "not text": ("a.csv", bytes(range(128, 256)), "it holds the byte 0x80, which is no text in UTF-8"),
    "utf-16": ("a.csv", "ä,b\n1,2\n".encode("utf-16"), "it is text in UTF-16; text in UTF-8 is wanted"),
    "utf-16 of the other order": ("a.csv", b"\xfe\xff\0a", "it is text in UTF-16; text in UTF-8 is wanted"),
    "latin-1": ("a.csv", "price,größe\n1,2\n".encode("latin-1"), "0xf6, which is no .* text in UTF-8 is wanted"),
    "gzipped latin-1": ("a.csv.gz", gzip.compress("1,2\n3,é\n".encode("latin-1")), "0xe9, which is no .* is wanted"),
    "open quote": ("a.csv", 'a,b\n1,"2\n', "line 2"),
    "endless cell": ("a.csv", "a,b\n1,2" + "0" * 200_000, "field larger"),
    "endless line": ("a.csv", gzip.compress(b"1" * (1 << 25)), "a line of more than"),
    "too many columns": ("a.csv", gzip.compress(b"," * (1 << 20)), "more than 524,288 columns"),
    "too many blank lines": ("a.csv", gzip.compress(b"1\n" + b"\n" * 70_000), "more than 65,536 blank lines in a row"),
    "truncated gzip": ("a.csv", gzip.compress(csv_of(NUMBERS).encode())[:-20], "ended"),
    "corrupt gzip": ("a.csv", gzip.compress(csv_of(NUMBERS).encode())[:-6] + b"abcdef", "CRC"),
    "empty npy": ("a.npy", b"", "NPY"),
    "text in npy": ("a.npy", "1,2", "NPY"),
    "truncated npy": ("a.npy", GOOD_NPY[:-1], "truncated or corrupt"),
    "truncated npy header": ("a.npy", GOOD_NPY[:40], "NPY"),
    "npy of terabytes": ("a.npy", npy_header(TERABYTES), "declares 8,000,000,000,000 bytes .* holds 0"),
    "npy of long items": ("a.npy", npy_header((1,), "<U200000000"), "declares"),
    "npy of nothing": ("a.npy", npy_header((10**12,), "<U0"), "dtype <U0, of no bytes"),
    "npy of a deep header": ("a.npy", DEEP_NPY, "its header is too long or too deep"),
    "npy of negative size": ("a.npy", npy_header((-1, 2)), "NPY"),
    "npy of objects": ("a.npy", UNPICKLED, "never unpickled"),
    "npy of complex": ("a.npy", npy(NUMBERS * 1j), "complex128; real numbers"),
    "npy of one number": ("a.npy", npy(NUMBERS[0, 0]), r"shape \(\); two dimensions"),
    "npy of text": ("a.npy", npy(np.array([["a"]])), "real numbers"),
    "npy without rows": ("a.npy", npy(NUMBERS[:0]), "0 rows"),
    "empty npz": ("a.npz", b"", "NPZ"),
    "truncated npz": ("a.npz", GOOD_NPZ[: len(GOOD_NPZ) // 2], "NPZ"),
    "corrupt npz": ("a.npz", GOOD_NPZ[:100] + bytes(10) + GOOD_NPZ[110:], "NPZ"),
    "npz of terabytes": ("a.npz", zipped("x.npy", npy_header(TERABYTES)), "declares"),
    "npz of objects": ("a.npz", zipped("x.npy", UNPICKLED), "never unpickled"),
    "npz in bzip2": ("a.npz", zipped("x.npy", GOOD_NPY, compression=zipfile.ZIP_BZIP2), "compressed in an unknown way"),
    "npz without arrays": (
        "a.npz",
        zipped("a.txt", "1"),
        "it is an archive of 'a.txt'; what is unpacked from it is wanted",
    ),
    "npz of other arrays": ("a.npz", npz(a=NUMBERS, b=NUMBERS), "it holds a, b; arrays x and y are wanted"),
    "y of another length": ("a.npz", npz(x=NUMBERS, y=NUMBERS[1:, 0]), r"y has shape \(6,\); \(7,\) is wanted"),
    "empty idx": ("a-idx2", b"", "it begins with nothing"),
    "text in idx": ("a.idx", "1,2\n3,4\n", "it begins with 31 2c 32 0a; 00 00, a dtype"),
    "idx of an unknown dtype": ("a-idx1-ubyte", bytes([0, 0, 7, 1, 0, 0, 0, 1, 5]), "it begins with 00 00 07 01"),
    "idx without dimensions": ("a-idx1-ubyte", bytes([0, 0, 8, 0, 5]), "it begins with 00 00 08 00"),
    "idx without sizes": ("a", bytes([0, 0, 8, 3, 0, 0, 0, 1]), "ends within its header"),
    "truncated idx": ("a", idx(NUMBERS)[:-1], "declares 168 bytes of data and holds 167"),
    "idx with more behind": ("a", idx(NUMBERS) + b"0", "declares 168 bytes of data and holds 169"),
    "idx of terabytes": ("a", bytes([0, 0, 14, 2]) + b"\x00\x0f\xff\xff" * 2, "declares 8,796,.* holds 0"),
    "gzipped idx of terabytes": (
        *("a", gzip.compress(bytes([0, 0, 14, 2]) + b"\x00\x0f\xff\xff" * 2)),
        "declares 8,796,.* holds at most",
    ),
    "gzipped idx that is truncated": ("a.gz", gzip.compress(idx(NUMBERS)[:-8]), "declares 168 .* holds fewer"),
    "gzipped idx with more behind": ("a.gz", gzip.compress(idx(NUMBERS) + b"0"), "declares 168 .* holds more"),
    "truncated gzip of idx": ("a.gz", gzip.compress(idx(NUMBERS))[:-9], "ended"),
    "corrupt gzip of idx": ("a.gz", gzip.compress(idx(NUMBERS))[:-6] + b"abcdef", "CRC"),
    "no gzip of idx": ("a-idx3-ubyte.gz", gzip.compress(b"1,2"), "it begins with 31 2c 32"),
    "idx without rows": ("a", idx(NUMBERS[:0]), "0 rows"),
    "idx without columns": ("a", idx(NUMBERS[:, :0]), "0 columns"),
    "idx of too many dimensions": ("a", bytes([0, 0, 8, 99]) + bytes([0, 0, 0, 1]) * 99 + b"5", "IDX"),
    "empty parquet": ("a.parquet", b"", "Parquet"),
    "truncated parquet": ("a.parquet", b"PAR1" + bytes(100), "Parquet"),
}


@pytest.mark.parametrize(("name", "content", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file_is_refused_with_the_reason(write, name, content, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = write(name, content)
    with pytest.raises(ValueError, match=rf"(?s){path.name}.*{message}"):
        read_table(path)


def test_columns_of_one_name_are_refused_unless_they_are_ignored(write):
    table = read_table(write("a.csv", "a,b,a,a\n1,2,3,4\n5,6,7,8\n"))
    with pytest.raises(ValueError, match=r"a\.csv has 3 columns named 'a'; different names are wanted, or --ignore to"):
        table.ignoring([])
    with pytest.raises(ValueError, match=r"a\.csv has 2 columns named 'a'; different names are wanted"):
        table.ignoring(["0"])
    with pytest.raises(ValueError, match=r"--ignore is a, but .*a\.csv has 3 columns named 'a'; a number is wanted"):
        table.ignoring(["a"])
    left = table.ignoring(["0", "-1"])
    assert left.names == ("b", "a")
    assert left.numbers([0, 1]).tolist() == [[2, 3], [6, 7]]


def _parquet_of_lists_and_durations():
    pa = pytest.importorskip("pyarrow")
    when = pa.array([0, 1], pa.duration("s"))
    return parquet_of(when=when, a=pa.array([1.5, 2.5]), tags=pa.array([[1], [2, 3]]), b=pa.array(["x", "y"]))


def _npy_of_times_and_pairs():
    fields = [("when", "m8[s]"), ("a", "f8"), ("tags", "f4", 2), ("b", "U1")]
    return npy(np.array([(0, 1.5, (1, 2), "x"), (1, 2.5, (3, 4), "y")], dtype=fields))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.parquet", _parquet_of_lists_and_durations, ["type duration[s]", "type list<element: int64>"]),
        ("a.npy", _npy_of_times_and_pairs, ["dtype timedelta64[s]", "2 numbers a row"]),
    ],
)
def test_columns_of_neither_numbers_nor_text_are_refused_where_they_are_used_and_may_be_ignored(
    write, name, content, found
):
    table = read_table(write(name, content()))
    for column, what in zip([0, 2], found, strict=True):
        with pytest.raises(
            ValueError, match=re.escape(f"column '{table.names[column]}' has {what}; numbers are wanted")
        ):
            table.numbers([1, column])
    assert table.numbers([1]).tolist() == [[1.5], [2.5]]
    assert table.words(3) == ["x", "y"]
    left = table.ignoring(["when", "tags"])
    assert left.names == ("a", "b")
    assert left.numbers([0]).tolist() == [[1.5], [2.5]]
    with pytest.raises(ValueError, match=r"column 'tags' has .*, or --ignore to leave the column out"):
        table.ignoring(["when"]).numbers([0, 1], of_inputs=True)


IDX_OF_GIGABYTES = bytes([0, 0, 8, 2]) + (10**5).to_bytes(4, "big") * 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy_header((10**5, 10**5))),
        ("a.npy", npz(x=np.zeros((1, 1)))[:60]),
        ("a.idx", IDX_OF_GIGABYTES),
        ("a.idx", gzip.compress(IDX_OF_GIGABYTES)),
    ],
)
def test_declared_size_takes_no_memory(write, name, content):
    path = write(name, content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"not a readable (NPY|IDX) file"):
        read_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_archive_that_lies_about_its_size_is_refused(write):
    content = bytearray(zipped("x.npy", GOOD_NPY))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**31).to_bytes(4, "little")
    with pytest.raises(ValueError, match="declares more bytes than the file can hold"):
        read_table(write("a.npz", bytes(content)))


BIG = np.zeros((64, 64))  # more than the 10,000 bytes that the test allows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", gzip.compress(csv_of(BIG).encode())),
        ("a.npy", npy(BIG)),
        ("a.npy", npy(np.array([f"{i}" for i in range(150)]))),
        ("a.npz", npz(x=BIG)),
        ("a", idx(BIG)),
        ("a.gz", gzip.compress(idx(BIG))),
    ],
    ids=["gzipped csv", "npy", "npy of text", "npz", "idx", "gzipped idx"],
)
def test_table_larger_than_memory_is_refused(write, monkeypatch, name, content):
    monkeypatch.setattr(sizes, "largest_table", lambda: 10_000)
    with pytest.raises(ValueError, match="at most 10,000 fit"):
        read_table(write(name, content))


@pytest.mark.parametrize("column", [BIG.ravel(), ["x" * 20_000]], ids=["numbers", "text"])
def test_parquet_that_declares_more_than_memory_is_refused_before_it_is_read(write, monkeypatch, column):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(sizes, "largest_table", lambda: 10_000)
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("it is read"))
    with pytest.raises(ValueError, match="at most 10,000 fit"):
        read_table(write("a.parquet", parquet_of(a=column)))


def test_parquet_text_counts_as_what_python_makes_of_it(write, monkeypatch):
    monkeypatch.setattr(sizes, "largest_table", lambda: 10_000)
    with pytest.raises(ValueError, match="at most 10,000 fit"):
        read_table(write("a.parquet", parquet_of(a=[f"{i}" for i in range(150)])))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.npy", GOOD_NPY), ("a.npz", GOOD_NPZ), ("a-idx2", idx(NUMBERS)), ("a-idx2.gz", gzip.compress(idx(NUMBERS)))],
    ids=["npy", "npz", "idx", "gzipped idx"],
)
def test_damaged_file_is_read_or_refused_but_never_crashes(write, name, content):
    rng = np.random.default_rng(RNG_SEED)
    for _ in range(150):
        damaged = bytearray(content[: rng.integers(len(content) // 2, len(content) + 1)])
        for place in rng.integers(len(damaged), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path = write(name, bytes(damaged))
        with contextlib.suppress(ValueError):
            read_table(path)


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="pipes have no names on this system")
def test_a_pipe_is_read_as_its_writer_writes():
    reading, writing = os.pipe()

    def write():
        with open(writing, "w") as stream:
            stream.write("a,b\n1,2\n")
            stream.flush()
            pause.wait(0.2)
            stream.write("3,4\n")

    pause, writer = threading.Event(), threading.Thread(target=write)
    writer.start()
    try:
        np.testing.assert_array_equal(read_table(Path(f"/dev/fd/{reading}")).values, [[1, 2], [3, 4]])
    finally:
        writer.join()
        os.close(reading)


@pytest.mark.parametrize("row", [0, ROWS_A_BLOCK - 1, ROWS_A_BLOCK, ROWS_A_BLOCK + 1, 2 * ROWS_A_BLOCK + 5])
@pytest.mark.parametrize(("value", "problem"), [(np.nan, "is missing"), (np.inf, "is inf")])
def test_the_first_number_that_is_not_finite_is_refused_in_any_row(row, value, problem):
    values = np.zeros((2 * ROWS_A_BLOCK + 7, 3))
    values[row, 1] = value
    values[row + 1, 0] = values[-1, 2] = np.nan
    table = Table("table", ("a", "b", "c"), frozenset("abc"), values, {})
    with pytest.raises(ValueError, match=f"^table: column 'b', row {row + 1} {problem}; a finite number is wanted$"):
        table.numbers([0, 1, 2])


@pytest.mark.parametrize("columns", [[0, 1, 2], [1, 2], [2, 1], [2, 0, 1], [2], [0, 2]], ids=str)
def test_numbers_come_in_the_order_of_the_columns_asked_for(write, columns):
    values = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(read_table(write("a.csv", csv_of(values))).numbers(columns), values[:, columns])


def test_asking_for_numbers_leaves_the_table_as_it_is(write):
    table = read_table(write("a.csv", "a,b\n1,true\n2,false\n"))
    before = table.values.copy()
    np.testing.assert_array_equal(table.numbers([0, 1]), [[1, 1], [2, 0]])
    np.testing.assert_array_equal(table.values, before)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no such device")
def test_a_device_is_no_table():
    with pytest.raises(ValueError, match=r"^/dev/null is not a file; one that holds a table is wanted$"):
        read_table(tables.Path("/dev/null"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_that_nobody_writes_into_is_empty_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    script = (
        "import sys; from pathlib import Path; from fastbp.command.tables import read_table; read_table(Path('pipe'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "ValueError: pipe is not a readable CSV file: it is empty" in done.stderr


def test_no_memory_for_a_table_is_told_as_such(write, monkeypatch):
    def refused(*_):
        raise MemoryError

    monkeypatch.setattr(text, "read", refused)
    with pytest.raises(MemoryError):
        read_table(write("a.csv", "1,2\n"))


def test_messages_repeat_the_beginning_of_what_a_file_says_alone(write):
    long = "x" * 10**5
    with pytest.raises(ValueError, match=r"'x{40}\.\.\.'") as caught:
        read_table(write("a.csv", f"{long},b\ny,2\n")).numbers([0, 1])
    assert len(str(caught.value)) < 1000
    assert words.reason(ValueError(long)) == "x" * 400 + "..."


@pytest.mark.parametrize("kind", ["idx", "npz"])
def test_a_file_of_zeros_is_read_though_it_is_packed_as_tightly_as_can_be(write, kind):
    zeros = np.zeros((2000, 1000), np.uint8)
    if kind == "idx":
        path = write("a.gz", gzip.compress(idx(zeros), 9))
    else:
        np.savez_compressed(path := write("a.npz", b""), x=zeros)
    assert zeros.nbytes > 900 * path.stat().st_size
    np.testing.assert_array_equal(read_table(path).values, zeros)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_an_archive_whose_checksum_is_not_that_of_its_numbers_is_refused(write, compression):
    numbers = np.arange(300_000.0).reshape(-1, 3)
    path = write("a.npz", b"")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", npy(numbers))
    damaged = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = damaged.rindex(signature) + place
        damaged[at] ^= 1
    with pytest.raises(ValueError, match="not a readable NPZ file: Bad CRC-32"):
        read_table(write("b.npz", bytes(damaged)))


def test_arrays_that_fit_into_memory_one_by_one_but_not_together_are_refused(write, monkeypatch):
    path = write("a.npz", npz(x=np.zeros((800, 1)), y=np.zeros(800)))
    monkeypatch.setattr(sizes, "largest_table", lambda: 10_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it is read"))
    with pytest.raises(ValueError, match="at most 10,000 fit"):
        read_table(path)


@pytest.mark.parametrize("missing", ["NA", " NA", "NA ", "\tnan \t", "  "], ids=repr)
def test_what_is_missing_may_have_blanks_around_it(write, missing):
    table = read_table(write("a.csv", f"a,b\n1,{missing}\n2,3\n"))
    assert not table.text
    np.testing.assert_array_equal(table.values, [[1, np.nan], [2, 3]])


def test_blanks_around_a_text_are_no_part_of_it(write):
    assert read_table(write("a.csv", "a,b\n1,x \n2,x\n3,\tx\n")).text == {1: ["x", "x", "x"]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((6, 2)), "y": np.zeros((3, 2))}, r"y has shape \(3, 2\); \(6,\) is wanted, after x \(6, 2\)"),
        ({"x": np.zeros(6)}, r"x has shape \(6,\); two dimensions or more"),
        ({"a": np.zeros(6)}, r"a has shape \(6,\); two dimensions or more"),
    ],
    ids=["y of as many numbers", "x of one dimension", "one dimension"],
)
def test_arrays_of_another_shape_are_refused_though_their_numbers_would_do(write, arrays, message):
    with pytest.raises(ValueError, match=message):
        read_table(write("a.npz", npz(**arrays)))


def test_an_array_that_python_2_wrote_is_read_without_a_warning(write):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }"
    header += b" " * (117 - len(header)) + b"\n"
    numbers = np.arange(6.0).reshape(2, 3)
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + numbers.tobytes()
    np.testing.assert_array_equal(read_table(write("a.npy", content)).values, numbers)


def test_bytes_in_an_array_are_text_in_utf_8(write):
    words = ["é", "ü ", "日本"]
    content = npy(np.array([word.encode() for word in words]))
    assert read_table(write("a.npy", content)).text == {0: ["é", "ü", "日本"]}
    with pytest.raises(ValueError, match="not a readable NPY file: 'utf-8' codec"):
        read_table(write("a.npy", npy(np.array([b"\xe9", b"a"]))))


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="long doubles are doubles here")
def test_long_doubles_become_doubles_and_those_beyond_are_refused(write):
    numbers = np.array([[1, 2], [3, np.longdouble(1e300) ** 2]])
    assert read_table(write("a.npy", npy(numbers[:1]))).values.dtype == np.float64
    with pytest.raises(ValueError, match="column 'column 1', row 2 is inf; a finite number is wanted"):
        read_table(write("a.npy", npy(numbers))).numbers([0, 1])


def test_parquet_holds_decimals_and_whole_numbers_of_any_size(write):
    pa = pytest.importorskip("pyarrow")
    from decimal import Decimal

    columns = {
        "decimal": pa.array([Decimal("1.25"), None, Decimal("-3")], pa.decimal128(9, 2)),
        "whole": pa.array([2**53 + 1, 2**63 - 1, -(2**63)], pa.int64()),
    }
    table = read_table(write("a.parquet", parquet_of(**columns)))
    assert not table.text
    np.testing.assert_array_equal(table.values, [[1.25, 2.0**53], [np.nan, 2.0**63], [-3, -(2.0**63)]])


def test_a_quoted_cell_may_follow_a_blank(write):
    table = read_table(write("a.csv", 'a, b\n1, "x, y"\n2, "z"\n'))
    assert (table.names, table.text) == (("a", "b"), {1: ["x, y", "z"]})


def test_blank_lines_that_are_not_in_a_row_may_be_any_number(write, monkeypatch):
    monkeypatch.setattr(text, "LONGEST_GAP", 3)
    np.testing.assert_array_equal(read_table(write("a.csv", "1\n\n\n\n2\n\n\n3\n")).values, [[1], [2], [3]])
    with pytest.raises(ValueError, match="it has more than 3 blank lines in a row"):
        read_table(write("b.csv", "1\n\n\n\n\n2\n"))


@pytest.mark.parametrize(("row", "cells"), [("1,2,3", "3 cells"), ("1", "1 cell")])
def test_a_row_of_another_width_is_refused_by_its_number(write, row, cells):
    rows = "1,2\n" * 9
    with pytest.raises(ValueError, match=f"row 10 has {cells}, and the first line 2; as many are wanted"):
        read_table(write("a.csv", f"a,b\n{rows}{row}\n{rows}"))


def test_text_of_many_blocks_is_whole_and_no_number(write, monkeypatch):
    """Two rows a block; the second column is text from the third block on, and has a number after that."""
    monkeypatch.setattr(text, "CELLS_A_BLOCK", 4)
    cells = ["1", "2.0", "", "4", "x", "6", "y", "8", "9.5", "z"]
    table = read_table(write("a.csv", "a,b\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells))))
    assert table.text == {1: ["1", "2.0", "", "4", "x", "6", "y", "8", "9.5", "z"]}
    np.testing.assert_array_equal(table.values[:, 0], np.arange(10))
    assert np.isnan(table.values[4:, 1]).all()
    with pytest.raises(ValueError, match="row 10 has 3 cells"):
        read_table(write("b.csv", "a,b\n" + "1,2\n" * 9 + "1,2,3\n"))


def test_text_of_a_csv_file_counts_as_what_python_makes_of_it(write, monkeypatch):
    monkeypatch.setattr(sizes, "largest_table", lambda: 10_000)
    with pytest.raises(ValueError, match="at most 10,000 fit"):
        read_table(write("a.csv", "a\n" + "x\n" * 150))


def test_blanks_around_the_name_of_a_column_are_no_part_of_it(write):
    assert read_table(write("a.csv", "a , b\t\n1,2\n")).names == ("a", "b")
