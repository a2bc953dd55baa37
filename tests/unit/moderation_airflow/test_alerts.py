from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from moto.server import ThreadedMotoServer

from moderation.ending import ImagesOwedError
from moderation_airflow import alerts


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
    assert alerts.failure_notifiers({}) == []


def test_a_topic_and_addresses_are_told_through_the_providers_notifiers() -> None:
    found = alerts.failure_notifiers(
        {
            "MODERATION_SNS_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:t",
            "MODERATION_ALERT_EMAIL": "a@example.com, b@example.com",
        }
    )
    assert [type(notifier) for notifier in found] == [SnsNotifier, SmtpNotifier]
    assert found[1].to == ["a@example.com", "b@example.com"]


def test_a_failure_says_which_run_why_and_what_to_do(inbox: Any) -> None:
    (notifier,) = alerts.failure_notifiers()
    error = ImagesOwedError("2 images of load L are still owed; `moderation redo L`")

    class Named:
        dag_id = "moderate_images"
        log_url = "http://airflow/log"

    notifier(
        {"dag": None, "run_id": "nightly-1", "ti": Named, "exception": error, "dag_id": "moderate_images"}
    )
    message = inbox()
    assert message["Subject"] == "Moderation run failed: nightly-1"
    assert "moderation redo L" in message["Message"]
    assert "http://airflow/log" in message["Message"]


def test_a_late_run_is_told_with_its_name(inbox: Any) -> None:
    context = {"dag_run": {"dag_id": "moderate_images", "dag_run_id": "nightly-2"}}
    alerts.run_is_late(context=context, hours=6)
    message = inbox()
    assert "nightly-2: not finished after 6 hours" in message["Message"]


def test_the_deadline_is_configured_in_hours() -> None:
    assert alerts.deadline({}).interval == timedelta(hours=6)
    assert alerts.deadline({"MODERATION_DEADLINE_HOURS": "1.5"}).interval == timedelta(hours=1.5)
    with pytest.raises(ValueError, match="MODERATION_DEADLINE_HOURS=0"):
        alerts.deadline({"MODERATION_DEADLINE_HOURS": "0"})
