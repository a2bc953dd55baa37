"""Between numpy and Arrow, without copies and without pandas.

pyarrow's own conversions (``pa.array``, ``pa.scalar``, ``to_numpy``) first import pandas wherever it is
installed, which takes longer than flattening a whole manifest. And `pyarrow.compute` makes a documented
Python function of each of its kernels when it is imported, which takes as long as flattening one: ``kernels``
is what these functions call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pyarrow as pa

try:
    import pyarrow._compute as kernels
except ImportError:  # another layout in a later release; the same names are here
    import pyarrow.compute as kernels


def from_numpy(
    values: np.ndarray, kind: pa.DataType | None = None, *, null: np.ndarray | None = None
) -> pa.Array:
    """An Arrow array of numbers or booleans.

    :param kind: its type, of the same width as that of ``values``; by default what ``values`` are.
    :param null: mask of the rows that are null.
    """
    if kind is None:
        kind = pa.bool_() if values.dtype == bool else pa.from_numpy_dtype(values.dtype)
    data = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    nulls = 0 if null is None else int(np.count_nonzero(null))
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null is not None and nulls else None
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(data)], nulls)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers or booleans; what stands where it is null is undefined."""
    array = joined(column)
    data, end = array.buffers()[1], array.offset + len(array)
    if len(array) == 0 or data is None:
        return np.zeros(len(array), dtype=_NUMPY[array.type])
    if array.type == pa.bool_():
        bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little", count=end)
        return bits[array.offset :].view(bool)
    return np.frombuffer(data, dtype=_NUMPY[array.type], count=end)[array.offset :]


def codes(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of integers as int64, -1 where it is null."""
    values = to_numpy(column).astype(np.int64)
    if column.null_count:
        values[~is_valid(column)] = -1
    return values


def is_valid(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Mask of the rows that are not null."""
    if column.null_count == 0:
        return np.ones(len(column), dtype=bool)
    array = joined(column)
    end = array.offset + len(array)
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], dtype=np.uint8), bitorder="little", count=end)
    return bits[array.offset :].view(bool)


def joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column in one piece, copied only if it is not."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 0:
        return pa.nulls(0, column.type)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


_Rows = TypeVar("_Rows", pa.Array, pa.Table)


def take(values: _Rows, rows: np.ndarray, *, null: np.ndarray | None = None) -> _Rows:
    """The values in these rows; null where the mask says so."""
    return kernels.call_function("take", [values, from_numpy(rows, null=null)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """A string array."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    null = np.array([value is None for value in values], dtype=bool)
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers, int(null.sum()))


def pick(numbers: np.ndarray, values: Sequence[str]) -> pa.DictionaryArray:
    """The text of each number as an Arrow dictionary; null for -1."""
    return dictionary(from_numpy(numbers.astype(np.int32), null=numbers < 0), values)


def dictionary(codes: pa.Array, values: Sequence[str]) -> pa.DictionaryArray:
    """The text of each code; codes are int32, below the number of values, and not checked."""
    return pa.DictionaryArray.from_arrays(codes, _same_texts(tuple(values)), safe=False)


@lru_cache(maxsize=128)
def _same_texts(values: tuple[str, ...]) -> pa.Array:
    """One manifest after the other has the same few texts, and making them takes longer than using them."""
    return texts(values)


def encoded(column: pa.Array) -> pa.DictionaryArray:
    """Text as a dictionary."""
    if column.null_count == len(column):
        return dictionary(pa.nulls(len(column), pa.int32()), [])
    return kernels.call_function("dictionary_encode", [column])


def constant(value: str | None, size: int) -> pa.Array:
    """One text in every row, as an Arrow dictionary; None for null."""
    if value is None:
        return dictionary(pa.nulls(size, pa.int32()), [])
    return dictionary(_zeros(size), [value])


@lru_cache(maxsize=2)
def _zeros(size: int) -> pa.Array:
    return from_numpy(np.zeros(size, dtype=np.int32))


_NUMPY = {
    pa.bool_(): np.bool_,
    pa.int8(): np.int8,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
}
