from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from moderation.flatten import arrays

INCLUDE = Path(arrays.__file__).parents[2]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, -2, 3], dtype=np.int64),
        np.array([1.5, -0.0], dtype=np.float64),
        np.array([True, False] * 9),
        np.array([], dtype=np.int32),
    ],
)
def test_numbers_survive_the_way_there_and_back(values):
    array = arrays.from_numpy(values)
    array.validate(full=True)
    assert array.to_pylist() == values.tolist()
    assert arrays.to_numpy(array).tolist() == values.tolist()


def test_masked_rows_are_null():
    array = arrays.from_numpy(np.array([1, 2, 3]), null=np.array([False, True, False]))
    assert array.to_pylist() == [1, None, 3]
    assert arrays.is_valid(array).tolist() == [True, False, True]
    assert arrays.codes(array).tolist() == [1, -1, 3]


def test_a_mask_without_nulls_costs_no_bitmap():
    assert arrays.from_numpy(np.arange(3), null=np.zeros(3, dtype=bool)).buffers()[0] is None


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.bool_()])
def test_slices_are_read_from_where_they_start(kind):
    array = pa.array([0, 1, None, 1, 0, 1, 1, 0, 0, 1, None], pa.int8()).cast(kind)
    part = array.slice(3, 8)
    assert arrays.is_valid(part).tolist() == [value is not None for value in part.to_pylist()]
    kept = arrays.to_numpy(part)[arrays.is_valid(part)]
    assert kept.tolist() == [value for value in part.to_pylist() if value is not None]


def test_chunks_are_joined():
    column = pa.chunked_array([[1, 2], [None, 4]], pa.int32())
    assert arrays.codes(column).tolist() == [1, 2, -1, 4]
    assert len(arrays.joined(pa.chunked_array([], pa.int32()))) == 0


def test_texts_of_any_length_and_script():
    values = ["", None, "a", "Größe 猫", "\0"]
    array = arrays.texts(values)
    array.validate(full=True)
    assert array.to_pylist() == values
    assert arrays.texts([]).to_pylist() == []


def test_numbers_pick_texts_and_minus_one_is_null():
    assert arrays.pick(np.array([1, -1, 0, 1]), ["a", "b"]).to_pylist() == ["b", None, "a", "b"]
    assert arrays.pick(np.array([-1, -1]), []).to_pylist() == [None, None]
    assert arrays.constant("x", 2).to_pylist() == ["x", "x"]
    assert arrays.constant(None, 2).to_pylist() == [None, None]


def test_taking_rows_of_tables_and_arrays():
    table = pa.table({"n": [10, 20, 30]})
    taken = arrays.take(table, np.array([2, 0, 1]), null=np.array([False, True, False]))
    assert taken.column("n").to_pylist() == [30, None, 20]
    assert arrays.take(arrays.texts(["a", "b"]), np.array([1])).to_pylist() == ["b"]


def test_flattening_does_not_wait_for_pandas_or_boto3():
    """Each costs more time than a manifest; pyarrow imports pandas behind one's back."""
    code = """
import sys, datetime as dt
from moderation.flatten.flatten import flatten_unplanned
from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten.rows import LoadContext
day = dt.date(2026, 1, 1)
context = LoadContext(load_id="l", dt=day, min_confidence=50, adapter=None, model_version=None)
succeeded = JobStatus.SUCCEEDED
record = AnalysisRecord(manifest_id="m", manifest_uri="u", lines=1, backend="bulk", status=succeeded)
label = b'{"Name":"Weapons","ParentName":"Violence","TaxonomyLevel":2,"Confidence":99.5}'
answer = b'"detect-moderation-labels":{"ModerationLabels":[' + label + b"]}}"
line = b'{"source-ref":"s3://b/k",' + answer + b'\\n{"source-ref'
(part,) = flatten_unplanned(context, record, [(line, 1)])
assert part.images.num_rows == 1 and len(part.labels) == 1, part
print(sorted({"pandas", "boto3", "pyarrow.compute"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(INCLUDE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "[]\n"
