from __future__ import annotations

import numpy as np
import pytest

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten.flatten import flatten_manifest, flatten_unplanned
from moderation.flatten.native import library
from moderation.flatten.python import row_columns as definition
from moderation.flatten.rows import LoadContext
from support.planned_runs import CONTEXT, RECORD, inputs_table


@pytest.mark.skipif(library.load() is None, reason="the compiled parser is not there")
def test_text_beyond_32_bit_offsets_is_left_to_python(monkeypatch):
    """The library says that it cannot, instead of counting round."""
    asked = []

    def refuse(request):
        asked.append(request)
        raise OverflowError

    monkeypatch.setattr(definition, "label_columns", refuse)
    label = b'{"Name":"Violence","ParentName":"","Confidence":70.5,"TaxonomyLevel":1}'
    ref = "s3://b/" + "x" * 3_000_000
    line = b'{"source-ref":"%s","detect-moderation-labels":{"ModerationLabels":[%s]}}'
    block = line % (ref.encode(), b",".join([label] * 1000))
    with pytest.raises(OverflowError):
        list(flatten_unplanned(CONTEXT, RECORD, [(block, 1)]))
    assert len(asked) == 1
    assert len(asked[0].image) == 1


def test_no_images_and_no_labels_give_no_rows():
    nothing = flatten_manifest(CONTEXT, RECORD, inputs_table([]), blocks=[])
    assert nothing.images.num_rows == 0
    assert nothing.labels == {}
    context = LoadContext(load_id="l", dt=CONTEXT.dt, min_confidence=None, adapter=None, model_version=None)
    record = AnalysisRecord(
        manifest_id="m", manifest_uri="u", lines=1, backend="bulk", status=JobStatus.NOT_STARTED
    )
    lost = flatten_manifest(context, record, inputs_table(["s3://b/k"]))
    assert lost.images.to_pylist()[0]["status"] == "not_attempted"
    assert np.array_equal(lost.images.column("moderated_at").to_numpy(), [None])
