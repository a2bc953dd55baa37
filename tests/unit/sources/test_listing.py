from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from moderation.sources import listing
from moderation.sources.listing import LEFT_OUT, SCHEMA, Tally, chunked, object_rows


def test_a_batch_holds_columns_of_the_documented_types_and_rejects_by_size():
    tally = Tally()

    batch = object_rows(
        tally, objects({"a #1.jpg": 5, "empty.jpg": 0, "big.jpg": 16 * 2**20}, etags=["e", "e", None])
    )

    assert batch.schema == SCHEMA
    assert batch["source_ref"].to_pylist() == ["s3://b/a #1.jpg", "s3://b/empty.jpg", "s3://b/big.jpg"]
    assert batch["error_code"].to_pylist() == [None, "EmptyFile", "ImageTooLarge"]
    assert batch["etag"].to_pylist() == ["e", "e", None]
    assert (tally.listed, tally.ignored) == (3, 0)


def objects(sizes, etags=None):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    count = len(sizes)
    columns = [["b"] * count, [*sizes], etags or ["e"] * count, [*sizes.values()], [at] * count]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, listing.OBJECTS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=listing.OBJECTS)


OBJECTS = {
    "photos/": 0,
    "photos/a.jpg/": 9,
    "job/_temporary_$folder$": 0,
    "job/named_$folder$": 9,
    "notes.txt": 9,
    "film.mp4": 16 * 2**20,
    ".keep": 0,
    "._a.jpg": 9,
    "a.jpg": 9,
    "none": 9,
}


@pytest.mark.parametrize(
    ("unread", "left_out"),
    [
        (
            False,
            [
                ("s3://b/photos/", 0, "folder marker", "nothing"),
                ("s3://b/job/_temporary_$folder$", 0, "folder marker", "nothing"),
                ("s3://b/.keep", 0, ".keep", "nothing"),
            ],
        ),
        (
            True,
            [
                ("s3://b/photos/", 0, "folder marker", "nothing"),
                ("s3://b/job/_temporary_$folder$", 0, "folder marker", "nothing"),
                ("s3://b/notes.txt", 9, "*.txt", None),
                ("s3://b/film.mp4", 16 * 2**20, "*.mp4", None),
                ("s3://b/.keep", 0, ".keep", "nothing"),
                ("s3://b/._a.jpg", 9, "._*", None),
            ],
        ),
    ],
)
def test_a_name_alone_leaves_out_only_what_is_not_read(unread, left_out):
    kept = []
    tally = Tally(unread=unread, keep=kept.append)

    rows = object_rows(tally, objects(OBJECTS))
    tally.flush()

    assert [(row["source_ref"], row["size"], row["rule"], row["content"]) for row in kept[0].to_pylist()] == (
        left_out
    )
    assert kept[0].schema == LEFT_OUT
    assert (tally.listed, tally.ignored) == (len(OBJECTS), len(left_out))
    others = {f"s3://b/{key}" for key in OBJECTS} - {ref for ref, *_ in left_out}
    assert set(rows["source_ref"].to_pylist()) == others
    assert set(rows["error_code"].to_pylist()) == {None}  # the film's bytes tell whether it is one too large


def test_chunks_keep_order_and_lose_nothing():
    assert list(chunked(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunked([], 3)) == []
