from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from moderation.flatten.native import parse as compiled
from moderation.flatten.parse import parse_block
from moderation.flatten.parsed_block import Outcome, ParsedBlock
from moderation.flatten.python import parse as definition
from support.planned_runs import answer, label, line, weapon_violence


@pytest.fixture(params=[definition.parse_block, parse_block], ids=["python", "default"])
def parse(request: pytest.FixtureRequest) -> Any:
    return request.param


def only(parsed: ParsedBlock) -> dict[str, Any]:
    (row,) = parsed.lines.to_pylist()
    return row


def texts(parsed: ParsedBlock, column: str) -> list[str | None]:
    strings = parsed.strings.to_pylist()
    return [None if index is None else strings[index] for index in parsed.labels.column(column).to_pylist()]


def test_the_published_example_is_read(parse):
    row = only(
        parse(
            b'{"source-ref":"s3://foo/bar/1.jpg", "detect-moderation-labels": {"ModerationLabels":[],'
            b'"ModerationModelVersion":"7.0","ContentTypes":[{"Confidence":72.7257,"Name":"Animated"}]}}',
            1,
        )
    )
    assert row["outcome"] == Outcome.ANSWERED
    assert (row["source_ref"], row["animated"], row["illustrated"]) == ("s3://foo/bar/1.jpg", 72.7257, None)
    assert (row["content_types"], row["label_count"], row["top_label"], row["raw"]) == (1, 0, None, None)


@pytest.mark.parametrize(
    ("text", "outcome", "source_ref"),
    [
        (b'{"source-ref":"s3://b/a"}', Outcome.NO_ANSWER, "s3://b/a"),
        (b'{"source-ref":"s3://b/a","detect-moderation-labels":null}', Outcome.NO_ANSWER, "s3://b/a"),
        (b'{"source-ref":"s3://b/a","detect-moderation-labels":{"Moder', Outcome.NOT_JSON, "s3://b/a"),
        (b'{"source-ref":"s3://b/a \\u20ac", oops', Outcome.NOT_JSON, "s3://b/a €"),
        (b'{"source-ref":"s3://b/', Outcome.NOT_JSON, None),
        (b'{"source-ref":"s3://b/\xff"}', Outcome.NOT_JSON, None),
        (b'{"source-ref":"s3://b/\\ud800"}', Outcome.NOT_JSON, None),
        (b"garbage", Outcome.NOT_JSON, None),
        (b'{"a":1}{"b":2}', Outcome.NOT_JSON, None),
        (b"[1,2]", Outcome.NOT_AN_OBJECT, None),
        (b"null", Outcome.NOT_AN_OBJECT, None),
        (b'"text"', Outcome.NOT_AN_OBJECT, None),
        (b"{}", Outcome.NO_SOURCE_REF, None),
        (b'{"source-ref":null}', Outcome.NO_SOURCE_REF, None),
        (b'{"source-ref":""}', Outcome.NO_SOURCE_REF, None),
        (b'{"source-ref":7}', Outcome.NO_SOURCE_REF, None),
        (b'{"source-ref":"s3://b/a","detect-moderation-labels":[]}', Outcome.BAD_ANSWER, "s3://b/a"),
        (b'{"source-ref":"s3://b/a","detect-moderation-labels":{}}', Outcome.BAD_ANSWER, "s3://b/a"),
    ],
)
def test_a_line_without_answer_is_kept_with_its_number_and_text(parse, text, outcome, source_ref):
    row = only(parse(b"\n \n" + text + b"\r\n", 40))
    assert (row["line_number"], row["outcome"], row["source_ref"]) == (42, outcome, source_ref)
    assert row["raw"] == text.decode("utf-8", "replace")


BAD_LABELS: list[Any] = [
    None,
    {"a": 1},
    "text",
    [None],
    [{"Name": "X"}],
    [{"Name": "", "Confidence": 1}],
    [{"Name": None, "Confidence": 1}],
    [{"Name": "X", "Confidence": "99"}],
    [{"Name": "X", "Confidence": None}],
    [{"Name": "X", "Confidence": True}],
    [{"Name": "X", "Confidence": 1, "ParentName": 3}],
    [{"Name": "X", "Confidence": 1, "TaxonomyLevel": "1"}],
    [{"Name": "X", "Confidence": 1, "TaxonomyLevel": 1.0}],
    [{"Name": "X", "Confidence": 1, "TaxonomyLevel": True}],
    [label("Violence"), {"Name": "X"}],
]


@pytest.mark.parametrize("labels", BAD_LABELS, ids=json.dumps)
def test_an_answer_whose_labels_cannot_be_read_whole_is_no_answer(parse, labels):
    parsed = parse(line("s3://b/a", answer() | {"ModerationLabels": labels}), 1)
    assert only(parsed)["outcome"] == Outcome.BAD_ANSWER
    assert parsed.labels.num_rows == 0


def test_missing_labels_are_not_taken_for_no_labels(parse):
    body = answer()
    del body["ModerationLabels"]
    assert only(parse(line("s3://b/a", body), 1))["outcome"] == Outcome.BAD_ANSWER


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (None, (None, None, None, 0)),
        ([], (0, None, None, 0)),
        ([{"Name": "Illustrated", "Confidence": 60}], (1, 60.0, None, 0)),
        (
            [{"Name": "ANIMATED", "Confidence": 1.5}, {"Name": "illustrated", "Confidence": 2}],
            (2, 2.0, 1.5, 0),
        ),
        ([{"Name": "Animated", "Confidence": 3}, {"Name": "Animated", "Confidence": 9}], (2, None, 9.0, 0)),
        ([{"Name": f"Kind {n}", "Confidence": n} for n in range(50)], (50, None, None, 50)),
        ([None, 5, {"Name": "Animated"}, {"Confidence": 1}], (4, None, None, 4)),
    ],
    ids=["null", "empty", "integer", "both", "twice", "fifty", "odd"],
)
def test_content_types_are_a_set_in_which_null_and_empty_differ(parse, items, expected):
    row = only(parse(line("s3://b/a", answer(ContentTypes=items)), 1))
    assert (
        tuple(row[name] for name in ("content_types", "illustrated", "animated", "other_content_types"))
        == expected
    )


def test_missing_content_types_are_like_null(parse):
    body = answer()
    del body["ContentTypes"]
    assert only(parse(line("s3://b/a", body), 1))["content_types"] is None


def test_the_last_of_duplicate_keys_counts(parse):
    text = (
        b'{"source-ref":"s3://b/first","source-ref":"s3://b/last","detect-moderation-labels":'
        b'{"ModerationLabels":[{"Name":"A","Name":"B","Confidence":1,"Confidence":2}],"ModerationLabels":'
        b'[{"Name":"C","Name":"D","Confidence":3,"Confidence":4}]}}'
    )
    parsed = parse(text, 1)
    assert only(parsed)["source_ref"] == "s3://b/last"
    assert texts(parsed, "name") == ["D"]
    assert parsed.labels.column("confidence").to_pylist() == [4.0]


@pytest.mark.parametrize(
    "number", ["99.86129760742188", "0", "100", "5e-324", "1E2", "18446744073709551616", "0.1"]
)
def test_confidences_are_kept_bit_for_bit(parse, number):
    text = line("s3://b/a", answer([label("Violence")])).replace(b"90.0", number.encode())
    assert parse(text, 1).labels.column("confidence").to_pylist() == [float(number)]


def test_the_top_label_is_the_first_listed_of_equals(parse):
    labels = [label("A", confidence=5), label("B", confidence=9), label("C", confidence=9)]
    parsed = parse(line("s3://b/0", answer([label("Z")])) + b"\n" + line("s3://b/a", answer(labels)), 1)
    assert parsed.lines.column("top_label").to_pylist() == [0, 2]


def test_a_chain_points_at_its_parents(parse):
    parsed = parse(line("s3://b/a", answer(weapon_violence())), 1)
    assert parsed.labels.column("parent").to_pylist() == [1, 2, None]
    assert texts(parsed, "parent_name") == ["Graphic Violence", "Violence", None]


def test_of_several_parents_the_first_after_the_child_counts_and_is_flagged(parse):
    labels = [
        label("Shared", "Left", 2),
        label("Leaf", "shared", 3),
        label("Shared", "Right", 2),
        label("Left"),
        label("Right"),
    ]
    parsed = parse(line("s3://b/a", answer(labels)), 1)
    assert parsed.labels.column("parent").to_pylist() == [3, 2, 4, None, None]
    assert parsed.labels.column("ambiguous").to_pylist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("listed", "parents"),
    [
        ([("Gambling", "Gambling", 2), ("Gambling", "", 1)], [1, None]),
        ([("C", "A", 3), ("A", "", 1)], [1, None]),
        ([("A", "", 1), ("E", "A", 5)], [None, 0]),
        ([("E", "G", 5), ("G", "", 1), ("G", "B", 3), ("G", "A", 2)], [2, None, None, None]),
        ([("E", "G", 5), ("G", "A", 3), ("G", "", 4), ("G", "", 3)], [2, None, None, None]),
        ([("E", "G", 5), ("G", "", 2), ("G", "", None)], [2, None, None]),
        ([("A", "B", 1), ("B", "A", 2)], [None, 0]),
        ([("B", "A", 2), ("A", "B", 1)], [1, None]),
        ([("A", "B", 2), ("B", "A", 2)], [None, None]),
        ([("C", "A", 2), ("A", "", 3)], [None, None]),
    ],
)
def test_a_parent_is_one_level_up_or_else_the_nearest_above(parse, listed, parents):
    parsed = parse(line("s3://b/a", answer([label(*told) for told in listed])), 1)
    assert parsed.labels.column("parent").to_pylist() == parents


@pytest.mark.parametrize(
    ("level", "kept"),
    [(0, None), (-1, None), (128, None), (10**18, None), (None, None), (1, 1), (4, 4), (127, 127)],
)
def test_levels_of_later_models_are_kept_and_what_is_none_counts_as_missing(parse, level, kept):
    labels = [label("Violence") | {"TaxonomyLevel": level}]
    assert parse(line("s3://b/a", answer(labels)), 1).labels.column("level").to_pylist() == [kept]


@pytest.mark.parametrize(
    ("parents", "kept"),
    [
        ("a", [None]),
        ("ba", [None, 0]),
        ("bca", [None, 2, 0]),
        ("bcdb", [1, None, 3, 1]),
        ("baddc", [None, 0, 3, None, 2]),
    ],
)
def test_no_chain_is_endless(parse, parents, kept):
    # A label named a whose parent is b, and so on: those that close a circle lose the parent listed first.
    labels = [label(name, parent, None) for name, parent in zip("abcde", parents, strict=False)]
    parsed = parse(line("s3://b/a", answer(labels)), 1)
    assert parsed.labels.column("parent").to_pylist() == kept


def test_a_chain_is_told_from_another_by_everything_above_it(parse):
    tops = [[label("D", "C", 4), label("C", "B", 3), label("B", top, 2), label(top)] for top in ("A", "Z")]
    block = b"\n".join(line("s3://b/a", answer(labels)) for labels in (*tops, tops[0]))
    chain = parse(block, 1).labels.column("chain").to_pylist()
    assert chain == [3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "source_ref",
    [
        "s3://b/a b",
        "s3://b/ä€😀",
        's3://b/"q"',
        "s3://b/new\nline",
        "s3://b/#?%20",
        "s3://b/\u2028",
        "s3://b/\x00",
    ],
)
def test_odd_characters_of_a_key_survive(parse, source_ref):
    assert only(parse(line(source_ref, answer()), 1))["source_ref"] == source_ref


def test_unknown_keys_do_not_disturb(parse):
    text = orjson.dumps(
        {"x": {"y": [1]}, "source-ref": "s3://b/a", "detect-moderation-labels": answer(New={"a": None})}
    )
    assert only(parse(text, 1))["outcome"] == Outcome.ANSWERED


def test_a_block_too_large_for_the_library_is_parsed_in_python(monkeypatch):
    block = line("s3://b/a", answer(weapon_violence()))
    monkeypatch.setattr(compiled, "MAX_BLOCK_BYTES", len(block) - 1)
    assert compiled.parse_block(block, 1) is None
    assert only(parse_block(block, 1))["outcome"] == Outcome.ANSWERED
