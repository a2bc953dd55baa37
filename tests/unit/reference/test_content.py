from __future__ import annotations

import duckdb
import pytest

from moderation.reference import content

MD5 = "9e107d9d372bb6826bd81d3542a419d6"
CASES = [
    (MD5, 3, f"{MD5}-3"),
    (f"{MD5}-12", 3, None),
    (None, 3, None),
    (MD5, None, None),
    (MD5.upper(), 3, None),
    (f"{MD5}\n", 3, None),
    ("", 0, None),
    (MD5, 0, f"{MD5}-0"),
]


@pytest.mark.parametrize(("etag", "size", "expected"), CASES)
def test_a_content_has_a_name_only_where_the_etag_is_a_digest_of_it(etag, size, expected):
    assert content.content_id(etag, size) == expected


@pytest.mark.parametrize(("etag", "size", "expected"), CASES)
def test_sql_says_the_same(etag, size, expected):
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT {content.SQL} FROM (SELECT $1::VARCHAR AS etag, $2::BIGINT AS size_bytes)", [etag, size]
        )
        assert rows.fetchone() == (expected,)


@pytest.mark.parametrize("key", ["s3://photos/a.jpg", "s3://photos/Bär 1+1.jpg"])
@pytest.mark.parametrize(("etag", "size", "expected"), [*CASES, (None, 0, None)])
def test_what_a_person_looks_at_always_has_a_name_the_same_in_sql(key, etag, size, expected):
    name = content.subject_id(key, etag, size)

    assert name == expected if expected else name.startswith("k-")
    with duckdb.connect() as connection:
        row = "SELECT $1 AS source_ref, $2::VARCHAR AS etag, $3::BIGINT AS size_bytes"
        query = f"SELECT {content.SUBJECT_SQL} FROM ({row})"
        assert connection.execute(query, [key, etag, size]).fetchone() == (name,)


def test_two_objects_of_unproved_content_are_never_one():
    assert content.subject_id("s3://a/1", None, 5) != content.subject_id("s3://a/2", None, 5)
