from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moderation.sources.listing import SCHEMA, ListingBuilder, Tally, chunked, is_candidate


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg",
        "a.JPEG",
        "a/b.webp",
        "a.gif",
        "a.tiff",
        "a.heic",
        "a.avif",
        "no-extension",
        "photo.jpg:large",
        "a.jpg!thumb",
        "2024.01/scan",
        "archive.zip/inner",
        ".jpg",
        "jpg",
        "json",
        "new\nline.jpg",
    ],
)
def test_whatever_may_be_a_picture_is_a_candidate(key):
    assert is_candidate(key)


@pytest.mark.parametrize(
    "key",
    [
        "notes.txt",
        "README",
        "readme.MD",
        ".DS_Store",
        "a/Thumbs.db",
        "._photo.jpg",
        "folder/",
        "",
        "a/_SUCCESS",
        "x.tar.gz",
    ],
)
def test_what_is_plainly_no_picture_is_not(key):
    assert not is_candidate(key)


def test_a_batch_holds_columns_of_the_documented_types_and_rejects_by_size():
    builder, tally = ListingBuilder(), Tally()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    builder.add_object(tally, bucket="b", key="a #1.jpg", etag="e", size=5, at=at)
    builder.add_object(tally, bucket="b", key="empty.jpg", etag="e", size=0, at=at)
    builder.add_object(tally, bucket="b", key="big.jpg", etag="", size=16 * 2**20, at=at)
    builder.add_object(tally, bucket="b", key="notes.txt", etag="e", size=5, at=at)

    batch = builder.take()

    assert batch.schema == SCHEMA
    assert batch["source_ref"].to_pylist() == ["s3://b/a #1.jpg", "s3://b/empty.jpg", "s3://b/big.jpg"]
    assert batch["error_code"].to_pylist() == [None, "EmptyFile", "ImageTooLarge"]
    assert batch["etag"].to_pylist() == ["e", "e", None]
    assert (tally.listed, tally.ignored) == (4, 1)
    assert len(builder) == 0


def test_chunks_keep_order_and_lose_nothing():
    assert list(chunked(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunked([], 3)) == []
