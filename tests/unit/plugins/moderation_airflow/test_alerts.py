from __future__ import annotations

import html
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from moderation.report.run_report import ImagesOwedError
from moderation.settings import DagSettings
from moderation_airflow import alerts
from support import smtp_server


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """SNS and SQS."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch, aws: str) -> Iterator[Any]:
    """A topic that the environment names; gives a function that reads its next message."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws,
        "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
    }.items():
        monkeypatch.setenv(name, value)
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="moderation")["TopicArn"]
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    where = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=where)
    monkeypatch.setenv("MODERATION_SNS_TOPIC_ARN", topic)

    def read() -> dict[str, str]:
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
        found: dict[str, str] = json.loads(message["Body"])
        return found

    yield read
    sns.close()
    sqs.close()


def test_nobody_is_told_when_nobody_is_named() -> None:
    assert alerts.failure_notifiers(DagSettings()) == []


def test_a_topic_and_addresses_are_told_through_the_providers_notifiers() -> None:
    found = alerts.failure_notifiers(
        DagSettings(
            sns_topic="arn:aws:sns:us-east-1:123456789012:t", alert_email=("a@example.com", "b@example.com")
        )
    )
    assert [type(notifier) for notifier in found] == [SnsNotifier, SmtpNotifier]
    assert found[1].to == ["a@example.com", "b@example.com"]


class Failed:
    """The task instance of a callback's context."""

    dag_id = "moderate_images"
    log_url = "http://airflow/log?a=1&b=2"


def tell(run_id: str, error: BaseException | None) -> None:
    """Call the notifiers as Airflow does when the last task of a run has failed."""
    for notifier in alerts.failure_notifiers(DagSettings.from_env()):
        context: Any = {"dag": None, "run_id": run_id, "ti": Failed, "dag_id": Failed.dag_id}
        notifier({**context, "exception": error} if error else context)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[smtp_server.Mailbox]:
    """What a mail server receives that the environment names."""
    with smtp_server.serving() as box:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", box.connection)
        monkeypatch.setenv("MODERATION_ALERT_EMAIL", "ops@example.com, night@example.com")
        monkeypatch.setenv("MODERATION_ALERT_FROM", "airflow@example.com")
        yield box


ERROR = ImagesOwedError("2 images of load L are still owed;\nsee <report>, `moderation redo L`")


def test_a_failure_says_which_run_why_and_what_to_do(inbox: Any) -> None:
    tell("nightly-1", ERROR)
    message = inbox()
    assert message["Subject"] == "Moderation run failed: nightly-1"
    assert message["Message"] == f"moderate_images, run nightly-1: {ERROR}\n\nLog: {Failed.log_url}"


def test_a_failure_is_mailed_as_one_message_that_shows_the_error_as_it_is(
    mailbox: smtp_server.Mailbox,
) -> None:
    tell("nightly-1", ERROR)
    mail = mailbox.next()
    assert mail["Subject"] == "Moderation run failed: nightly-1"
    assert (mail["From"], mail["To"]) == ("airflow@example.com", "ops@example.com, night@example.com")
    text = smtp_server.text_of(mail)
    assert f"moderate_images, run nightly-1: {html.escape(str(ERROR))}</p>" in text
    assert f'<a href="{Failed.log_url}">Log</a>' in text
    assert mailbox.is_empty()


def test_a_task_that_a_person_marked_as_failed_is_told_too(mailbox: smtp_server.Mailbox) -> None:
    tell("nightly-1", None)
    assert "marked as failed by a person" in smtp_server.text_of(mailbox.next())


def test_the_longest_id_of_a_run_fits_into_the_subject_of_a_topic(inbox: Any) -> None:
    tell("r" * 250, ERROR)
    assert len(inbox()["Subject"]) <= 100


LATE = {"dag_run": {"dag_id": "moderate_images", "dag_run_id": "nightly+2"}}


def test_a_late_run_is_told_with_its_name_and_where_to_look(inbox: Any, mailbox: smtp_server.Mailbox) -> None:
    alerts.run_is_late(context=LATE, hours=6)
    page = "/dags/moderate_images/runs/nightly%2B2"
    assert "nightly+2: not finished after 6 hours" in inbox()["Message"]
    text = smtp_server.text_of(mailbox.next())
    assert "nightly+2: not finished after 6 hours" in text
    assert f'{page}">Run</a>' in text


def test_who_can_be_told_of_a_late_run_is_told_though_another_cannot(
    monkeypatch: pytest.MonkeyPatch, aws: str, mailbox: smtp_server.Mailbox
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "login": "a", "password": "b"}')
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODERATION_SNS_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:no-such-topic")
    with pytest.raises(ClientError, match="NotFound"):
        alerts.run_is_late(context=LATE, hours=6)
    assert "nightly+2" in smtp_server.text_of(mailbox.next())


def test_the_deadline_is_configured_in_hours() -> None:
    assert alerts.deadline(hours=1.5).interval == timedelta(hours=1.5)


def test_a_run_that_failed_and_was_not_mended_in_time_is_not_called_unfinished(inbox: Any) -> None:
    alerts.run_is_late(context={"dag_run": {**LATE["dag_run"], "state": "failed"}}, hours=6)
    assert "nightly+2: failed, and not mended 6 hours after it began" in inbox()["Message"]


class Waiting:
    """The task instance that asks."""

    dag_id, run_id, task_id = "moderate_images", "nightly+3", "approve"


def test_a_run_that_waits_for_a_person_tells_what_it_would_spend_and_where_to_answer(
    inbox: Any, mailbox: smtp_server.Mailbox
) -> None:
    context = {"ti": Waiting}
    alerts.approval_is_awaited(context, headline="3 images cost up to 9 USD", limit_usd=2, hours=24)
    page = "/dags/moderate_images/runs/nightly%2B3/tasks/approve/required_actions?map_index=-1"
    message = inbox()["Message"]
    assert "nightly+3: 3 images cost up to 9 USD, and max_cost_usd allows 2.0000." in message
    assert "within 24 hours means no" in message
    assert message.endswith(f"Answer: {page}")
    assert f'<a href="{page}">Answer</a>' in smtp_server.text_of(mailbox.next())


def test_a_run_waits_for_a_person_though_nobody_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", '{"conn_type": "smtp", "host": "127.0.0.1", "port": 1}')
    monkeypatch.setenv("MODERATION_ALERT_EMAIL", "ops@example.com")
    alerts.approval_is_awaited({"ti": Waiting}, headline="3 images", limit_usd=2, hours=24)
