"""What a real Airflow tells an operator: mail when a run fails or is late, counts, a price to approve."""

from __future__ import annotations

import pytest

from support import rekognition_server as offline
from support import smtp_server
from support.airflow_sources import IMAGES, MANIFESTS, Source
from support.airflow_stack import PATIENCE_SECONDS, Airflow, until
from support.airflow_variants import DEFERRABLE, PLAIN
from support.smtp_server import Mailbox
from support.statsd_listener import StatsdListener

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("in_stack", "triggerer"),
]
ASK = {"max_cost_usd": 0.001, "on_over_budget": "ask"}


def ask(airflow: Airflow, source: Source, dag_id: str) -> None:
    """Trigger a run that costs more than it may, and wait for its question."""
    source.trigger(dag_id, **ASK)
    until(
        lambda: airflow.states(dag_id, source.name, "approve") == ["awaiting_input"],
        what="the question for approval",
    )


def answer(airflow: Airflow, source: Source, dag_id: str, option: str) -> None:
    """Answer the question as a person does."""
    where = f"/dags/{dag_id}/dagRuns/{source.name}/taskInstances/approve/-1/hitlDetails"
    asked = airflow.call("GET", where)
    assert f"{IMAGES} images of {source.uri}" in asked["subject"]
    airflow.call("PATCH", where, {"chosen_options": [option]})


def mail_about(mailbox: Mailbox, source: Source) -> tuple[str, str]:
    """Wait for the next mail that names the run; returns its subject and text."""
    while True:
        mail = mailbox.next(timeout=PATIENCE_SECONDS)
        if source.name in (text := smtp_server.text_of(mail)):
            return str(mail["Subject"]), text


def test_a_run_that_waits_for_approval_is_reported_late_and_goes_on_once_approved(
    airflow: Airflow, source: Source, mailbox: Mailbox
) -> None:
    ask(airflow, source, DEFERRABLE)
    subject, text = mail_about(mailbox, source)
    assert subject == "Moderation run is late"
    assert f"{DEFERRABLE}, run {source.name}: not finished" in text
    assert f"/dags/{DEFERRABLE}/runs/{source.name}" in text
    assert not source.started()
    answer(airflow, source, DEFERRABLE, "Approve")
    assert airflow.end(DEFERRABLE, source.name) == "success"
    assert source.is_paid_once()


def test_a_rejected_run_pays_nothing_and_is_mailed_once_with_what_to_do(
    airflow: Airflow, source: Source, mailbox: Mailbox
) -> None:
    ask(airflow, source, PLAIN)
    answer(airflow, source, PLAIN, "Reject")
    assert airflow.end(PLAIN, source.name) == "failed"
    assert not source.started()
    subject, text = mail_about(mailbox, source)
    assert subject == f"Moderation run failed: {source.name}"
    assert "max_cost_usd allows 0.0010" in text
    assert "rejected" in text
    assert "/tasks/report" in text


def test_full_quotas_are_waited_for_and_counted_and_so_is_the_load(
    airflow: Airflow, source: Source, undisturbed: Source, statsd: StatsdListener
) -> None:
    assert airflow.end(PLAIN, undisturbed.name) == "success"
    before = statsd.totals()
    full = {
        "kind": "error",
        "operation": "StartMediaAnalysisJob",
        "code": "LimitExceededException",
        "count": 2,
    }
    # botocore repeats a call four times by itself; only a look that is refused once more is waited out by us.
    refused = MANIFESTS * 4 + 3
    busy = {"kind": "throttle", "operation": "GetMediaAnalysisJob", "count": refused}
    with offline.faults(airflow.rekognition, full, busy):
        source.trigger(DEFERRABLE)
        assert airflow.end(DEFERRABLE, source.name) == "success"
    assert {ti["try_number"] for ti in airflow.instances(DEFERRABLE, source.name, "analyse")} == {1}
    assert source.is_paid_once()
    counted = {
        name.removeprefix("airflow.moderation."): total - before.get(name, 0)
        for name, total in statsd.totals().items()
    }
    expected = {"images": IMAGES, "images.moderated": IMAGES, "jobs": MANIFESTS, "failures": 0}
    assert {name: counted[name] for name in expected} == expected
    assert counted["job_limit_waits"] == 2
    assert 1 <= counted["throttles"] < refused
    assert statsd.totals()["airflow.moderation.cost_usd"] == pytest.approx(IMAGES * 0.001)


def test_no_secret_of_the_stack_stands_in_a_log(airflow: Airflow, undisturbed: Source) -> None:
    assert airflow.end(PLAIN, undisturbed.name) == "success"
    secrets = airflow.stack.secrets
    hidden = (secrets.s3.secret_key, secrets.jwt_secret, secrets.fernet_key, secrets.airflow_password)
    logs = [path for path in airflow.layout.var.rglob("*.log*") if path.is_file()]
    assert any("task_id=analyse" in str(path) for path in logs)
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [secret for secret in hidden if secret in text], path
