"""A run that leaves images to another one says which, and what to do about it."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from local_aws.stack.run import _left_to_others
from moderation.cli.main import main
from moderation.plan import ledger
from moderation.plan.plan import run_key
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from support.input_fixtures import put, settings  # noqa: F401 - fixtures


class Airflow:
    """Two runs: an older one in some state, and ours, which succeeded."""

    def __init__(self, state, plans):
        self._state, self._plans = state, plans

    def recent_runs(self, dag_id):
        return [("ours", "success"), ("other's run", self._state)]

    def xcom(self, dag_id, run_id, task_id):
        plan = self._plans.get(run_id)
        return plan.uri if plan else None


@pytest.fixture
def plan(put, settings, bucket, aws_env):  # noqa: F811 - fixtures
    """Plans the two images of the bucket for a run."""
    put("photos/a.jpg", "photos/b.jpg")
    aws_env.setenv("MODERATION_WORK_URI", settings.work_uri)
    aws_env.setenv("MODERATION_CATALOG_URI", settings.catalog_uri)

    def make(run):
        request = PlanRequest(
            run_key=run_key("dag", run),
            source=f"s3://{bucket}/photos",
            logical_time=datetime(2026, 5, 4, tzinfo=UTC),
        )
        return make_plan(settings, request, published=lambda *_, **__: empty_ledger())

    return make


def empty_ledger():
    fields = [(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())]
    return pa.Table.from_pylist([], schema=pa.schema(fields))


@pytest.mark.parametrize(
    ("state", "remedy", "tells_its_plan"),
    [
        ("running", "make up keeps it running", True),
        pytest.param("running", "make up keeps it running", False, id="its discover is being repeated"),
        ("failed", "release", True),
    ],
)
def test_a_run_that_left_images_to_another_names_it_and_what_to_do(plan, state, remedy, tells_its_plan):
    plans = {"other's run": plan("other"), "ours": plan("ours")}
    told = plans if tells_its_plan else {"ours": plans["ours"]}

    text = _left_to_others(plans["ours"], Airflow(state, told))

    assert text.startswith("2 images are in the plan of another run")
    assert f"other's run is {state}" in text
    assert remedy in text


def test_the_remedy_gives_the_images_free(plan):
    plans = {"other's run": plan("other"), "ours": plan("ours")}
    text = _left_to_others(plans["ours"], Airflow("failed", plans))
    (command,) = [line for line in text.splitlines() if " release " in line]
    words = shlex.split(command)

    assert main(words[words.index("release") :]) == 0

    assert plan("again").totals.to_analyse == 2


def test_a_run_that_left_nothing_has_nothing_to_say(plan):
    only = plan("only")

    assert _left_to_others(only, Airflow("failed", {})) is None
    assert _left_to_others(None, Airflow("failed", {})) is None
