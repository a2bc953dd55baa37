"""What tasks look up before they ask Rekognition about a manifest, for its answers cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context


def look_before_job(context: Context) -> None:
    """
    Skip a bulk task, as its ``pre_execute``, if its job would be paid beside calls or for nothing.

    Single calls take a manifest over when AWS refuses the first job; whoever then mends the account's rights
    and clears the failed tasks would pay for the images once more. And an adapter may have expired since the
    run was planned: the base model would answer. Or the run has waited so long that others took its images.
    """
    from moderation.analyse import before_paying  # noqa: PLC0415 - keeps parsing fast

    plan_uri = context["ti"].xcom_pull(task_ids="approve")
    if plan_uri and before_paying.goes_to_single_calls(plan_uri, context["task"].input_uri):
        raise AirflowSkipException("DetectModerationLabels has taken this manifest over; no job is started")
    _skip_what_others_took(context, is_bulk=True)
    _skip_without_adapter(context, is_bulk=True)


def look_before_calls(context: Context) -> None:
    """Skip a task of single calls, as its ``pre_execute``, if its adapter or its images are lost."""
    _skip_what_others_took(context, is_bulk=False)
    _skip_without_adapter(context, is_bulk=False)


def look_before_shadow(context: Context) -> None:
    """Skip a shadow's manifest, as its ``pre_execute``, if its budget does not bear it."""
    from moderation.adapters.shadow import budget  # noqa: PLC0415
    from moderation.settings import Settings  # noqa: PLC0415

    if not budget.may_ask_manifest(Settings.from_env(), context["task"].input_uri):
        raise AirflowSkipException("the budget of the shadow does not bear this manifest any more")


def _skip_what_others_took(context: Context, *, is_bulk: bool) -> None:
    from moderation.analyse import before_paying  # noqa: PLC0415
    from moderation_airflow.archives.runs import KnownRuns  # noqa: PLC0415
    from rekognition.hooks import RekognitionHook  # noqa: PLC0415

    ti = context["ti"]
    plan_uri = ti.xcom_pull(task_ids="approve")
    if not plan_uri:
        return
    reason = before_paying.why_not_ours(
        plan_uri,
        context["task"].input_uri,
        list_jobs=RekognitionHook().list_jobs if is_bulk else None,
        lives=KnownRuns(ti).lives,
    )
    if reason:
        raise AirflowSkipException(reason)


def _skip_without_adapter(context: Context, *, is_bulk: bool) -> None:
    from moderation.adapters import mid_run  # noqa: PLC0415
    from rekognition.hooks import RekognitionHook  # noqa: PLC0415

    task = context["task"]
    plan_uri = context["ti"].xcom_pull(task_ids="approve")
    if not (plan_uri and task.project_version_arn):
        return
    hook = RekognitionHook()
    list_jobs = hook.list_jobs if is_bulk else None
    reason = mid_run.why_not(plan_uri, task.input_uri, rekognition=hook.conn, list_jobs=list_jobs)
    if reason:
        raise AirflowSkipException(reason)
