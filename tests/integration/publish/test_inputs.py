"""A publish trusts no inputs but those that were planned, and leaves no files but those it committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.plan.plan import PlanError
from moderation.publish import commit
from moderation.publish.commit import ReconciliationError, publish
from moderation.settings import Settings
from moderation.storage.files import Storage
from moderation.tables.published import read_loads
from support import planned_runs
from support.killed import killed_at
from support.planned_runs import Run, answer, line


def one_image(settings: Settings, s3_client: Any) -> Run:
    run = Run(settings, s3_client)
    run.manifest(["s3://archive/1.jpg"], line("s3://archive/1.jpg", answer()))
    return run


def test_inputs_that_were_changed_after_the_plan_are_named_and_nothing_is_visible(
    tmp_path: Path, bucket: str, aws_env: Any, s3_client: Any
) -> None:
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    run = one_image(settings, s3_client)
    plan = run.store()
    key = plan.inputs_uri.removeprefix(f"s3://{bucket}/")
    with s3_client.get_object(Bucket=bucket, Key=key)["Body"] as stored:
        body = bytearray(stored.read())
    body[len(body) // 3] ^= 1
    s3_client.put_object(Bucket=bucket, Key=key, Body=bytes(body))
    with pytest.raises(PlanError, match="was changed after it was planned"):
        publish(settings, plan, run.records)
    assert read_loads(settings).num_rows == 0


def test_an_image_that_the_plan_counts_and_no_row_accounts_for_stops_the_publish(
    tmp_path: Path, bucket: str, aws_env: Any, s3_client: Any
) -> None:
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    run = one_image(settings, s3_client)
    plan = run.store()
    plan = replace(plan, totals=replace(plan.totals, rejected=1))
    with pytest.raises(ReconciliationError, match="2 images were asked for and 1 are accounted for"):
        publish(settings, plan, run.records)
    assert read_loads(settings).num_rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["local", "s3"])
def test_a_publish_killed_before_its_commit_leaves_readers_of_files_one_row_of_loads(
    tables: str,
    tmp_path: Path,
    bucket: str,
    aws_env: pytest.MonkeyPatch,
    s3_client: Any,
) -> None:
    settings = planned_runs.make_settings(tmp_path, bucket, tables=tables)
    run = one_image(settings, s3_client)
    plan = run.store()

    for _ in range(2):
        with killed_at("uploaded loads", commit):
            publish(settings, plan, run.records)
    publish(settings, plan, run.records)
    with Storage(settings) as storage:
        files = [uri for uri in storage.list(f"{settings.tables_uri}/loads") if uri.endswith(".parquet")]
    assert len(files) == 1
    assert read_loads(settings).num_rows == 1
