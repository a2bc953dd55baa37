from __future__ import annotations

from dataclasses import replace

import pytest

from moderation.settings import Settings
from moderation.sources import positions
from moderation.sources.positions import Position
from moderation.storage import s3_objects
from support.fake_s3 import FakeS3

SETTINGS = replace(Settings.from_env({}), work_uri="s3://work")
QUESTION = {"model_version": "7.0", "adapter": None, "min_confidence": 50}
URI = positions.uri_of(SETTINGS, "table:a/b.journal", **QUESTION)
AT = Position(table="t", snapshot=77, sequence=3)


def test_a_position_goes_forward_and_never_back() -> None:
    s3 = FakeS3()
    assert positions.read(s3, URI) is None
    for position in (AT, replace(AT, snapshot=12, sequence=5), replace(AT, snapshot=99, sequence=4)):
        positions.advance(s3, URI, position)
    assert positions.read(s3, URI) == replace(AT, snapshot=12, sequence=5)
    positions.advance(s3, URI, replace(AT, table="made anew", sequence=1))
    found = positions.read(s3, URI)
    assert found
    assert (found.table, found.sequence) == ("made anew", 1)


def test_two_that_advance_at_once_leave_the_farther() -> None:
    others = [replace(AT, sequence=9)]

    def meanwhile() -> None:
        if others and writes:
            positions.advance(s3, URI, others.pop())

    writes: list[int] = []
    s3 = FakeS3(meanwhile)
    positions.advance(s3, URI, AT)
    writes.append(1)
    positions.advance(s3, URI, replace(AT, sequence=6))
    found = positions.read(s3, URI)
    assert found
    assert found.sequence == 9


@pytest.mark.parametrize("body", [b"", b"{", b'{"table": "t"}'])
def test_a_damaged_position_counts_for_nothing_and_is_written_anew(body: bytes) -> None:
    s3 = FakeS3()
    s3_objects.put(s3, URI, body)
    assert positions.read(s3, URI) is None
    positions.advance(s3, URI, AT)
    assert positions.read(s3, URI) == AT


@pytest.mark.parametrize("changed", [{"model_version": "8.0"}, {"adapter": "arn"}, {"min_confidence": 20}])
def test_another_question_has_a_position_of_its_own(changed: dict[str, object]) -> None:
    asked = QUESTION | changed
    assert positions.uri_of(SETTINGS, "table:a/b.journal", **asked) != URI
    assert positions.uri_of(SETTINGS, "table:a/b.journal | *.jpg", **QUESTION) != URI
