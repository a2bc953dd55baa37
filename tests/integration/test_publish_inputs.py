"""A publish trusts no inputs but those that were planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moderation.plan_files import PlanError
from moderation.publish import publish
from moderation.published import read_loads
from support import planned_runs
from support.planned_runs import Run, answer, line


def test_inputs_that_were_changed_after_the_plan_are_named_and_nothing_is_visible(
    tmp_path: Path, bucket: str, aws_env: Any, s3_client: Any
) -> None:
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    run = Run(settings, s3_client)
    run.manifest(["s3://archive/1.jpg"], line("s3://archive/1.jpg", answer()))
    plan = run.store()
    key = plan.inputs_uri.removeprefix(f"s3://{bucket}/")
    with s3_client.get_object(Bucket=bucket, Key=key)["Body"] as stored:
        body = bytearray(stored.read())
    body[len(body) // 3] ^= 1
    s3_client.put_object(Bucket=bucket, Key=key, Body=bytes(body))
    with pytest.raises(PlanError, match="was changed after it was planned"):
        publish(settings, plan, run.records)
    assert read_loads(settings).num_rows == 0
