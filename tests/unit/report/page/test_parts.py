"""A history larger than memory is counted part by part, with the same figures."""

from __future__ import annotations

import duckdb
import pytest

from moderation.report.page import data, parts
from moderation.warehouses.reading import open_warehouse
from support import small_warehouse
from support.small_warehouse import SECOND_LOAD


@pytest.mark.parametrize("load_id", [None, SECOND_LOAD])
@pytest.mark.parametrize("images_a_part", [1, 3])
def test_any_number_of_parts_gives_the_same_report(tmp_path, monkeypatch, load_id, images_a_part):
    warehouse = small_warehouse.small(tmp_path / "warehouse.duckdb")
    with open_warehouse(warehouse, load_id=load_id) as connection:
        whole = data.read(connection)
        monkeypatch.setattr(parts, "IMAGES_A_PART", images_a_part)

        assert data.read(connection) == whole
        assert whole.moderated > 0


def test_each_image_is_in_one_part():
    sql = "-- Which?\nWITH found AS (SELECT * FROM images) SELECT source_ref FROM found"
    with duckdb.connect() as connection:
        for table in ("images", "labels_l1", "labels_l2", "labels_l3"):
            connection.execute(f"CREATE TABLE {table} AS SELECT range::VARCHAR AS source_ref FROM range(100)")
        seen = [connection.execute(parts._of_part(sql, part, 7)).fetchall() for part in range(7)]

    assert all(seen)
    assert sorted(name for rows in seen for (name,) in rows) == sorted(str(n) for n in range(100))


def test_a_query_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="WITH"):
        parts._of_part("-- All\nSELECT 1", 0, 2)
