"""The compiled rows are those of their definition in Python."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from moderation.analyse.record import JobStatus
from moderation.flatten.flatten import Flattened, flatten_manifest, flatten_unplanned
from moderation.flatten.native import library
from moderation.flatten.parse import parse_block
from moderation.flatten.summary import ManifestSummary, SummaryError
from support.planned_runs import CONTEXT, RECORD, inputs_table
from support.result_lines import fuzzed_block

pytestmark = pytest.mark.skipif(library.load() is None, reason="the compiled parser is not there")

JOBS = [
    (CONTEXT, RECORD),
    (replace(CONTEXT, model_version=None), replace(RECORD, model_version=None)),
    (
        replace(CONTEXT, adapter="arn:asked"),
        replace(RECORD, status=JobStatus.FAILED, completed_at=None, failure_code="THROTTLED"),
    ),
    (
        replace(CONTEXT, model_version="8.0"),
        replace(RECORD, adapter="arn:job", completed_at=datetime(1969, 7, 20, tzinfo=UTC)),
    ),
]


def tables(found: Flattened) -> dict[str, pa.Table]:
    return {"images": found.images} | {f"{key}": rows for key, rows in found.labels.items()}


def assert_same(compiled: Flattened, python: Flattened) -> None:
    assert compiled.counts == python.counts
    one, other = tables(compiled), tables(python)
    assert list(one) == list(other)
    for name, table in one.items():
        table.validate(full=True)
        assert table.schema == other[name].schema
        for column, values in zip(table.schema.names, table.columns, strict=True):
            assert values.equals(other[name].column(column)), (name, column)


def in_python(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(library, "load", lambda: None)
    return monkeypatch


@pytest.mark.parametrize("seed", range(60))
def test_rows_of_a_manifest(seed, monkeypatch):
    draw = random.Random(seed)
    block = fuzzed_block(seed, lines=60)
    parts = parse_block(block, 1).lines.column("source_ref").drop_null().to_pylist()
    refs = [ref for ref in parts if draw.random() < 0.9] + ["s3://b/never-answered"] * draw.randrange(3)
    draw.shuffle(refs)
    if not refs:
        return
    context, record = JOBS[seed % len(JOBS)]
    errors = tuple(
        SummaryError(code="ImageTooLarge", message=None, line_number=None, source_ref=ref) for ref in refs[:2]
    )
    summary = ManifestSummary(errors=errors) if draw.random() < 0.5 else None
    superseded = pa.array([draw.random() < 0.2 for _ in refs]) if draw.random() < 0.5 else None

    def flatten() -> Flattened:
        return flatten_manifest(
            context, record, inputs_table(refs), blocks=[(block, 1)], summary=summary, superseded=superseded
        )

    compiled = flatten()
    with monkeypatch.context() as patched:
        in_python(patched)
        assert_same(compiled, flatten())


@pytest.mark.parametrize("seed", range(30))
def test_rows_of_somebody_elses_file(seed, monkeypatch):
    blocks = [(fuzzed_block(seed * 100 + number, lines=40), 1 + 40 * number) for number in range(3)]
    context, record = JOBS[seed % len(JOBS)]
    compiled = list(flatten_unplanned(context, record, blocks))
    with monkeypatch.context() as patched:
        in_python(patched)
        python = list(flatten_unplanned(context, record, blocks))
    for one, other in zip(compiled, python, strict=True):
        assert_same(one, other)


def test_inputs_cut_out_of_a_larger_table(monkeypatch):
    refs = [f"s3://b/{number:03}" for number in range(50)]
    lines = b"\n".join(
        b'{"source-ref":"%s","detect-moderation-labels":{"ModerationLabels":[%s],"ContentTypes":[]}}'
        % (ref.encode(), b'{"Name":"Violence","ParentName":"","Confidence":70.5,"TaxonomyLevel":1}')
        for ref in refs[13:]
    )
    inputs = inputs_table(refs).slice(13)
    compiled = flatten_manifest(CONTEXT, RECORD, inputs, blocks=[(lines, 1)])
    assert compiled.labels[1, "none"].column("source_ref").to_pylist() == refs[13:]
    assert compiled.labels[1, "none"].column("line_number").to_pylist() == list(range(14, 51))
    with monkeypatch.context() as patched:
        in_python(patched)
        assert_same(compiled, flatten_manifest(CONTEXT, RECORD, inputs, blocks=[(lines, 1)]))
