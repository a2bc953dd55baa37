"""Who is told when a run fails or is late: a topic by SNS, addresses by SMTP, as the providers ship them.

Both are of :class:`moderation.settings.DagSettings`; the connection ``smtp_default`` sends the mails.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import DeadlineAlert, SyncCallback  # type: ignore[attr-defined] # not in its stub
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.configuration import conf

from moderation.settings import DagSettings
from moderation_airflow.deadline import RunQueued

log = logging.getLogger(__name__)

# SNS refuses a subject of more than 100 characters; a run's id may have 250.
FAILED_SUBJECT = "Moderation run failed: {{ run_id[:75] }}"
# The error of a run's last task says what to do.
FAILED = "{{ ti.dag_id }}, run {{ run_id }}: {{ exception | default('marked as failed by a person', true) }}"
FAILED_LINK = "{{ ti.log_url }}"
LATE_SUBJECT = "Moderation run is late"
LATE = (
    "{dag_id}, run {run_id}: not finished after {hours:g} hours. Open the run in Airflow: a task that waits "
    "for an approval, for a job slot or for AWS says so in its log. Nothing is paid twice when it is cleared"
)
# Airflow drops the deadline of a run that succeeds, not of one that fails.
STILL_FAILED = (
    "{dag_id}, run {run_id}: failed, and not mended {hours:g} hours after it began. The log of its task "
    "report says what to do"
)


PRECISION_SUBJECT = "Moderation: precision is not where it was"
WAITS_SUBJECT = "Moderation run waits for approval"
WAITS = (
    "{dag_id}, run {run_id}: {headline}, and max_cost_usd allows {limit_usd:,.4f}. Nothing is sent before "
    "somebody approves it; nobody answering within {hours:g} hours means no"
)


def failure_notifiers(settings: DagSettings) -> list[BaseNotifier]:
    """Build the ``on_failure_callback`` of a run's last task, which knows why the run failed."""
    return _notifiers(
        settings,
        FAILED_SUBJECT,
        text=_text(FAILED, FAILED_LINK, "Log"),
        html=_html("{% filter e %}" + FAILED + "{% endfilter %}", FAILED_LINK, "Log"),
    )


def deadline(*, hours: float) -> DeadlineAlert:
    """Build the deadline of a nightly run: so many hours after it was queued."""
    return DeadlineAlert(
        reference=RunQueued(),
        interval=timedelta(hours=hours),
        callback=SyncCallback(run_is_late, kwargs={"hours": hours}),
        name="moderation run is late",
    )


def run_is_late(context: Mapping[str, Any] | None = None, *, hours: float, **_: Any) -> None:
    """Tell everybody who is told of failures, and the log.

    :raises Exception: what the last of those raised who could not be told; the others were.
    """
    run = (context or {}).get("dag_run") or {}
    known = run if isinstance(run, Mapping) else vars(run)
    dag_id = str(known.get("dag_id", "moderate_images"))
    run_id = str(known.get("dag_run_id") or known.get("run_id"))
    says = STILL_FAILED if str(known.get("state")) == "failed" else LATE
    message = says.format(dag_id=dag_id, run_id=run_id, hours=hours)
    log.error("%s", message)
    if failure := _tell(context or {}, LATE_SUBJECT, message, _page(dag_id, run_id), "Run"):
        raise failure


def approval_is_awaited(context: Mapping[str, Any], *, headline: str, limit_usd: float, hours: float) -> None:
    """
    Tell everybody who is told of failures that a run waits for a person; whoever cannot be told is logged.

    :param headline: what it would spend, and on what.
    :param limit_usd: what it may spend.
    :param hours: how long it waits.
    """
    ti = context["ti"]
    message = WAITS.format(
        dag_id=ti.dag_id, run_id=ti.run_id, headline=headline, limit_usd=limit_usd, hours=hours
    )
    page = f"{_page(ti.dag_id, ti.run_id)}/tasks/{quote(ti.task_id)}/required_actions?map_index=-1"
    _tell(context, WAITS_SUBJECT, message, page, "Answer")


def precision_left(context: Mapping[str, Any], left: Sequence[str], page: str) -> None:
    """
    Tell everybody who is told of failures that precision is not where it was; who cannot be told is logged.

    :param left: a sentence for each label.
    :param page: where the numbers are.
    """
    ti = context["ti"]
    message = "\n".join([*left, "", f"All numbers: {page}"])
    _tell(context, PRECISION_SUBJECT, message, _page(ti.dag_id, ti.run_id), "Run")


def _page(dag_id: str, run_id: str) -> str:
    """The run's page in Airflow."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def _tell(context: Mapping[str, Any], subject: str, message: str, link: str, name: str) -> Exception | None:
    """Tell everybody who can be told; returns what the last of the others raised."""
    failure: Exception | None = None
    text, mail = _text(message, link, name), _html(html.escape(message), html.escape(link), name)
    for notifier in _notifiers(DagSettings.from_env(), subject, text=text, html=mail):
        try:
            notifier.notify(context)
        except Exception as error:
            log.exception("%s could not be told", type(notifier).__name__)
            failure = error
    return failure


def _text(message: str, link: str, name: str) -> str:
    return f"{message}\n\n{name}: {link}"


def _html(message: str, link: str, name: str) -> str:
    """A mail, which is HTML: without this, lines run together."""
    return f'<p style="white-space: pre-wrap">{message}</p>\n<p><a href="{link}">{name}</a></p>'


def _notifiers(settings: DagSettings, subject: str, *, text: str, html: str) -> list[BaseNotifier]:
    found: list[BaseNotifier] = []
    # Imported only where wanted: a Dag file must parse fast.
    if settings.sns_topic:
        from airflow.providers.amazon.aws.notifications.sns import SnsNotifier  # noqa: PLC0415

        found.append(SnsNotifier(target_arn=settings.sns_topic, subject=subject, message=text))
    if to := list(settings.alert_email):
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier  # noqa: PLC0415

        sender = settings.alert_from or to[0]
        found.append(SmtpNotifier(to=to, from_email=sender, subject=subject, html_content=html))
    return found
