"""Parquet, through pyarrow: numbers, booleans, text and, as text, dates and times, a batch of rows at a time.

The index of a pandas table comes first, as in CSV; one that has no name of its own is no column.
"""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO

import numpy as np

from fastbp.command.readers.contents import Contents
from fastbp.command.sizes import BYTES_A_STRING, check_size

CELLS_A_BATCH = 1 << 20
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read(stream: BinaryIO) -> Contents:
    """The table of a Parquet file; ImportError says how to install pyarrow where it is missing."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ImportError("reading Parquet needs pyarrow: pip install pyarrow") from None

    file = parquet.ParquetFile(stream, pre_buffer=False)
    index, all_fields = _named_index(file.schema_arrow.metadata), list(file.schema_arrow)
    places = [i for i, field in enumerate(all_fields) if not PANDAS_INDEX.fullmatch(field.name)]  # in the file
    places.sort(key=lambda i: all_fields[i].name not in index)
    schema = pa.schema([all_fields[i] for i in places])
    text: dict[int, list[str]] = {}
    unusable = {}
    for column, field in enumerate(schema):
        if _is_text(pa, field.type) or _is_time(pa, field.type):
            text[column] = []
        elif not (_is_number(pa, field.type) or pa.types.is_null(field.type)):
            unusable[column] = f"type {field.type}"

    width, size, about = len(schema), 0, file.metadata
    if width == 0:
        raise ValueError("it has no columns")
    declared = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
    check_size(max(8 * width * about.num_rows, declared))
    # A few bytes may say a long text a million times: it is kept once.
    texts = [schema.names[column] for column in text if _is_text(pa, schema.types[column])]
    file = parquet.ParquetFile(stream, pre_buffer=False, read_dictionary=texts)
    blocks = []
    usable = sorted((column for column in range(width) if column not in unusable), key=lambda column: places[column])
    columns = [schema.names[column] for column in usable] if len(usable) < len(all_fields) else None
    for batch in file.iter_batches(batch_size=max(1, CELLS_A_BATCH // width), columns=columns, use_threads=False):
        block = np.full((batch.num_rows, width), np.nan)
        for column, array in zip(usable, batch.columns, strict=True):
            if column in text:
                size += _extend(pa, text[column], array)
            else:
                block[:, column] = _as_float64(pa, array)
        blocks.append(block)
        size += block.nbytes + sum(array.nbytes for array in batch.columns)
        check_size(size)
    return Contents(list(schema.names), np.concatenate(blocks) if blocks else np.empty((0, width)), text, (), unusable)


def _named_index(metadata: dict[bytes, bytes] | None) -> frozenset[str]:
    """The names of the columns that were the index of a pandas table."""
    try:
        columns = json.loads((metadata or {})[b"pandas"])["index_columns"]
        return frozenset(column for column in columns if isinstance(column, str))
    except (KeyError, TypeError, ValueError, RecursionError):  # another program's
        return frozenset()


def _is_text(pa: Any, kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_time(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind))


def _is_number(pa: Any, kind: Any) -> bool:
    test = pa.types
    return any(known(kind) for known in (test.is_integer, test.is_floating, test.is_boolean, test.is_decimal))


def _extend(pa: Any, cells: list[str], array: Any) -> int:
    """Add the cells of an Arrow array of text; the bytes that they take."""
    if pa.types.is_timestamp(array.type):  # in UTC: not every time zone is known everywhere
        array = array.cast(pa.timestamp(array.type.unit))
    if _is_time(pa, array.type):
        array = array.cast(pa.string())
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    words = ["" if word is None else str(word).strip() for word in array.dictionary.to_pylist()]
    size = sum(BYTES_A_STRING + len(word) for word in words)
    check_size(size)
    missing = len(words)
    words.append("")
    cells.extend(words[position] for position in array.indices.cast(pa.int64()).fill_null(missing).to_pylist())
    return size


def _as_float64(pa: Any, array: Any) -> Any:
    """The numbers of an Arrow array, nan where null."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
