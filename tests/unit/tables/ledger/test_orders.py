"""What the ledger keeps of published rows in each of its orders."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pytest

from moderation.reference.content import content_id
from moderation.schema import IMAGES, physical_schema
from moderation.tables.ledger.layout import COLUMNS, CONTENT_COLUMNS
from moderation.tables.ledger.orders import BY_CONTENT, BY_NAME, MD5, bits_of, with_etags

MD5S = [hashlib.md5(bytes([number]), usedforsecurity=False).hexdigest() for number in range(200)]


def rows(**changes: Any) -> pa.Table:
    """One published row."""
    row = {
        "source_ref": "s3://photos/a.jpg",
        "etag": MD5S[0],
        "size_bytes": 7,
        "status": "moderated",
        "manifest_id": "m1",
    }
    names = dict.fromkeys([*COLUMNS, *CONTENT_COLUMNS])
    types = physical_schema(IMAGES)
    schema = pa.schema([types.field(name).with_nullable(True) for name in names])
    return pa.Table.from_pylist([names | row | changes], schema=schema)


@pytest.mark.parametrize(
    ("change", "named", "answers"),
    [
        pytest.param({}, 1, 1, id="moderated"),
        pytest.param({"status": "failed"}, 1, 1, id="refused"),
        pytest.param({"status": "not_attempted"}, 0, 0, id="owed"),
        pytest.param({"manifest_id": None}, 1, 0, id="never sent"),
        pytest.param({"etag": None}, 0, 0, id="no etag"),
        pytest.param({"etag": f"{MD5S[0]}-3"}, 1, 0, id="multipart"),
        pytest.param({"etag": MD5S[0].upper()}, 1, 0, id="other letters"),
        pytest.param({"etag": f"{MD5S[0]}\n"}, 1, 0, id="a line more"),
        pytest.param({"size_bytes": None}, 1, 0, id="no size"),
    ],
)
def test_an_order_keeps_what_can_settle_a_question_of_it(
    change: dict[str, Any], named: int, answers: int
) -> None:
    told = rows(**change)
    assert len(BY_NAME.of_rows(told)) == named
    assert len(BY_CONTENT.of_rows(told)) == answers
    row = told.to_pylist()[0]
    assert not answers or content_id(row["etag"], row["size_bytes"])


def test_etags_come_back_as_they_were_whatever_they_are_kept_as() -> None:
    etags = [*MD5S[:3], f"{MD5S[3]}-2", MD5S[4].upper(), MD5S[5], ""]
    told = pa.concat_tables([rows(etag=etag) for etag in etags])
    kept = BY_NAME.of_rows(told)
    assert kept[MD5].null_count == 3
    for some in (slice(None), slice(2, 5), slice(0, 3), slice(3, 5), slice(0, 0)):
        part = kept[some]
        assert with_etags(part)["etag"].to_pylist() == etags[some]
        assert with_etags(part.combine_chunks())["etag"].to_pylist() == etags[some]
        assert BY_NAME.of_rows(told[some])["etag"].to_pylist() == part["etag"].to_pylist()


def test_first_bits_are_those_of_the_etag_and_in_its_order() -> None:
    for size in (0, 1, 200):
        etags = pa.chunked_array([MD5S[:size]], pa.string())
        assert bits_of(etags).tolist() == [int(etag[:10], 16) for etag in MD5S[:size]]
        assert bits_of(etags[1:]).tolist() == [int(etag[:10], 16) for etag in MD5S[1:size]]
    assert bits_of(pa.array(sorted(MD5S))).tolist() == sorted(bits_of(pa.array(MD5S)))
