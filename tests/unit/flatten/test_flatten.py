from __future__ import annotations

import datetime as dt
import io
import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import schema
from moderation.analyse.record import JobStatus
from moderation.flatten.blocks import iter_blocks
from moderation.flatten.flatten import Flattened, flatten_manifest, flatten_rejected, flatten_unplanned
from moderation.flatten.summary import parse_summary
from support.planned_runs import (
    CONTEXT,
    RECORD,
    answer,
    content_types,
    inputs_table,
    label,
    line,
    weapon_violence,
)

A, B, C = ("s3://bucket/a.jpg", "s3://bucket/b.jpg", "s3://bucket/c.jpg")


def flatten(refs: list[str], lines: list[bytes], *, errors: Any = None, **options: Any) -> Flattened:
    record = replace(RECORD, lines=len(refs), **options.pop("record", {}))
    summary = None if errors is None else parse_summary(json.dumps({"errors": errors}).encode())
    return flatten_manifest(
        options.pop("context", CONTEXT),
        record,
        inputs_table(refs),
        blocks=iter_blocks(io.BytesIO(b"\n".join(lines))),
        summary=summary,
        **options,
    )


def images(flattened: Flattened) -> list[dict[str, Any]]:
    return flattened.images.to_pylist()


def labels(flattened: Flattened, level: int) -> list[dict[str, Any]]:
    return [
        row for (at, _), rows in sorted(flattened.labels.items()) if at == level for row in rows.to_pylist()
    ]


def outcomes(flattened: Flattened) -> list[tuple[str, str | None]]:
    return [(row["status"], row["error_code"]) for row in images(flattened)]


def accounted(flattened: Flattened) -> bool:
    counts = flattened.counts
    return counts.images == counts.moderated + counts.failed + counts.not_attempted + counts.superseded


def test_a_moderated_image_has_its_answer_in_its_row():
    found = flatten([A], [line(A, answer(weapon_violence(), ContentTypes=content_types(Animated=72.7257)))])
    (row,) = images(found)
    assert row == {
        "load_id": CONTEXT.load_id,
        "dt": CONTEXT.dt,
        "source_ref": A,
        "bucket": "bucket",
        "key": "a.jpg",
        "etag": "e1",
        "status": "moderated",
        "error_code": None,
        "error_message": None,
        "content_type": "animated",
        "illustrated_confidence": None,
        "animated_confidence": 72.7257,
        "label_count": 3,
        "top_l1": "Violence",
        "max_confidence": 99.86129760742188,
        "backend": "bulk",
        "model_version": "7.0",
        "adapter": None,
        "job_id": "job-1",
        "moderated_at": RECORD.completed_at,
        "min_confidence": 50.0,
        "size_bytes": 1001,
        "last_modified": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "manifest_id": RECORD.manifest_id,
        "line_number": 1,
        "content_types_answered": True,
        "other_content_types": 0,
        "unknown_labels": 0,
        "origin": None,
        "answer_of_load_id": None,
        "answer_of_manifest_id": None,
        "answer_of_line": None,
        "base_model_version": None,
        "transcoded_from": None,
    }


def test_each_listed_label_is_one_row_of_its_level_with_its_ancestors():
    found = flatten([A], [line(A, answer(weapon_violence()))])
    (l1,), (l2,), (l3,) = (labels(found, level) for level in (1, 2, 3))
    assert l1["l1"] == "Violence"
    assert (l2["l1"], l2["l2"]) == ("Violence", "Graphic Violence")
    assert (l3["l1"], l3["l2"], l3["l3"]) == ("Violence", "Graphic Violence", "Weapon Violence")
    assert {row["confidence"] for row in (l1, l2, l3)} == {99.86129760742188}
    assert (l3["source_ref"], l3["manifest_id"], l3["line_number"]) == (A, RECORD.manifest_id, 1)


@pytest.mark.parametrize("levels", [True, False], ids=["with levels", "without levels"])
def test_a_fourth_and_a_fifth_level_are_rows_of_l3_below_the_answers_top(levels):
    names = ["Violence", "Weapons", "Knife", "Knife Blade", "Serrated Blade"]
    listed = [
        label(name, above, depth if levels else None)
        for depth, (above, name) in enumerate(pairwise(["", *names]), start=1)
    ]
    found = flatten([A, B], [line(A, answer(listed[::-1])), line(B, answer(listed[:3]))])
    assert [row["top_l1"] for row in images(found)] == ["Violence", "Violence"]
    rows = [(row["l1"], row["l2"], row["l3"], row["name"], row["parent_name"]) for row in labels(found, 3)]
    assert rows == [
        ("Violence", "Weapons", "Knife", "Serrated Blade", "Knife Blade"),
        ("Violence", "Weapons", "Knife", "Knife Blade", "Knife"),
        ("Violence", "Weapons", "Knife", "Knife", "Weapons"),
        ("Violence", "Weapons", "Knife", "Knife", "Weapons"),
    ]
    (anomaly,) = found.anomalies
    assert (anomaly.kind, anomaly.is_mismatch) == ("DeeperLevel", False)
    assert anomaly.message.startswith(
        "2 labels stand below level 3, the deepest at level 5 ('Serrated Blade'), in 1 answers (lines 1)"
    )


def test_one_l2_above_two_l3_is_one_row_and_an_l2_without_l3_has_none_below():
    body = answer(
        [
            label("Weapon Violence", "Graphic Violence", 3, 90),
            label("Physical Violence", "Graphic Violence", 3, 80),
            label("Graphic Violence", "Violence", 2, 90),
            label("Weapons", "Violence", 2, 70),
            label("Violence", "", 1, 90),
        ]
    )
    found = flatten([A], [line(A, body)])
    assert [row["l3"] for row in labels(found, 3)] == ["Weapon Violence", "Physical Violence"]
    assert {row["l2"] for row in labels(found, 3)} == {"Graphic Violence"}
    assert [row["l2"] for row in labels(found, 2)] == ["Graphic Violence", "Weapons"]
    assert len(labels(found, 1)) == 1


def test_the_same_l2_name_under_two_l1s_follows_the_answers_order_and_is_flagged():
    body = answer(
        [
            label("Leaf", "Shared", 3),
            label("Shared", "Right", 2),
            label("Shared", "Left", 2),
            label("Left"),
            label("Right"),
        ]
    )
    (leaf,) = labels(flatten([A], [line(A, body)]), 3)
    assert (leaf["l1"], leaf["l2"], leaf["ambiguous_parent"]) == ("Right", "Shared", True)


def test_the_parent_of_a_trimmed_answer_is_in_the_path_but_gets_no_row():
    found = flatten([A], [line(A, answer(weapon_violence()[:1]))])
    (row,) = labels(found, 3)
    assert (row["l1"], row["l2"], row["path_derived"]) == ("Violence", "Graphic Violence", True)
    assert labels(found, 1) == labels(found, 2) == []
    assert images(found)[0]["top_l1"] == "Violence"


def test_an_unknown_label_is_kept_flagged_and_counted():
    found = flatten([A], [line(A, answer([label("Telepathy", "", 1, 77.5), *weapon_violence(60)]))])
    row = labels(found, 1)[0]
    assert (row["l1"], row["name"], row["unknown_label"], row["v7_l1"]) == (
        "Telepathy",
        "Telepathy",
        True,
        None,
    )
    assert (images(found)[0]["unknown_labels"], images(found)[0]["label_count"]) == (1, 4)


def test_another_case_is_kept_beside_the_taxonomys_spelling():
    (row,) = labels(flatten([A], [line(A, answer([label("VIOLENCE")]))]), 1)
    assert (row["l1"], row["name"], row["respelled"], row["unknown_label"]) == (
        "Violence",
        "VIOLENCE",
        True,
        False,
    )


def test_answers_of_model_6_1_without_levels_are_bridged():
    body = answer(
        [label("Weapon Violence", "Violence", None, 90), label("Violence", "", None, 90)], model="6.1"
    )
    del body["ContentTypes"]
    found = flatten([A], [line(A, body)])
    (row,) = labels(found, 2)
    assert (row["l1"], row["l2"], row["level_derived"], row["model_version"]) == (
        "Violence",
        "Weapon Violence",
        True,
        "6.1",
    )
    assert (row["v7_l1"], row["v7_l2"], row["v7_l3"]) == ("Violence", "Graphic Violence", "Weapon Violence")
    image = images(found)[0]
    assert (image["content_type"], image["content_types_answered"]) == ("none", False)


@pytest.mark.parametrize(
    ("items", "content_type", "answered", "other"),
    [
        ([], "none", True, 0),
        (None, "none", False, 0),
        (content_types(Illustrated=1), "illustrated", True, 0),
        (content_types(animated=1), "animated", True, 0),
        (content_types(Animated=1, Illustrated=2), "illustrated_animated", True, 0),
        (content_types(**{f"K{n}": 1 for n in range(49)}, Animated=2), "animated", True, 49),
    ],
    ids=["empty", "null", "illustrated", "other case", "both", "fifty"],
)
def test_labels_are_split_by_content_type(items, content_type, answered, other):
    found = flatten([A], [line(A, answer(weapon_violence(), ContentTypes=items))])
    assert set(found.labels) == {(level, content_type) for level in (1, 2, 3)}
    row = images(found)[0]
    assert (row["content_type"], row["content_types_answered"], row["other_content_types"]) == (
        content_type,
        answered,
        other,
    )


def test_rows_follow_the_inputs_and_labels_the_answer_whatever_the_order_of_lines():
    refs = [f"s3://b/{n}" for n in range(200)]
    lines = [line(ref, answer(weapon_violence(n / 2))) for n, ref in enumerate(refs)]
    straight = flatten(refs, lines)
    shuffled = random.Random(7).sample(lines, len(lines))
    mixed = flatten(refs, [*shuffled, *shuffled[:5]])
    assert mixed.images.equals(straight.images)
    assert [row["line_number"] for row in images(mixed)] == list(range(1, 201))
    for level in (1, 2, 3):
        assert labels(mixed, level) == labels(straight, level)
    assert Counter(anomaly.kind for anomaly in mixed.anomalies) == {"DuplicateResult": 5}
    assert not any(anomaly.is_mismatch for anomaly in mixed.anomalies)


def test_a_second_answer_that_contradicts_the_first_is_a_mismatch():
    found = flatten([A], [line(A, answer()), line(A, answer(weapon_violence()))])
    assert [(entry.kind, entry.line_number, entry.is_mismatch) for entry in found.anomalies] == [
        ("DuplicateResult", 2, True)
    ]


def test_an_image_without_result_and_error_is_not_attempted():
    found = flatten([A, B], [line(B, answer())])
    assert outcomes(found) == [("not_attempted", "ResultMissing"), ("moderated", None)]


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.NOT_STARTED])
def test_images_of_a_job_that_failed_carry_its_code_and_message(status):
    record = {
        "status": status,
        "failure_code": "ACCESS_DENIED",
        "failure_message": "no",
        "completed_at": None,
    }
    found = flatten([A, B], [], record=record)
    assert outcomes(found) == [("not_attempted", "AccessDenied")] * 2
    assert [row["error_message"] for row in images(found)] == ["no", "no"]
    assert images(found)[0]["backend"] == ("bulk" if status is JobStatus.FAILED else None)


def test_images_of_a_manifest_without_job_say_so():
    assert outcomes(flatten([A], [], record={"status": JobStatus.NOT_STARTED})) == [
        ("not_attempted", "NotStarted")
    ]


def test_a_summary_error_makes_its_image_fail_with_code_and_message():
    error = {"line-numer": 1, "source-ref": A, "code": "InvalidImageFormatException", "message": "no picture"}
    found = flatten([A], [], errors=[error])
    assert outcomes(found) == [("failed", "InvalidImageFormat")]
    assert images(found)[0]["error_message"] == "no picture"
    assert images(found)[0]["moderated_at"] == RECORD.completed_at


def test_a_line_without_answer_and_its_error_are_one_failure():
    error = {"source-ref": A, "code": "ImageTooLarge"}
    found = flatten([A], [json.dumps({"source-ref": A}).encode()], errors=[error])
    assert outcomes(found) == [("failed", "ImageTooLarge")]
    assert found.anomalies == ()


@pytest.mark.parametrize(
    "text",
    [b'{"source-ref":"%s"}' % A.encode(), line(A, answer())[:-20], line(A, {"ModerationLabels": None})],
    ids=["no answer", "cut off", "null labels"],
)
def test_a_line_that_cannot_be_read_fails_its_image_and_names_the_line(text):
    found = flatten([A, B], [line(B, answer()), text])
    assert outcomes(found) == [("failed", "MalformedResult"), ("moderated", None)]
    assert "line 2 of the results" in images(found)[0]["error_message"]


def test_a_malformed_line_that_names_no_image_is_kept_with_its_number_and_text():
    found = flatten([A], [line(A, answer()), b"{torn"])
    assert outcomes(found) == [("moderated", None)]
    (anomaly,) = found.anomalies
    assert (anomaly.kind, anomaly.line_number, anomaly.raw) == ("MalformedLine", 2, "{torn")
    assert found.counts.malformed_lines == 1


def test_a_line_that_stands_there_twice_is_one_answer_and_billed_once():
    found = flatten([A, B], [line(A, answer()), line(B, answer()), line(A, answer())])
    assert [anomaly.kind for anomaly in found.anomalies] == ["DuplicateResult"]
    assert found.counts.billed == 2


def test_a_good_line_outweighs_a_torn_copy_of_it():
    found = flatten([A], [line(A, answer())[:-20], line(A, answer())])
    assert outcomes(found) == [("moderated", None)]
    assert [anomaly.kind for anomaly in found.anomalies] == ["MalformedLine"]


def test_results_for_images_that_were_never_asked_are_recorded_and_make_no_row():
    found = flatten([A], [line(A, answer()), line(B, answer(weapon_violence()))])
    assert [row["source_ref"] for row in images(found)] == [A]
    assert found.labels == {}
    assert [(entry.kind, entry.source_ref) for entry in found.anomalies] == [("UnexpectedResult", B)]
    assert found.counts.billed == 2


def test_an_error_about_an_image_never_asked_or_already_answered_is_recorded():
    errors = [{"source-ref": B, "code": "X"}, {"source-ref": A, "code": "Y"}]
    found = flatten([A], [line(A, answer())], errors=errors)
    assert outcomes(found) == [("moderated", None)]
    assert [(entry.kind, entry.source_ref) for entry in found.anomalies] == [
        ("UnexpectedError", B),
        ("UnexpectedError", A),
    ]


def test_an_image_asked_for_twice_needs_two_answers():
    once = flatten([A, A], [line(A, answer())])
    assert outcomes(once) == [("moderated", None), ("not_attempted", "ResultMissing")]
    twice = flatten([A, A], [line(A, answer())] * 2)
    assert outcomes(twice) == [("moderated", None)] * 2
    mixed = flatten([A, A], [line(A, answer())], errors=[{"source-ref": A, "code": "Throttled"}])
    assert outcomes(mixed) == [("moderated", None), ("failed", "Throttling")]


@pytest.mark.parametrize("base", [0, 1])
def test_errors_without_source_ref_are_settled_when_one_base_of_line_numbers_fits(base):
    errors = [{"line-numer": 2 + base, "code": "ImageTooLarge"}]
    found = flatten([A, B, C], [line(A, answer()), line(B, answer())], errors=errors)
    assert outcomes(found) == [("moderated", None), ("moderated", None), ("failed", "ImageTooLarge")]


def test_errors_without_source_ref_are_not_guessed_when_both_bases_fit():
    found = flatten([A, B], [], errors=[{"line-numer": 1, "code": "ImageTooLarge"}])
    assert outcomes(found) == [("not_attempted", "ResultMissing")] * 2
    assert [entry.kind for entry in found.anomalies] == ["UnexpectedError"]


def test_a_damaged_summary_is_recorded_and_the_answers_count():
    found = flatten_manifest(
        CONTEXT, RECORD, inputs_table([A]), blocks=[(line(A, answer()), 1)], summary=parse_summary(b"{torn")
    )
    assert outcomes(found) == [("moderated", None)]
    assert [entry.kind for entry in found.anomalies] == ["MalformedSummary"]


def test_answers_of_the_base_model_where_an_adapter_was_asked_are_told_apart():
    adapter = "arn:aws:rekognition:us-east-1:1:project/p/version/v/1"
    lines = [line(A, answer(ProjectVersion=adapter)), line(B, answer())]
    context = replace(CONTEXT, adapter=adapter, base_model_version="7.1")
    found = flatten([A, B], lines, record={"adapter": adapter}, context=context)
    assert [row["adapter"] for row in images(found)] == [adapter, None]
    assert [row["base_model_version"] for row in images(found)] == ["7.1", None]
    (anomaly,) = found.anomalies
    assert (anomaly.kind, anomaly.message[:6]) == ("AdapterIgnored", "1 of 2")
    assert "(lines 2)" in anomaly.message
    assert not anomaly.is_mismatch, "they are paid for, and their rows say whose they are"


def test_answers_of_another_adapter_are_none_to_the_question():
    asked, other = (f"arn:aws:rekognition:us-east-1:1:project/p/version/v/{number}" for number in (1, 2))
    lines = [line(A, answer(ProjectVersion=other)), line(B, answer())]
    found = flatten([A, B], lines, record={"adapter": asked}, context=replace(CONTEXT, adapter=asked))
    assert [(one.kind, one.is_mismatch) for one in found.anomalies] == [
        ("AdapterIgnored", False),
        ("OtherAdapter", True),
    ]


def test_the_top_l1_is_the_first_listed_of_equal_confidences():
    body = answer(
        [label("Alcohol", confidence=9.5), label("Violence", confidence=9.5), label("Gambling", confidence=9)]
    )
    row = images(flatten([A], [line(A, body)]))[0]
    assert (row["top_l1"], row["max_confidence"]) == ("Alcohol", 9.5)


def test_rejected_inputs_are_failed_rows_without_job():
    found = flatten_rejected(CONTEXT, inputs_table([A], manifest=None, code="KeyTooLong"))
    (row,) = images(found)
    assert (row["status"], row["error_code"], row["job_id"], row["moderated_at"], row["model_version"]) == (
        "failed",
        "KeyTooLong",
        None,
        None,
        None,
    )
    assert found.counts.failed == 1


def test_superseded_inputs_get_no_rows_but_are_counted():
    lines = [line(ref, answer(weapon_violence())) for ref in (A, B)]
    found = flatten([A, B], lines, superseded=pa.array([True, False]))
    assert [row["source_ref"] for row in images(found)] == [B]
    assert [row["source_ref"] for row in labels(found, 3)] == [B]
    assert (found.counts.superseded, found.counts.moderated, found.counts.billed) == (1, 1, 2)
    assert accounted(found)


def test_a_file_of_somebody_elses_job_is_flattened_block_by_block():
    lines = [line(A, answer(weapon_violence())), b"{torn", line(B, answer()), line(A, answer())]
    data = io.BytesIO(b"\n".join(lines))
    parts = list(flatten_unplanned(CONTEXT, RECORD, iter_blocks(data, block_bytes=200)))
    rows = [row for part in parts for row in images(part)]
    assert [(row["line_number"], row["bucket"], row["key"]) for row in rows] == [
        (1, "bucket", "a.jpg"),
        (3, "bucket", "b.jpg"),
        (4, "bucket", "a.jpg"),
    ]
    assert [entry.line_number for part in parts for entry in part.anomalies] == [2]


def test_tables_have_the_columns_and_types_of_the_schema():
    found = flatten([A], [line(A, answer(weapon_violence()))])
    tables = [(schema.IMAGES, found.images)] + [
        (schema.LABELS[at], rows) for (at, _), rows in found.labels.items()
    ]
    for spec, table in tables:
        assert table.schema.names == spec.schema.names
        for entry in spec.schema:
            kind = table.schema.field(entry.name).type
            assert entry.type == (kind.value_type if pa.types.is_dictionary(kind) else kind)


REFS = [f"s3://b/{n}" for n in range(6)]


@settings(max_examples=150)
@given(
    asked=st.lists(st.sampled_from(REFS[:5]), max_size=8),
    answered=st.lists(st.sampled_from(REFS), max_size=8),
    torn=st.lists(st.sampled_from(REFS), max_size=4),
    failed=st.lists(st.one_of(st.none(), st.sampled_from(REFS)), max_size=4),
    numbers=st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_every_input_has_exactly_one_outcome_and_every_answer_is_a_row_or_an_anomaly(
    asked, answered, torn, failed, numbers
):
    lines = [line(ref, answer()) for ref in answered] + [line(ref, answer())[:-9] for ref in torn]
    errors = [
        {"line-numer": number, "code": "X"} | ({"source-ref": ref} if ref else {})
        for ref, number in zip(failed, numbers, strict=False)
    ]
    found = flatten(asked, lines, errors=errors)
    assert accounted(found)
    assert Counter(row["source_ref"] for row in images(found)) == Counter(asked)
    wanted, given_answers = Counter(asked), Counter(answered)
    moderated = Counter(row["source_ref"] for row in images(found) if row["status"] == "moderated")
    assert moderated == wanted & given_answers
    unused = Counter(
        entry.source_ref
        for entry in found.anomalies
        if entry.kind in ("DuplicateResult", "UnexpectedResult") and entry.raw is None
    )
    assert moderated + unused == given_answers
