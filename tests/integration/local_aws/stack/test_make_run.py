"""The commands of the Makefile, through the real scheduler, S3 and offline Rekognition."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import duckdb
import pytest

from support import pictures
from support.airflow_stack import until

DEMO = Path(__file__).resolve().parents[4] / "include/local_aws/demo_images"
AWS = Path(__file__).resolve().parents[4] / ".tools/awscli/bin/aws"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    (images / "sub folder").mkdir(parents=True)
    shutil.copy(DEMO / "illustrations/rifle.png", images)
    shutil.copy(DEMO / "photos/wine.jpg", images / "sub folder" / "odd # ? 'name'\n.jpg")
    (images / "text.jpg").write_bytes(pictures.HOSTILE["text_named_jpg"].make())
    (images / "notes.md").write_text("no image")
    return images


def counted(text: str, name: str) -> int:
    found = re.search(rf"^ *{re.escape(name)} +([\d,]+)", text, re.MULTILINE)
    assert found, f"{name} is not in\n{text}"
    return int(found[1].replace(",", ""))


def open_to_others(root: Path) -> list[Path]:
    """What of all that the stack has written somebody else may read."""
    var = root / "var"
    # SeaweedFS, and the report that a person may want to hand on, set the mode of these themselves.
    own_mode = {*var.rglob("*.vif"), *(var / "report").rglob("*")}
    written = {root / ".env", var, *var.rglob("*")} - own_mode
    return sorted(path for path in written if path.lstat().st_mode & 0o077 and not path.is_symlink())


@pytest.mark.parametrize("is_run_again", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_folder_becomes_tables_once_beside_a_refused_second_run_and_nothing_is_left_running(
    checkout, folder, is_run_again
):
    with checkout.start("run", IMAGES=str(folder)) as first:
        first.stderr.readline()
        at_once = checkout.run("run", IMAGES=str(folder))
        stdout, stderr = first.communicate(timeout=300)

    assert at_once.returncode == 1
    refusal = r"make run: another make run is in progress here \(process \d+\).*\n"
    assert re.fullmatch(refusal, at_once.stderr)
    assert first.returncode == 0, stderr
    assert checkout.left_running() == []
    assert open_to_others(checkout.root) == []
    parquet = checkout.root / "var/parquet"
    with duckdb.connect() as connection:
        status = dict(
            connection.execute(
                "SELECT status, count(*) FROM read_parquet(?) GROUP BY 1",
                [f"{parquet}/images/**/*.parquet"],
            ).fetchall()
        )
        l2 = dict(
            connection.execute(
                "SELECT l2, count(DISTINCT source_ref) FROM read_parquet(?) "
                "WHERE confidence >= 50 GROUP BY 1",
                [f"{parquet}/labels_l2/**/*.parquet"],
            ).fetchall()
        )
    assert status == {"moderated": 2, "failed": 1}
    assert counted(stdout, "moderated") == status["moderated"]
    assert counted(stdout, "failed") == status["failed"]
    assert l2 == {"Weapons": 1, "Alcoholic Beverages": 1}
    assert all(counted(stdout, f"› {name}") == images for name, images in l2.items())
    with duckdb.connect(str(checkout.root / "var/warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM labels_in_use").fetchone() == (4,)
        (asked,) = connection.execute("SELECT DISTINCT min_confidence FROM loads").fetchone()
    assert asked == 5

    if is_run_again:
        second = checkout.run("run", IMAGES=str(folder))
        assert second.returncode == 0, second.stderr
        assert "Nothing new" in second.stdout
        assert "2 already moderated, 1 refused before, unchanged (InvalidImageFormat 1)" in second.stdout
        stdout = second.stdout
    (page,) = (checkout.root / "var/report/loads").glob("*.html")
    for named in (page, checkout.root / "var/warehouse.duckdb"):
        assert f" {named}\n" in stdout

    services = checkout.run("services")
    assert services.returncode == 0, services.stderr
    listed = subprocess.run(
        [str(AWS), "rekognition", "list-media-analysis-jobs", "--query", "MediaAnalysisJobs[].Status"],
        env={**checkout.environ, **checkout.env_file()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == ["[", '"SUCCEEDED"', "]"]
    by_itself = checkout.moderation("list-jobs")
    assert by_itself.stderr.startswith(
        f"moderation list-jobs: the local services of {checkout.root} are used"
    )
    assert "SUCCEEDED" in by_itself.stdout
    told = checkout.moderation(
        "--local", "list-jobs", AWS_PROFILE="elsewhere", http_proxy="http://127.0.0.1:1"
    )
    assert (told.stdout, told.stderr) == (by_itself.stdout, "")
    assert "Stopped: s3, rekognition" in checkout.run("down").stdout
    assert checkout.left_running() == []
    stopped = checkout.moderation("list-jobs")
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert stopped.stderr.splitlines()[1:] == [
        "moderation list-jobs: the services are stopped: make services"
    ]


def test_a_run_that_is_interrupted_stops_what_it_started(checkout, folder):
    process = checkout.start("run", IMAGES=str(folder))
    with process:
        for line in process.stderr:
            if "Airflow" in line:
                break
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted" in err
    assert checkout.left_running() == []


@pytest.mark.long
def test_a_run_outlives_an_endpoint_that_stops_and_leaves_the_services_that_were_asked_for(checkout, folder):
    with checkout.start("run", IMAGES=str(folder)) as run:
        lines = iter(run.stderr)
        assert any("discover:" in line for line in lines)
        assert checkout.run("services").returncode == 0
        assert any("analyse:" in line for line in lines)
        endpoint = checkout.pid("rekognition")
        os.kill(endpoint, signal.SIGSTOP)
        try:
            waiting = next(line for line in lines if "waiting" in line or "make run" in line)
        finally:
            os.kill(endpoint, signal.SIGCONT)
        stdout, stderr = run.communicate(timeout=300)

    assert "waiting: Rekognition does not answer (timed out); the run goes on" in waiting
    assert run.returncode == 0, stderr
    assert counted(stdout, "moderated") == 2
    assert [line.split()[0] for line in checkout.run("status").stdout.splitlines()] == ["s3", "rekognition"]


def test_of_two_commands_at_once_one_starts_the_services_and_the_other_is_refused_in_one_line(checkout):
    with checkout.start("services") as first, checkout.start("services") as second:
        outputs = {process: process.communicate(timeout=120) for process in (first, second)}

    refused, won = sorted(outputs, key=lambda process: process.returncode, reverse=True)
    assert (refused.returncode, won.returncode) == (1, 0), outputs
    assert re.fullmatch(
        r"make services: another make command is starting .* \(process \d+\); .*\n", outputs[refused][1]
    )
    assert "s3" in checkout.run("status").stdout
    assert "Stopped: s3, rekognition" in checkout.run("down").stdout
    assert checkout.left_running() == []


def test_services_whose_command_was_killed_while_it_started_them_do_not_stand_in_the_way(checkout):
    with checkout.start("services") as killed:
        log = checkout.root / "var/s3/seaweedfs.log"
        until(lambda: log.exists() and log.stat().st_size, what="the start of S3")
        killed.kill()

    again = checkout.run("services")

    assert again.returncode == 0, again.stderr
    assert checkout.run("down").returncode == 0
    assert checkout.left_running() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("command", [pytest.param("services", marks=pytest.mark.long), "run"])
def test_a_full_disk_is_one_line_and_with_room_again_the_next_command_works(checkout, command):
    var = checkout.root / "var"
    var.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(var)], check=True)
    try:
        full = checkout.run(command)
        assert full.returncode == 1
        (said,) = [line for line in full.stderr.splitlines() if line.startswith("make")]
        assert re.search(r"the disk of .* is full \(0 MB free\): make room", said)
        assert full.stderr.endswith(f"{said}\n")
        assert [path for path in var.rglob(".*") if re.search(r"\.\d+$", path.name)] == []
        assert checkout.left_running() == []

        subprocess.run(["mount", "-o", "remount,size=300m", str(var)], check=True)
        mended = checkout.run("services")
        assert mended.returncode == 0, mended.stderr
        checkout.run("down")
    finally:
        subprocess.run(["umount", "-l", str(var)], check=True)


@pytest.mark.parametrize("command", ["services", "up"])
def test_a_taken_port_is_one_line_that_names_the_variable(checkout, command):
    with socket.create_server(("127.0.0.1", int(checkout.environ["S3_PORT"]))):
        result = checkout.run(command)

    assert result.returncode == 1
    assert re.fullmatch(
        rf"make {command}: port \d+, needed for S3, is taken .*S3_PORT=\d+ make \.\.\.\n", result.stderr
    )
    assert checkout.left_running() == []


def test_down_without_anything_running_says_so(checkout):
    assert "Nothing of this checkout was running" in checkout.run("down").stdout
