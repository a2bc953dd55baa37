"""An adapter beside the one in use, on a sample and within a budget; no run goes by its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from moderation_airflow import failure_reason
from moderation_airflow.before_paying import look_before_shadow
from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.detect import RekognitionDetectModerationLabelsOperator
from rekognition.retry_policy import rekognition_retry_policy

# As `moderation.adapters.shadow.budget.IN_FLIGHT`, by which the budget is kept; a test compares them.
IN_FLIGHT = 4

several_hosts.refuse_own_disks()

DOC = """
### Shadow an adapter

Asks an adapter about a random sample of the images that the one in use has answered, and tells where the two
differ. Its answers stand in the table `shadow_answers` alone: no image counts as answered by them.

| task | what it does | if it fails |
|---|---|---|
| sample | draws the images once, as many as **max_cost_usd** bears; the log tells the price | see its log |
| ask | one call an image, never more than the budget bears, also when it is killed | clear it |
| compare | publishes the answers, and makes a queue of the images that the two tell apart | clear it |

The same params find the sample that was begun, and pay for nothing twice; another **name** draws another one.
"""

PARAMS = {
    "adapter": Param(
        "",
        type="string",
        pattern=r"^arn:[^:]+:rekognition:.+:project/.+/version/.+$",
        title="Adapter",
        description="ARN of the adapter version that is not in use.",
    ),
    "images": Param(500, type="integer", minimum=1, maximum=10_000, title="Images", description="At most."),
    "max_cost_usd": Param(
        1.0, type="number", minimum=0, title="Budget", description="US dollars that it may cost in all."
    ),
    "name": Param(
        "first", type="string", minLength=1, maxLength=100, title="Name", description="Of the sample."
    ),
}


@dag(
    dag_id="shadow_adapter",
    dag_display_name="Shadow adapter",
    description="An adapter beside the one in use, on a sample",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": moderation_retry_policy(also=rekognition_retry_policy()),
    },
    tags=["moderation", "rekognition"],
)
def shadow_adapter() -> None:
    """Wire the steps of ``moderation.adapters.shadow``."""

    @task(doc_md="Draws the sample, or finds it; returns what is asked about each manifest.")
    def sample(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        import logging  # noqa: PLC0415 - keeps parsing fast, here and below

        from moderation.adapters.shadow.sample import prepare  # noqa: PLC0415
        from moderation.adapters.status import check_adapter  # noqa: PLC0415
        from moderation.settings import Settings  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        asked, settings = params or {}, Settings.from_env()
        with failure_reason.kept():
            check_adapter(RekognitionHook().conn, asked["adapter"])
            shadow = prepare(
                settings,
                asked["adapter"],
                images=asked["images"],
                max_cost_usd=asked["max_cost_usd"],
                name=asked["name"],
            )
        logging.getLogger(__name__).info("shadow %s: %s", shadow.shadow_id, shadow.text())
        return shadow.arguments(settings)

    @task(
        trigger_rule="all_done",
        doc_md="Publishes the answers; returns where the two differ.",
    )
    def compare(manifests: list[dict[str, Any]], params: dict[str, Any] | None = None) -> dict[str, Any]:
        from moderation.adapters.shadow import comparison  # noqa: PLC0415
        from moderation.publish.shadow_answers import publish_shadow  # noqa: PLC0415
        from moderation.review import mark  # noqa: PLC0415
        from moderation.settings import Settings  # noqa: PLC0415

        settings = Settings.from_env()
        shadow_id = manifests[0]["input_uri"].split("/")[-2]
        with failure_reason.kept():
            publish_shadow(settings, shadow_id)
            with mark.opened(settings) as state:
                queue, _ = comparison.differing_queue(settings, state.queues, shadow_id)
            told = comparison.of_challenger(settings, (params or {})["adapter"])
        found = next((one.record() for one in told if one.shadow_id == shadow_id), None)
        return {"shadow_id": shadow_id, "queue_id": queue.queue_id, "comparison": found}

    drawn = sample()
    asked = RekognitionDetectModerationLabelsOperator.partial(
        task_id="ask",
        max_in_flight=IN_FLIGHT,
        max_active_tis_per_dag=1,
        pre_execute=look_before_shadow,
        doc_md="Each image of a manifest by a call of its own; skipped where the budget bears it no more.",
    ).expand_kwargs(drawn)
    asked >> compare(drawn)


shadow_adapter()
