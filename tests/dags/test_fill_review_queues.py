from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moderation.review.state.open import open_state
from support import planned_runs
from support.published_loads import publish_plain

DAG_FILE = Path(__file__).parents[2] / "dags" / "fill_review_queues.py"


def load_dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - airflow is slow to import

    bag = DagBag(str(DAG_FILE))
    assert not bag.import_errors
    return bag.dags["fill_review_queues"]


@pytest.mark.slow
def test_a_publish_fills_the_standing_queues_once(
    tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch, s3_client: Any
) -> None:
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'name = "test"\n[[rules]]\nlabel = "Violence"\nmin_confidence = 62\ndecision = "review"\n'
    )
    for name, value in {
        "MODERATION_WORK_URI": settings.work_uri,
        "MODERATION_TABLES_URI": settings.tables_uri,
        "MODERATION_CATALOG_URI": settings.catalog_uri,
        "MODERATION_REVIEW_DB": str(tmp_path / "review.db"),
        "MODERATION_POLICY": str(policy),
    }.items():
        aws_env.setenv(name, value)
    load_id = publish_plain(settings, s3_client, "plain")
    fill = load_dag().get_task("fill").python_callable
    event = SimpleNamespace(extra={"load_id": load_id})
    first = fill(triggering_asset_events={"moderated_images": [event, event]})
    assert sum(first.values()) == 4  # confidences from 60 to 65, and nothing is unflagged
    assert sum(fill(triggering_asset_events={"moderated_images": [event]}).values()) == 0
    assert fill(triggering_asset_events={}) == {}
    state = open_state(str(tmp_path / "review.db"))
    assert {queue.spec.kind for queue in state.queues.all()} == {"policy", "random_unflagged"}
    state.close()
