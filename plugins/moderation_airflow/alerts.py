"""Who is told when a run fails or is late: SNS and SMTP, as the providers ship them, set up by environment.

``MODERATION_SNS_TOPIC_ARN`` names a topic, ``MODERATION_ALERT_EMAIL`` addresses (comma-separated; the
connection ``smtp_default`` sends), ``MODERATION_DEADLINE_HOURS`` when a nightly run is late.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback  # type: ignore[attr-defined] # not in its stub
from airflow.sdk.bases.notifier import BaseNotifier

log = logging.getLogger(__name__)

DEADLINE_HOURS = 6.0

FAILED_SUBJECT = "Moderation run failed: {{ run_id }}"
FAILED_MESSAGE = "{{ ti.dag_id }}, run {{ run_id }}: {{ exception }}\n\nLog: {{ ti.log_url }}"
LATE_SUBJECT = "Moderation run is late"
LATE_MESSAGE = (
    "{dag_id}, run {run_id}: not finished after {hours:g} hours. Open the run in Airflow: a task that waits "
    "for an approval, for a job slot or for AWS says so in its log. Nothing is paid twice when it is cleared"
)


def failure_notifiers(environ: Mapping[str, str] = os.environ) -> list[BaseNotifier]:
    """Build the ``on_failure_callback`` of a run's last task, which knows why the run failed."""
    return _notifiers(environ, subject=FAILED_SUBJECT, message=FAILED_MESSAGE)


def deadline(environ: Mapping[str, str] = os.environ) -> DeadlineAlert:
    """
    Build the deadline of a nightly run: so many hours after it was queued.

    :raises ValueError: ``MODERATION_DEADLINE_HOURS`` is no number above 0.
    """
    text = environ.get("MODERATION_DEADLINE_HOURS", "").strip()
    hours = float(text) if text else DEADLINE_HOURS
    if not 0 < hours < float("inf"):
        raise ValueError(f"MODERATION_DEADLINE_HOURS={text}: expected a number above 0")
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=SyncCallback(run_is_late, kwargs={"hours": hours}),
        name="moderation run is late",
    )


def run_is_late(context: Mapping[str, Any] | None = None, *, hours: float, **_: Any) -> None:
    """Tell everybody who is told of failures, and the log."""
    run = (context or {}).get("dag_run") or {}
    known = run if isinstance(run, Mapping) else vars(run)
    message = LATE_MESSAGE.format(
        dag_id=known.get("dag_id", "moderate_images"), run_id=known.get("dag_run_id") or known.get("run_id"),
        hours=hours,
    )  # fmt: skip
    log.error("%s", message)
    for notifier in _notifiers(os.environ, subject=LATE_SUBJECT, message=message):
        notifier.notify(context or {})


def _notifiers(environ: Mapping[str, str], *, subject: str, message: str) -> list[BaseNotifier]:
    found: list[BaseNotifier] = []
    # Imported only where wanted: a Dag file must parse fast.
    if topic := environ.get("MODERATION_SNS_TOPIC_ARN", "").strip():
        from airflow.providers.amazon.aws.notifications.sns import SnsNotifier  # noqa: PLC0415

        found.append(SnsNotifier(target_arn=topic, subject=subject[:100], message=message))
    addresses = [entry.strip() for entry in environ.get("MODERATION_ALERT_EMAIL", "").split(",")]
    if to := [address for address in addresses if address]:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier  # noqa: PLC0415

        sender = environ.get("MODERATION_ALERT_FROM", "").strip() or to[0]
        found.append(SmtpNotifier(to=to, from_email=sender, subject=subject, html_content=message))
    return found
