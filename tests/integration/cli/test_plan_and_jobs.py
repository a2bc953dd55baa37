from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from local_aws import ports
from moderation.cli import main
from moderation.plan.plan import run_key
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from support import pictures


@pytest.fixture
def run(settings, aws_env, capsys, tmp_path):
    """Run the command line in the environment that `.env` would set; returns code, output and errors."""
    aws_env.setenv("MODERATION_WORK_URI", settings.work_uri)
    aws_env.setenv("MODERATION_INPUT_URI", settings.input_uri)
    aws_env.setenv("MODERATION_TABLES_URI", settings.tables_uri)
    aws_env.setenv("MODERATION_CATALOG_URI", f"sqlite:///{tmp_path}/catalog.db")

    def run(*arguments):
        code = main.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def rekognition_env(aws_env, rekognition_server):
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)


@pytest.fixture
def manifest(put, bucket):
    put("photos/a.jpg")
    put("manifest.jsonl", body=json.dumps({"source-ref": f"s3://{bucket}/photos/a.jpg"}).encode() + b"\n")
    return f"s3://{bucket}/manifest.jsonl"


@pytest.mark.usefixtures("rekognition_env")
def test_a_job_is_started_shown_and_listed(run, manifest, bucket):
    start = [
        "start-job",
        manifest,
        "--output",
        f"s3://{bucket}/out/",
        "--name",
        "by-hand",
        "--min-confidence",
        "60",
    ]

    code, out, _ = run(*start, "--json")
    job_id = json.loads(out)["JobId"]
    shown, text, _ = run("show-job", job_id, "--wait", "60")
    _, listed, _ = run("list-jobs", "--limit", "100")
    _, as_json, _ = run("show-job", job_id, "--json")

    assert (code, shown) == (0, 0)
    assert "SUCCEEDED" in text
    assert f"s3://{bucket}/out/" in text
    assert any(job_id in line and "SUCCEEDED" in line and "by-hand" in line for line in listed.splitlines())
    assert json.loads(as_json)["OperationsConfig"]["DetectModerationLabels"]["MinConfidence"] == 60


@pytest.mark.usefixtures("rekognition_env")
def test_the_same_token_starts_one_job(run, manifest, bucket):
    start = ["start-job", manifest, "--output", f"s3://{bucket}/out/", "--token", f"once-{bucket}", "--json"]

    assert run(*start)[1] == run(*start)[1]


@pytest.mark.usefixtures("rekognition_env")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["start-job", "manifest.jsonl", "--output", "s3://out"], 2, "is not an S3 URI"),
        (["start-job", "s3://b/folder/", "--output", "s3://out"], 2, "is a folder"),
        (
            ["start-job", "s3://b/m", "--output", "s3://out/p", "--min-confidence", "150"],
            2,
            "expected 0 to 100",
        ),
        (
            ["start-job", "s3://bucket/m", "--output", "s3://out/p", "--name", "my job"],
            2,
            "StartMediaAnalysisJob: ",
        ),
        (["show-job", "no-such-job"], 2, "GetMediaAnalysisJob: ResourceNotFoundException"),
        (["list-jobs", "--limit", "0"], 2, "expected 1 or more"),
        (["upload", "/no/such/folder"], 2, "is no folder"),
        (["plan", "s3://no-such-bucket-at-all/x"], 2, "NoSuchBucket"),
        (["plan", "/no/such/folder"], 2, "is no folder"),
        (["plan", "s3://b/x", "--min-confidence", "150"], 2, "expected 0 to 100"),
        (["release", "plan.json"], 2, "is not an S3 URI"),
    ],
)
def test_each_fault_is_one_clear_line_and_an_exit_code(run, arguments, code, says):
    found, out, errors = run(*arguments)

    assert (found, out) == (code, "")
    assert says in errors
    assert errors.startswith(f"moderation {arguments[0]}: ")
    assert errors.count("\n") == 1


def test_a_server_that_is_not_there_is_one_clear_line(run, aws_env, bucket):
    aws_env.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{ports.find_free()}")
    aws_env.setenv("AWS_MAX_ATTEMPTS", "1")

    code, _, errors = run("plan", f"s3://{bucket}/x")

    assert code == 75
    assert "AWS_ENDPOINT_URL_S3" in errors


def test_a_malformed_setting_is_one_clear_line(run, aws_env):
    aws_env.setenv("MODERATION_CLAIM_HOURS", "soon")

    code, _, errors = run("list-jobs")

    assert code == 2
    assert "MODERATION_CLAIM_HOURS='soon'" in errors


def test_wrong_usage_ends_with_2(run):
    code, out, errors = run("start-job")

    assert (code, out) == (2, "")
    assert errors == (
        "moderation start-job: the following arguments are required: manifest, --output; "
        "see moderation start-job --help\n"
    )


def test_upload_tells_what_it_did(run, tmp_path, settings):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(pictures.picture())
    (folder / "new\nline.jpg").write_bytes(b"text")
    (folder / "notes.txt").write_bytes(b"x")

    code, out, _ = run("upload", folder, "--json")
    again_code, text, _ = run("upload", folder)

    done = json.loads(out)
    assert (code, again_code) == (1, 1)
    assert done["target"].startswith(settings.input_uri)
    assert (done["files"], done["images"], done["uploaded"], done["ignored"]) == (3, 1, 1, 1)
    assert [row["error_code"] for row in done["rejected"]] == ["InvalidImageFormat"]
    assert "uploaded:             0" in text
    assert "InvalidImageFormat" in text


def test_plan_shows_counts_price_and_time_and_changes_nothing(run, put, bucket, s3_client):
    put("photos/a.jpg", "photos/b.jpg")

    code, text, _ = run("plan", f"s3://{bucket}/photos")
    _, out, _ = run("plan", f"s3://{bucket}/photos", "--json", "--no-inspect", "--max-images", "1")

    assert code == 0
    assert "to analyse:           2" in text
    assert "0.0020 USD" in text
    assert json.loads(out)["totals"]["postponed"] == 1
    assert s3_client.list_objects_v2(Bucket=bucket)["KeyCount"] == 2


def test_release_lets_other_runs_have_the_pictures(run, put, bucket, settings):
    put("photos/a.jpg")

    def make(name):
        request = PlanRequest(
            run_key=run_key("dag", name), source=f"s3://{bucket}/photos", logical_time=datetime.now(UTC)
        )
        return make_plan(settings, request, published=lambda *_, **__: [])

    dead = make("dead")
    assert make("waits").totals.claimed_elsewhere == 1

    code, out, _ = run("release", dead.uri)

    assert (code, out) == (0, f"released 1 images of {dead.load_id}\n")
    assert make("goes on").totals.to_analyse == 1


@pytest.mark.slow
def test_the_command_starts_without_airflow():
    code = (
        "import sys; from moderation.cli import main; main._parser(); "
        "sys.exit(any(n.split('.')[0] == 'airflow' for n in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60).returncode == 0
    )
