"""Files are replaced in one snapshot, whatever pyiceberg's threads tell each other."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packaging.version import Version
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions.visitors import _ManifestEvalVisitor
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField

from moderation.tables.swap import data_files, giving_way, swap


@pytest.fixture
def table(tmp_path: Path) -> Any:
    catalog = SqlCatalog("swap", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=str(tmp_path))
    catalog.create_namespace("swap")
    schema = Schema(NestedField(1, "day", LongType(), required=False))
    parts = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "day"))
    made = catalog.create_table("swap.swap", schema, partition_spec=parts)
    for day in (1, 2):
        made.append(pa.table({"day": [day, day]}))
    yield made
    catalog.close()


@pytest.mark.skipif(
    Version(version("pyiceberg")) < Version("0.12"), reason="that of MWAA asks no visitor that threads share"
)
def test_a_file_that_pyiceberg_has_missed_is_looked_for_again(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _ManifestEvalVisitor.eval
    answers = []

    def told_of_another(visitor: _ManifestEvalVisitor, manifest: Any) -> bool:
        answers.append(asked(visitor, manifest))
        return len(answers) > 2 and answers[-1]  # the plan of the second attempt is the first that is right

    written = tmp_path / "one.parquet"
    pq.write_table(pa.table({"day": [1]}, schema=table.schema().as_arrow()), written)
    out = [file for file in data_files(table) if file.partition[0] == 1]
    monkeypatch.setattr(_ManifestEvalVisitor, "eval", told_of_another)
    giving_way(lambda: swap(table, out=out, into=[str(written)], properties={}))
    assert len(answers) > 2
    assert sorted(table.refresh().scan().to_arrow()["day"].to_pylist()) == [1, 2, 2]
