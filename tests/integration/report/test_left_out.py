from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from moderation.plan.plan import Plan
from moderation.plan.store import write_left_out
from moderation.report import left_out
from moderation.sources.listing import LEFT_OUT
from moderation.storage import s3_objects
from support import planned_runs

ROWS = [
    {
        "source_ref": f"s3://b/{number}.txt",
        "size": 4,
        "rule": "*.txt",
        "content": None if number == 3 else "text",
    }
    for number in range(4)
]


@pytest.fixture
def plan(bucket: str, s3_client: Any) -> Plan:
    table = pa.Table.from_pylist(ROWS, schema=LEFT_OUT)
    uri = write_left_out(s3_client, f"s3://{bucket}/plan-001", iter([table]))
    return planned_runs.make_plan(left_out={"*.txt": 4, "mentioned again": 2}, left_out_uri=uri)


def test_what_only_its_name_speaks_of_is_listed_first_and_the_rest_is_counted(
    plan: Plan, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_out, "MOST_LISTED", 2)

    said = left_out.of_plan(plan, s3=s3_client)

    assert said["rules"] == {"*.txt": 4, "mentioned again": 2}
    assert [row["source_ref"] for row in said["objects"]] == ["s3://b/3.txt", "s3://b/0.txt"]
    assert (said["unread"], said["omitted"], said["problem"]) == (1, 2, None)
    assert said["list"] == plan.left_out_uri


@pytest.mark.parametrize("harm", [None, b"no parquet"])
def test_a_list_that_is_lost_or_damaged_fails_no_run(plan: Plan, s3_client: Any, harm: bytes | None) -> None:
    bucket, key = s3_objects.split_uri(plan.left_out_uri)
    if harm is None:
        s3_client.delete_object(Bucket=bucket, Key=key)
    else:
        s3_client.put_object(Bucket=bucket, Key=key, Body=harm)

    said = left_out.of_plan(plan, s3=s3_client)

    assert said["problem"]
    assert plan.left_out_uri in said["problem"]
    assert (said["rules"], said["omitted"]) == (plan.left_out, 4)


def test_a_plan_of_an_earlier_release_has_no_list(s3_client: Any) -> None:
    said = left_out.of_plan(planned_runs.make_plan(), s3=s3_client)
    assert (said["rules"], said["objects"], said["list"], said["problem"]) == ({}, [], None, None)
    assert left_out.in_words(said["rules"]) is None


def test_the_rules_are_told_in_a_line() -> None:
    assert left_out.in_words({"*.txt": 1200, "folder marker": 4}) == "1,204: 1,200 *.txt, 4 folder marker"
    assert left_out.in_words({f"*.{n}": 1 for n in range(7)}) == "7: 1 *.0, 1 *.1, 1 *.2, 1 *.3, 1 *.4, …"
