"""What all requests share stays within its bounds however many jobs are looked at."""

from __future__ import annotations

import gc
import weakref

import pytest

from moderation.console.index.load_index import MOST_KNOWN
from moderation.console.index.looks import look_at
from moderation.console.index.selection import Selection
from support.console_load import Picture, publish_pictures, served
from support.pictures import jpeg
from support.planned_runs import make_settings


@pytest.mark.slow
def test_a_job_that_was_looked_at_long_ago_takes_no_memory(tmp_path, bucket, s3_client, aws_env):
    settings = make_settings(tmp_path, bucket, tables="local")
    one = {"a.jpg": Picture(jpeg(200, 150))}
    loads = [
        publish_pictures(settings, s3_client, bucket, one, name=f"run-{number}")
        for number in range(MOST_KNOWN + 1)
    ]
    with served(settings, tmp_path / "cache") as console:
        assert console.get(f"/jobs/{loads[0]}").status_code == 200
        found = console.app.state.shared.found(loads[0])
        first, listed = weakref.ref(found.index), weakref.ref(found.listed(Selection()))
        assert listed() is not None
        del found
        for load_id in loads:
            assert console.get(f"/jobs/{load_id}").status_code == 200
        assert listed() is None
        gc.collect()
        assert first() is None
        assert console.get(f"/jobs/{loads[0]}").status_code == 200


def test_a_look_at_the_tables_takes_little_of_a_machine_that_others_work_on(
    tmp_path, bucket, s3_client, aws_env
):
    settings = make_settings(tmp_path, bucket, tables="local")
    publish_pictures(settings, s3_client, bucket, {"a.jpg": Picture(jpeg(200, 150))})
    aws_env.setenv("MODERATION_CONSOLE_MEMORY", "40MB")
    asked = "SELECT current_setting('memory_limit'), current_setting('lock_configuration')"
    with look_at(settings, 1) as published:
        assert published.execute(asked).fetchone() == ("38.1 MiB", True)
        # Twice as much as that, so half of it lies on the disk.
        made = "SELECT md5(range::VARCHAR) AS sign FROM range(2_000_000)"
        published.execute(f"CREATE TEMP TABLE signs AS {made}")
        assert published.execute("SELECT count(DISTINCT sign[:2]) FROM signs").fetchone() == (256,)
