"""The two orders in which the ledger keeps published rows: by name, and by content with the whole answer.

By name an entry tells whether its image is asked about again. By content it has what another image of the
same content gets, so that nothing but labels is read of the tables; beside each part lie the first bits of
its contents alone, two bytes an entry, by which almost all that is not known is told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference import content
from moderation.schema import FAILED, IMAGES, MODERATED, physical_schema
from moderation.tables.ledger.layout import COLUMNS, CONTENT, CONTENT_COLUMNS
from moderation.tables.source_ref_ranges import NAME

BITS = pa.schema([("bits", pa.int64())])
MD5, _OCTETS = "md5", 16
"""By name, an ETag that is one is kept as such: read in an eighth of the time of its text."""

_FIRST = 10
"""Hex digits of an ETag that `bits_of` takes: of a hundred million, one in ten thousand others fits."""

_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_VALUES = np.zeros(256, dtype=np.int64)
_VALUES[_DIGITS] = np.arange(16)


@dataclass(frozen=True)
class Order:
    """One order of entries.

    :param key: the column by which they are sorted.
    :param unlike: columns in which hardly a value comes twice.
    :param group_rows: rows of a row group, of which one is the least that is read.
    :param chunk_rows: rows that are sorted in memory; more are merged.
    :param of_rows: what of published rows it keeps.
    :param has_bits: `bits_of` the key lies beside each part.
    """

    name: str
    key: str
    schema: pa.Schema
    unlike: tuple[str, ...]
    group_rows: int
    chunk_rows: int
    of_rows: Callable[[pa.Table], pa.Table]
    has_bits: bool = False

    @property
    def of_few_values(self) -> list[str]:
        """The columns of text in which values come again and again."""
        return [
            field.name for field in self.schema if field.type == pa.string() and field.name not in self.unlike
        ]


def by_name(rows: pa.Table) -> pa.Table:
    """The rows that can settle a question: those with an etag and an answer or a refusal."""
    kept = rows.filter(pc.and_(pc.is_valid(rows["etag"]), _is_told(rows))).select(COLUMNS)
    etag = kept["etag"].cast(pa.string())
    proven = pc.match_substring_regex(etag, content.WHOLE)
    place = kept.schema.get_field_index("etag")
    kept = kept.set_column(place, "etag", pc.if_else(proven, pa.scalar(None, pa.string()), etag))
    return kept.append_column(MD5, _packed(etag, proven)).cast(_NAMED)


def with_etags(entries: pa.Table) -> pa.Table:
    """Entries by name with their ETags as text, whatever they were kept as."""
    md5 = entries[MD5].combine_chunks()
    if md5.null_count == len(md5):
        return entries
    octets = np.frombuffer(md5.buffers()[1], dtype=np.uint8).reshape(-1, _OCTETS)
    octets = octets[md5.offset : md5.offset + len(md5)]
    text = np.stack([_DIGITS[octets >> 4], _DIGITS[octets & 15]], axis=2).tobytes()
    ends = pa.py_buffer(np.arange(len(md5) + 1, dtype=np.int32) * 2 * _OCTETS)
    etags = pa.StringArray.from_buffers(len(md5), ends, pa.py_buffer(text))
    place = entries.schema.get_field_index("etag")
    return entries.set_column(place, "etag", pc.if_else(pc.is_valid(md5), etags, entries["etag"]))


def _packed(etags: pa.ChunkedArray, proven: pa.ChunkedArray) -> pa.ChunkedArray:
    """Those that are MD5s as 16 bytes; null for the others."""
    digits = pc.if_else(proven, etags, "0" * 2 * _OCTETS).combine_chunks()
    if isinstance(digits, pa.ChunkedArray):  # of no chunk
        return pa.chunked_array([], pa.binary(_OCTETS))
    size = 2 * _OCTETS * len(digits)
    text = np.frombuffer(digits.buffers()[2], dtype=np.uint8)[2 * _OCTETS * digits.offset :][:size]
    values = _VALUES[text].astype(np.uint8).reshape(-1, 2)
    octets = pa.py_buffer((values[:, 0] << 4 | values[:, 1]).tobytes())
    whole = pa.Array.from_buffers(pa.binary(_OCTETS), len(digits), [None, octets])
    return pa.chunked_array([pc.if_else(proven.combine_chunks(), whole, pa.scalar(None, whole.type))])


def by_content(rows: pa.Table) -> pa.Table:
    """The rows whose answer another image can get: those that were sent, of a content that is proven."""
    etag = rows[CONTENT].cast(pa.string())
    proven = pc.and_(pc.match_substring_regex(etag, content.WHOLE), pc.is_valid(rows["size_bytes"]))
    kept = pc.and_(pc.fill_null(proven, False), pc.and_(_is_told(rows), pc.is_valid(rows["manifest_id"])))
    return rows.filter(kept).select(CONTENT_COLUMNS).cast(_ANSWERED)


def bits_of(etags: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The first 40 bits of ETags that are MD5s, in the order of these.

    :returns: 64-bit numbers.
    """
    if not len(etags):
        return np.zeros(0, dtype=np.int64)
    digits = pc.utf8_slice_codeunits(etags.cast(pa.string()), 0, _FIRST)
    whole = digits.combine_chunks() if isinstance(digits, pa.ChunkedArray) else digits
    text = np.frombuffer(whole.buffers()[2], dtype=np.uint8, count=_FIRST * len(whole))
    bits = np.zeros(len(whole), dtype=np.int64)
    for column in text.reshape(len(whole), _FIRST).T:
        bits = bits << 4 | _VALUES[column]
    return bits


def _is_told(rows: pa.Table) -> pa.ChunkedArray:
    told = pc.or_(pc.equal(rows["status"], MODERATED), pc.equal(rows["status"], FAILED))
    return pc.fill_null(told, False)


_NAMED = pa.schema(
    [(name, pa.string()) for name in COLUMNS[:-1]]
    + [("min_confidence", pa.float64()), (MD5, pa.binary(_OCTETS))]
)
_ANSWERED = pa.schema([physical_schema(IMAGES).field(name).with_nullable(True) for name in CONTENT_COLUMNS])

BY_NAME = Order("name", NAME, _NAMED, (NAME, "etag", MD5), 1 << 16, 1 << 20, by_name)
BY_CONTENT = Order(
    "content",
    CONTENT,
    _ANSWERED,
    (CONTENT, "size_bytes", "line_number", "answer_of_line"),
    1 << 13,
    1 << 18,
    by_content,
    has_bits=True,
)
