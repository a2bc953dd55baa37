from __future__ import annotations

import pyarrow as pa

from moderation.storage.tombstones import Tombstones, digest

SECRET = b"s" * 32
ETAG = "9e107d9d372bb6826bd81d3542a419d6"


def stones(*keys: str, contents: tuple[str, ...] = ()) -> Tombstones:
    return Tombstones(
        SECRET,
        frozenset(digest(SECRET, key) for key in keys),
        frozenset(digest(SECRET, one) for one in contents),
    )


def test_a_digest_tells_no_key_to_who_has_not_the_secret() -> None:
    assert digest(SECRET, "s3://b/1") != digest(b"t" * 32, "s3://b/1")


def test_what_was_erased_is_known_by_key_by_the_path_a_person_knows_and_by_content() -> None:
    rows = pa.record_batch(
        {
            "source_ref": ["s3://b/1", "s3://b/2", "s3://b/3", "s3://b/4"],
            "origin": [None, "/home/anna/2", None, None],
            "etag": [None, ETAG, ETAG, ETAG],
            "size": [None, 1, 7, 8],
        }
    )
    gone = stones("s3://b/1", "/home/anna/2", contents=(f"{ETAG}-7",))
    assert gone.without(rows).column("source_ref").to_pylist() == ["s3://b/4"]


def test_a_list_of_names_alone_is_enough_for_keys() -> None:
    rows = pa.record_batch({"source_ref": ["s3://b/1", "s3://b/2"]})
    assert stones("s3://b/1").mask(rows).to_pylist() == [True, False]


def test_where_nothing_was_erased_nothing_is_looked_at() -> None:
    rows = pa.record_batch({"source_ref": ["s3://b/1"]})
    assert Tombstones().without(rows) is rows
