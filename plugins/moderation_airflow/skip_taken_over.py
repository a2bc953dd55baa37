"""What bulk tasks look up before they start a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context


def skip_if_taken_over(context: Context) -> None:
    """
    Skip a bulk task, as its ``pre_execute``, if single calls have taken its manifest over.

    They do when AWS refuses the first job; whoever then mends the account's rights and clears the failed
    tasks would pay for the images once more.
    """
    from moderation import stages  # noqa: PLC0415 - keeps parsing fast

    plan_uri = context["ti"].xcom_pull(task_ids="approve")
    if plan_uri and stages.goes_to_single_calls(plan_uri, context["task"].input_uri):
        raise AirflowSkipException("DetectModerationLabels has taken this manifest over; no job is started")
