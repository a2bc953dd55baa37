"""One real Airflow for this folder: scheduler, API server, triggerer, Dag processor, S3 and Rekognition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import airflow_stack, smtp_server
from support.airflow_sources import Source
from support.airflow_stack import PARTS, Airflow
from support.airflow_variants import PLAIN, write_dags
from support.smtp_server import Mailbox
from support.statsd_listener import StatsdListener


@pytest.fixture(scope="package")
def mailbox() -> Iterator[Mailbox]:
    """What Airflow mails."""
    with smtp_server.serving() as box:
        yield box


@pytest.fixture(scope="package")
def statsd() -> Iterator[StatsdListener]:
    """What Airflow counts."""
    with StatsdListener() as listener:
        yield listener


@pytest.fixture(scope="package")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox, statsd: StatsdListener
) -> Iterator[Airflow]:
    """A stack whose parts may be killed; whoever kills one starts it again."""
    root: Path = tmp_path_factory.mktemp("airflow")
    write_dags(root / "dags")
    environment = {
        "AIRFLOW_CONN_SMTP_DEFAULT": mailbox.connection,
        "MODERATION_ALERT_EMAIL": "ops@example.com",
        **statsd.settings,
        "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "moderation",
    }
    with airflow_stack.running(root, environment) as started:
        yield started


@pytest.fixture(scope="package")
def triggerer(airflow: Airflow) -> None:
    """Waits that leave their worker go on in it; who needs none is spared it."""
    airflow.parts = PARTS
    airflow.start()


@pytest.fixture
def in_stack(monkeypatch: pytest.MonkeyPatch, airflow: Airflow) -> None:
    """The environment of this process reaches the stack's S3, tables and catalog."""
    for name, value in airflow.stack.aws_environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def source(airflow: Airflow) -> Source:
    return Source(airflow)


@pytest.fixture(scope="package")
def undisturbed(airflow: Airflow) -> Source:
    """A run to which nothing happens; it goes on beside the first test."""
    source = Source(airflow)
    source.trigger(PLAIN)
    return source
