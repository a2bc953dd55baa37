"""From what people decided to an adapter that is better: trained once, compared, promoted by a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from moderation.settings import DagSettings, Settings
from moderation_airflow import failure_reason
from moderation_airflow.adapters.approval import PromotionApprovalOperator, TrainingApprovalOperator
from moderation_airflow.adapters.training import TrainAdapterOperator
from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.projects.operators import RekognitionCreateProjectOperator
from rekognition.retry_policy import rekognition_retry_policy

SETTINGS = DagSettings.from_env()

several_hosts.refuse_own_disks()

DOC = """
### Train an adapter from verdicts

| task | what it does | if it fails |
|---|---|---|
| eligibility | counts false positives and false negatives of each label | verify more, as the log says |
| training_set | makes the set: complete, split by near-duplicates, once for the same verdicts | see its log |
| approve | stops a training that costs more than **max_cost_usd**, or asks a person | raise the limit |
| project, train | finds or starts the training of the set | clear it: it finds its training again |
| evaluate | compares adapter and base model on the frozen test images; nothing is paid | clear it |
| promote | stops at the gate, or asks a person; then it is the champion | `moderation adapter promote` |

A run of *Moderate images* with the adapter `champion` takes the one that was promoted. Images that were
answered before stay as they are.
"""

PARAMS = {
    "labels": Param(
        ["Gambling"],
        type="array",
        items={"type": "string"},
        minItems=1,
        title="Labels",
        description="Labels of taxonomy 7.0 to train.",
    ),
    "project": Param(
        "moderation",
        type="string",
        pattern=r"^[a-zA-Z0-9_.\-]{1,255}$",
        title="Project",
        description="Project of adapters, which is made if there is none.",
    ),
    "max_cost_usd": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Price limit",
        description="US dollars that the training may cost; empty: a person is asked in any case.",
    ),
    "on_over_budget": Param(
        "ask",
        type="string",
        enum=["ask", "fail"],
        title="Above the price limit",
        description="Ask a person, or fail before the training.",
    ),
    "promote": Param(
        "ask",
        type="string",
        enum=["ask", "alone"],
        title="Promotion",
        description="Ask a person, or promote alone what passes the gate.",
    ),
}


@dag(
    dag_id="train_adapter",
    dag_display_name="Train adapter",
    description="From verdicts to an adapter that is better, by a person's word",
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
def train_adapter() -> None:
    """Wire the stages of ``moderation.adapters.stages``."""

    @task(doc_md="Counts the errors of each label; fails when there are too few.")
    def eligibility(params: dict[str, Any] | None = None) -> list[str]:
        from moderation.adapters import stages  # noqa: PLC0415 - keeps parsing fast

        with failure_reason.kept():
            return stages.require_eligible((params or {})["labels"])

    @task(doc_md="Makes the training set; the same verdicts find the one that is there.")
    def training_set(labels: list[str], params: dict[str, Any] | None = None) -> dict[str, Any]:
        from moderation.adapters import stages  # noqa: PLC0415

        with failure_reason.kept():
            return stages.prepare(labels, project=(params or {})["project"])

    @task(doc_md="Compares adapter and base model on the frozen test images.")
    def evaluate(arn: str, prepared: dict[str, Any]) -> dict[str, Any]:
        from moderation.adapters import stages  # noqa: PLC0415
        from moderation.publish.adapters import publish_after  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        with failure_reason.kept():
            compared = stages.evaluate(arn, prepared["set_uri"], rekognition=RekognitionHook().conn)
            publish_after(Settings.from_env())
        return compared

    prepared = training_set(eligibility())
    approve = TrainingApprovalOperator(
        task_id="approve",
        prepared=prepared,
        response_timeout=timedelta(hours=SETTINGS.approval_hours),
        doc_md="Stops a training that costs more than it may, or asks a person.",
    )
    project = RekognitionCreateProjectOperator(
        task_id="project",
        project_name=prepared["project"],
        doc_md="Finds the project, or makes it.",
    )
    trained = TrainAdapterOperator(
        task_id="train",
        set_uri=prepared["set_uri"],
        project_arn=project.output,
        version_name=prepared["version_name"],
        training_uri=prepared["training_uri"],
        testing_uri=prepared["testing_uri"],
        output_uri=prepared["output_uri"],
        confidence_threshold=prepared["confidence_threshold"],
        poll_interval=timedelta(seconds=SETTINGS.poll_seconds),
        doc_md="Trains the set once, notes who asked, and waits; found again by a retry or a clear.",
    )
    approve >> project >> trained
    PromotionApprovalOperator(
        task_id="promote",
        evaluated=evaluate(trained.output, prepared),
        response_timeout=timedelta(hours=SETTINGS.approval_hours),
        doc_md="Stops at the gate, or asks a person; then the adapter is the champion.",
    )


train_adapter()
