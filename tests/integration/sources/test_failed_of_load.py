from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moderation import stages
from moderation.cli import main
from moderation.plan.plan import Totals
from moderation.plan.price import OverBudgetError
from moderation.plan.store import load_plan, read_inputs
from moderation.publish.commit import ToleranceExceededError, publish
from moderation.report import completion, run_report
from moderation.report.run_report import ImagesOwedError, RunIncompleteError
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import pictures, planned_runs
from support.planned_runs import Run, answer, line

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    aws_env.setenv("MODERATION_WORK_URI", settings.work_uri)
    aws_env.setenv("MODERATION_TABLES_URI", settings.tables_uri)
    aws_env.setenv("MODERATION_CATALOG_URI", settings.catalog_uri)
    return settings


@pytest.fixture
def run(settings: Settings, s3_client: Any, bucket: str) -> Run:
    """Four images: one moderated, one too large, one throttled, one without any answer."""
    refs = [f"s3://{bucket}/{name}.jpg" for name in ("fine", "large", "throttled", "missing")]
    for number, ref in enumerate(refs):
        s3_client.put_object(
            Bucket=bucket, Key=ref.rpartition("/")[2], Body=pictures.jpeg(80, 80, seed=number)
        )
    run = Run(settings, s3_client)
    errors = [
        {"source-ref": refs[1], "code": "ImageTooLargeException", "message": "16 MB"},
        {"source-ref": refs[2], "code": "ThrottlingException", "message": "slow down"},
    ]
    run.manifest(refs, line(refs[0], answer()), summary={"errors": errors})
    return run


def published(settings: Settings, run: Run) -> str:
    plan = run.store()
    return publish(settings, plan, run.records, stop_on_mismatch=True, accept_lost=True).load_id


@pytest.mark.parametrize(("arguments", "again"), [([], 2), (["--permanent"], 3)])
def test_redo_takes_what_failed_and_leaves_out_what_is_permanent_unless_asked(
    settings: Settings, run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], again: int
) -> None:
    load_id = published(settings, run)
    assert main.main(["redo", load_id, "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["to_analyse"] == again
    assert found["conf"]["redo_load_id"] == load_id
    assert main.main(["redo", load_id]) == 0
    assert f'--conf \'{{"redo_load_id": "{load_id}"}}\'' in capsys.readouterr().out


def test_redo_on_a_stack_of_its_own_names_the_command_of_that_stack(
    settings: Settings, run: Run, aws_env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_id = published(settings, run)
    aws_env.setenv("MODERATION_REDO_COMMAND", "make run REDO={load_id} PERMANENT={permanent}")
    assert main.main(["redo", load_id]) == 0
    assert f"make run REDO={load_id} PERMANENT=0\n" in capsys.readouterr().out
    assert main.main(["redo", load_id, "--permanent"]) == 0
    assert f"make run REDO={load_id} PERMANENT=1\n" in capsys.readouterr().out


def test_redo_of_what_was_only_refused_for_its_own_sake_offers_no_run(
    settings: Settings, s3_client: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ref = f"s3://{bucket}/large.jpg"
    s3_client.put_object(Bucket=bucket, Key="large.jpg", Body=pictures.jpeg(80, 80))
    run = Run(settings, s3_client)
    run.manifest([ref], b"", summary={"errors": [{"source-ref": ref, "code": "ImageTooLargeException"}]})
    load_id = published(settings, run)
    assert main.main(["redo", load_id]) == 0
    told = capsys.readouterr().out
    assert "--permanent adds what was refused" in told
    assert "airflow" not in told
    assert main.main(["redo", load_id, "--permanent"]) == 0
    assert '"redo_permanent": true' in capsys.readouterr().out


def test_redo_of_what_another_load_has_moderated_meanwhile_says_so(
    settings: Settings, s3_client: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ref = f"s3://{bucket}/late.jpg"
    s3_client.put_object(Bucket=bucket, Key="late.jpg", Body=pictures.jpeg(80, 80))
    first = Run(settings, s3_client)
    first.manifest([ref], b"", summary={"errors": [{"source-ref": ref, "code": "ThrottlingException"}]})
    load_id = published(settings, first)
    second = Run(settings, s3_client, name="second")
    second.manifest([ref], line(ref, answer()))
    published(settings, second)
    assert main.main(["redo", load_id]) == 0
    assert "other loads have moderated it meanwhile" in capsys.readouterr().out


def in_folder(settings: Settings, folder: Path) -> str:
    """The id of a load of a folder in which nothing can be sent."""
    plan = load_plan(stages.discover(stages.Run("dag", "first", NOON), source=str(folder)), settings=settings)
    assert (plan.totals.to_analyse, plan.totals.rejected) == (0, 3)
    return publish(settings, plan, []).load_id


@pytest.mark.slow
def test_files_of_a_local_folder_that_were_mended_are_uploaded_and_asked_about_by_a_redo(
    settings: Settings,
    s3_client: Any,
    tmp_path: Path,
    aws_env: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    aws_env.setenv("MODERATION_INPUT_URI", settings.work_uri + "-input")
    folder = tmp_path / "my photos"
    (folder / "deep").mkdir(parents=True)
    broken = [folder / "a b.jpg", folder / "deep" / "\u00fc%.jpg", folder / "gone.jpg"]
    for path in broken:
        path.write_bytes(b"no image")
    load_id = in_folder(settings, folder)
    mended = broken[:2]
    for number, path in enumerate(mended):
        path.write_bytes(pictures.jpeg(seed=number))
    (folder / "new.jpg").write_bytes(pictures.picture())  # of no interest to a redo
    broken[2].unlink()

    assert main.main(["redo", load_id, "--permanent", "--json"]) == 0  # the remedy that the report prints
    shown = json.loads(capsys.readouterr().out)
    assert (shown["totals"]["to_analyse"], shown["totals"]["rejected"]) == (2, 1)
    again = stages.Run("dag", "again", NOON)
    uri = stages.discover(again, source="", **shown["conf"])
    plan = load_plan(uri, settings=settings)
    assert plan.retries_refused
    assert plan.totals == Totals(**shown["totals"])
    rows = read_inputs(plan, settings=settings).to_pylist()
    sent = {row["origin"]: row["source_ref"] for row in rows if row["error_code"] is None}
    assert sent.keys() == {str(path) for path in mended}
    for path, ref in sent.items():
        assert s3_objects.read(s3_client, ref).body == Path(path).read_bytes()
    (refused,) = [row for row in rows if row["error_code"]]
    assert (refused["origin"], refused["error_code"]) == (str(broken[2]), "UnreadableFile")


def test_a_redo_with_nothing_owed_says_what_brings_the_refused_ones(
    settings: Settings, tmp_path: Path, aws_env: pytest.MonkeyPatch
) -> None:
    aws_env.setenv("MODERATION_INPUT_URI", settings.work_uri + "-input")
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jpg").write_bytes(b"no image")
    load_id = in_folder(settings, folder)
    uri = stages.discover(stages.Run("dag", "again", NOON), source="", redo_load_id=load_id)
    told = run_report.nothing_new(load_plan(uri, settings=settings))
    assert f"`moderation redo {load_id} --permanent`" in told


def test_redo_of_a_load_that_is_not_there_is_one_line(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["redo", "no-such-load"]) == 2
    assert capsys.readouterr().err == (
        "moderation redo: load 'no-such-load' is not published; name one of the table loads\n"
    )


def test_the_completion_report_accounts_for_every_image_and_proves_its_files(
    settings: Settings, run: Run, s3_client: Any, bucket: str
) -> None:
    load_id = published(settings, run)
    plan = run.store()
    for record in run.records:
        s3_client.put_object(
            Bucket=bucket, Key=record.manifest_uri.removeprefix(f"s3://{bucket}/"), Body=b"m"
        )
    found = completion.build_completion(settings, plan, load_id, outcome="published")
    assert found["is_reconciled"]
    assert found["counts"] == {
        "inputs": 4, "moderated": 1, "failed": 2, "not_attempted": 1, "superseded": 0, "billed": 1,
        "anomalies": 0, "owed": 2,
    }  # fmt: skip
    assert [(entry["error_code"], entry["line_number"]) for entry in found["failures"]] == [
        ("ImageTooLarge", 2), ("Throttling", 3), ("ResultMissing", 4),
    ]  # fmt: skip
    kinds = {entry["kind"] for entry in found["files"]}
    assert kinds == {"plan", "inputs", "manifest", "results", "summary", "images", "jobs", "loads"}
    assert all(len(entry["sha256"]) == 64 and entry["bytes"] for entry in found["files"])
    assert completion.encode(found)
    with pytest.raises(
        ImagesOwedError,
        match=rf"2 images of load {load_id} are still owed, .* Throttling \(slow down\); .*redo {load_id}",
    ):
        run_report.report(plan.uri, load_id, loaded=False)
    page = s3_objects.read(s3_client, completion.page_uri(plan)).body.decode()
    for entry in found["files"]:
        assert entry["sha256"] in page
    assert "4 inputs = 1 moderated + 2 failed + 1 not attempted" in page
    assert f"redo {load_id}" in page


def test_more_owed_images_than_tolerated_are_not_published_and_what_was_paid_is_told(
    settings: Settings, run: Run, s3_client: Any
) -> None:
    plan = run.store()
    with pytest.raises(ToleranceExceededError, match=r"2 of 4 images \(50.0 %\).*49 % are tolerated"):
        publish(settings, plan, run.records, tolerated_failure_percentage=49)
    with pytest.raises(RunIncompleteError, match="nothing of load"):
        run_report.report(plan.uri, None)
    text = s3_objects.read_text(s3_client, plan.report_uri)
    assert "1 manifests have no record yet" in text
    for record in run.records:  # as the stage publish does before it publishes
        s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
    with pytest.raises(RunIncompleteError, match="nothing of load"):
        run_report.report(plan.uri, None)
    text = s3_objects.read_text(s3_client, plan.report_uri)
    assert "spent so far          0.0010 USD for 1 answered images, which are kept\n" in text
    page = s3_objects.read_text(s3_client, completion.page_uri(plan))
    assert "0.0010 USD for 1 answered images" in page
    assert publish(settings, plan, run.records, tolerated_failure_percentage=50).row["moderated"] == 1


def test_what_is_answered_can_be_published_though_more_is_missing_than_tolerated(
    settings: Settings, run: Run, s3_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jobs succeeded and left images out: no task is left that a clear would let answer them."""
    plan = run.store()
    with pytest.raises(ToleranceExceededError, match=rf"`moderation publish {plan.uri}`"):
        publish(settings, plan, run.records, tolerated_failure_percentage=49)
    assert main.main(["publish", plan.uri]) == 2
    assert "a job may still run" in capsys.readouterr().err
    for record in run.records:
        s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
    assert main.main(["publish", plan.uri]) == 2
    assert f"`moderation publish --accept-lost {plan.uri}`" in capsys.readouterr().err
    assert main.main(["publish", "--accept-lost", plan.uri]) == 0
    told = capsys.readouterr().out
    assert f"load {plan.load_id} is published: 1 moderated, 2 failed, 1 not attempted\n" in told
    again = publish(settings, plan, run.records, tolerated_failure_percentage=49)
    assert again.repeated
    assert main.main(["redo", plan.load_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["to_analyse"] == 2
    assert main.main(["publish", "plan.json"]) == 2
    assert "'plan.json' is not an S3 URI" in capsys.readouterr().err


@pytest.mark.parametrize("why", [None, "the bucket does not exist"])
def test_a_run_without_a_plan_says_why_or_where_to_look(why: str | None) -> None:
    with pytest.raises(RunIncompleteError, match=why or "see the log of the task discover"):
        run_report.report(None, None, why=why)


def test_why_a_run_published_nothing_is_the_newest_reason(settings: Settings, run: Run) -> None:
    """A person rejected the price, another approved it after a clear; then the disk was full."""
    plan = run.store()
    with pytest.raises(OverBudgetError):
        stages.refuse(plan.uri, "ops rejected it", settings=settings)
    with pytest.raises(RunIncompleteError, match="ops rejected it"):
        run_report.report(plan.uri, None, approved=False, settings=settings)
    stages.spending(plan.uri, max_cost_usd=None, settings=settings)
    with pytest.raises(RunIncompleteError, match=r"nothing of load .* is published: the disk is full"):
        run_report.report(plan.uri, None, why="the disk is full", settings=settings)


@pytest.fixture
def forbidden(settings: Settings, s3_client: Any, bucket: str) -> Run:
    """Three images: one moderated, two that the caller may not read."""
    refs = [f"s3://{bucket}/{name}.jpg" for name in ("fine", "secret", "hidden")]
    run = Run(settings, s3_client)
    errors = [{"source-ref": ref, "code": "AccessDeniedException"} for ref in refs[1:]]
    run.manifest(refs, line(refs[0], answer()), summary={"errors": errors})
    s3_client.put_object(
        Bucket=bucket, Key=run.records[0].manifest_uri.removeprefix(f"s3://{bucket}/"), Body=b"m"
    )
    return run


def test_images_that_nobody_may_read_end_the_run_badly_above_the_tolerated_share(
    settings: Settings, forbidden: Run
) -> None:
    load_id = published(settings, forbidden)
    plan = forbidden.store()
    assert run_report.report(plan.uri, load_id, tolerated_failure_percentage=67)
    with pytest.raises(
        RunIncompleteError, match=rf"2 of 3 images .* for AccessDenied: Grant s3:GetObject.*redo {load_id}"
    ):
        run_report.report(plan.uri, load_id, tolerated_failure_percentage=66)


def test_a_run_that_could_moderate_nothing_ends_badly_whatever_is_tolerated(
    settings: Settings, s3_client: Any, bucket: str
) -> None:
    refs = [f"s3://{bucket}/{name}.jpg" for name in ("secret", "hidden")]
    run = Run(settings, s3_client)
    errors = [{"source-ref": ref, "code": "InvalidS3ObjectException"} for ref in refs]
    run.manifest(refs, b"", summary={"errors": errors})
    s3_client.put_object(
        Bucket=bucket, Key=run.records[0].manifest_uri.removeprefix(f"s3://{bucket}/"), Body=b"m"
    )
    load_id = published(settings, run)
    with pytest.raises(
        RunIncompleteError, match=r"2 of 2 images .* for InvalidS3Object: Check that it is there"
    ):
        run_report.report(run.store().uri, load_id)
