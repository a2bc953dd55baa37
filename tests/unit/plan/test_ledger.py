from __future__ import annotations

import pyarrow as pa
import pytest

from moderation.plan import ledger
from moderation.plan.ledger import Model, Question, already_moderated, settled

SCHEMA = pa.schema([(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())])
GOOD = {
    "source_ref": "s3://b/a.jpg",
    "etag": "e1",
    "status": "moderated",
    "error_code": None,
    "model_version": "7.0",
    "adapter": None,
    "min_confidence": 50.0,
}
LISTING = pa.table({"source_ref": ["s3://b/a.jpg", "s3://b/other.jpg"], "etag": ["e1", "e1"]})


def published(*rows):
    return pa.Table.from_pylist([{**GOOD, **row} for row in rows], schema=SCHEMA)


def is_done(*rows, question=Question("7.0", None, 50.0)):  # noqa: B008 - frozen
    first, second = already_moderated(LISTING, published(*rows), question=question).to_pylist()
    assert second is False
    return first


def test_an_answer_to_the_same_question_about_the_same_content_is_done():
    assert is_done({})


def test_nothing_is_done_when_nothing_is_published():
    assert not is_done()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"etag": "e2"}, id="other content"),
        pytest.param({"etag": None}, id="unknown content"),
        pytest.param({"source_ref": "s3://b/A.jpg"}, id="other object"),
        pytest.param({"model_version": "6.1"}, id="older model"),
        pytest.param({"model_version": "offline-1.0"}, id="offline model"),
        pytest.param({"model_version": None}, id="unknown model"),
        pytest.param({"adapter": "arn:x"}, id="adapter"),
        pytest.param({"min_confidence": 60.0}, id="higher threshold"),
        pytest.param({"min_confidence": None}, id="unknown threshold"),
        pytest.param({"status": "not_attempted"}, id="not attempted"),
        pytest.param({"status": "failed", "error_code": "Throttling"}, id="transient failure"),
        pytest.param({"status": "failed", "error_code": "AccessDenied"}, id="no rights"),
        pytest.param({"status": "failed", "error_code": None}, id="failure without code"),
        pytest.param(
            {"status": "failed", "error_code": "ImageTooLarge", "model_version": "offline-1.0"},
            id="refused by another family of models",
        ),
    ],
)
def test_anything_less_is_not_done(row):
    assert not is_done(row)


@pytest.mark.parametrize(
    "row",
    [
        {"model_version": "7.1"},
        {"min_confidence": 0.0},
        {"status": "failed", "error_code": "InvalidImageFormat"},
        {"status": "failed", "error_code": "ImageTooLarge", "model_version": None, "min_confidence": None},
        {"status": "failed", "error_code": "InvalidParameter", "adapter": "arn:x", "min_confidence": 99.0},
    ],
)
def test_more_than_asked_for_and_what_can_never_succeed_is_done(row):
    assert is_done(row)


def test_what_was_refused_is_told_from_what_was_moderated():
    refused = {"status": "failed", "error_code": "ImageTooLarge"}
    other = {"source_ref": "s3://b/other.jpg"}
    listing = pa.table(
        {"source_ref": ["s3://b/a.jpg", "s3://b/other.jpg", "s3://b/new.jpg"], "etag": ["e1"] * 3}
    )

    def found(*rows):
        return settled(listing, published(*rows), question=Question("7.0", None, 50.0)).to_pylist()

    assert found(refused, other) == ["ImageTooLarge", "moderated", None]
    assert found(refused, {}) == found({}, refused) == ["moderated", None, None]
    assert found(other | refused, other | {"etag": "e2"}) == [None, "ImageTooLarge", None]


def test_one_good_answer_among_bad_ones_is_enough():
    assert is_done({"etag": "e2"}, {"min_confidence": 90.0}, {}, {"status": "not_attempted"})


def test_an_adapters_own_answers_count_for_that_adapter():
    assert is_done({"adapter": "arn:x"}, question=Question("7.0", "arn:x", 50.0))


def test_a_listing_row_without_etag_is_never_done():
    listing = pa.table({"source_ref": ["s3://b/a.jpg"], "etag": pa.array([None], pa.string())})

    assert already_moderated(
        listing, published({"etag": None}), question=Question("7.0", None, 50)
    ).to_pylist() == [False]


def test_published_rows_may_come_as_a_stream_with_other_columns_and_types(monkeypatch):
    monkeypatch.setattr(ledger, "_ROWS_AT_ONCE", 2)
    rows = published({"source_ref": "s3://b/other.jpg"}, {"etag": "x"}, {}, {"etag": "y"}, {"etag": "z"})
    rows = rows.append_column("status_copy", rows["status"])
    rows = rows.set_column(2, "status", rows["status"].dictionary_encode())
    rows = rows.set_column(0, "source_ref", rows["source_ref"].cast(pa.large_string()))

    done = already_moderated(
        LISTING, iter(rows.to_batches(max_chunksize=1)), question=Question("7.0", None, 50)
    )

    assert done.to_pylist() == [True, True]


def test_etag_and_name_are_never_confused():
    listing = pa.table({"source_ref": ["s3://b/x s3://b/y"], "etag": ["a"]})
    rows = published(
        {"source_ref": "s3://b/y", "etag": "a s3://b/x"}, {"source_ref": "s3://b/x", "etag": "a"}
    )

    assert already_moderated(listing, rows, question=Question("7.0", None, 50)).to_pylist() == [False]


@pytest.mark.parametrize(
    ("have", "need", "enough"),
    [
        ("7.0", "7.0", True),
        ("7", "7.0", True),
        ("7.1", "7.0", True),
        ("10.0", "7.0", True),
        ("6.1", "7.0", False),
        ("offline-1.0", "7.0", False),
        ("7.0", "offline-1.0", False),
        ("offline-1.1", "offline-1.0", True),
        ("strange", "strange", True),
        ("strange", "7.0", False),
        ("7" * 5000, "7.0", False),  # more digits than Python makes a number of
    ],
)
def test_a_model_is_enough_when_it_is_of_the_family_and_no_older(have, need, enough):
    assert Model.parse(have).at_least(Model.parse(need)) is enough


@pytest.mark.parametrize(
    ("asked_then", "asked_now", "covered"), [(50.0, 50.0, True), (50.0, 80.0, True), (80.0, 50.0, False)]
)
def test_a_lower_threshold_covers_a_higher_one(asked_then, asked_now, covered):
    question = Question("7.0", None, asked_now)

    assert question.is_answered_by(model_version="7.0", adapter="", min_confidence=asked_then) is covered


@pytest.mark.parametrize(("default_then", "default_now"), [(50.0, 5.0), (80.0, 50.0), (5.0, 50.0)])
def test_another_default_never_makes_an_answer_be_paid_for_again(default_then, default_now):
    question = Question("7.0", None, default_now, any_confidence=True)

    assert question.is_answered_by(model_version="7.0", adapter="", min_confidence=default_then)
    assert is_done({"min_confidence": default_then}, question=question)
    assert not is_done({"min_confidence": default_then, "model_version": "6.1"}, question=question)


def test_another_adapters_answer_covers_nothing():
    question = Question("7.0", "arn:a", 50)

    assert question.is_answered_by(model_version="7.0", adapter="arn:a", min_confidence=50)
    assert not question.is_answered_by(model_version="7.0", adapter="arn:b", min_confidence=50)
    assert not question.is_answered_by(model_version="7.0", adapter=None, min_confidence=50)
