"""The history that benchmarks ask is one that this release could have written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from moderation.query.published_views import open_published
from moderation.schema import IMAGES, LABELS

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def generate(monkeypatch):
    """The module as a benchmark imports it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "queries"))
    import generate  # noqa: PLC0415 - benchmarks are scripts beside each other, no package

    yield generate
    sys.modules.pop("generate")


def test_a_generated_day_is_published_with_all_columns_of_this_release(generate, tmp_path):
    data = generate.Data(folder=tmp_path, images=1_200, days=1)
    with generate.connect(data) as connection:
        generate.publish_day(connection, data, 0)
    generate.register(data)

    with open_published(data.settings) as warehouse:
        for table in (IMAGES, *LABELS.values()):
            columns = warehouse.table(table.name).columns
            assert set(table.schema.names) <= set(columns), table.name
        ((images, labelled),) = warehouse.sql("SELECT count(*), sum(label_count) FROM images").fetchall()
        ((rows,),) = warehouse.sql("SELECT count(*) FROM labels").fetchall()
    assert images == 1_200
    assert rows == labelled
