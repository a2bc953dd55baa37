"""The commands of the Makefile, through the real scheduler, S3 and offline Rekognition."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import duckdb
import pytest

from support import pictures

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


def test_a_folder_becomes_tables_once_beside_a_refused_second_run_and_nothing_is_left_running(
    checkout, folder
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
    parquet = checkout.root / "var/parquet"
    with duckdb.connect() as connection:
        status = dict(
            connection.execute(
                f"SELECT status, count(*) FROM '{parquet}/images/**/*.parquet' GROUP BY 1"
            ).fetchall()
        )
        l2 = dict(
            connection.execute(
                f"SELECT l2, count(DISTINCT source_ref) FROM '{parquet}/labels_l2/**/*.parquet' GROUP BY 1"
            ).fetchall()
        )
    assert status == {"moderated": 2, "failed": 1}
    assert counted(stdout, "moderated") == status["moderated"]
    assert counted(stdout, "failed") == status["failed"]
    assert l2 == {"Weapons": 1, "Alcoholic Beverages": 1}
    assert all(counted(stdout, f"› {name}") == images for name, images in l2.items())
    with duckdb.connect(str(checkout.root / "var/warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchone() == (4,)

    second = checkout.run("run", IMAGES=str(folder))

    assert second.returncode == 0, second.stderr
    assert "Nothing new" in second.stdout
    assert "3 already moderated" in second.stdout

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
    assert "Stopped: s3, rekognition" in checkout.run("down").stdout
    assert checkout.left_running() == []


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


@pytest.mark.parametrize("command", ["services", "up"])
def test_a_taken_port_is_one_line_that_names_the_variable(checkout, command):
    with socket.socket() as server:
        server.bind(("127.0.0.1", int(checkout.environ["S3_PORT"])))
        server.listen()

        result = checkout.run(command)

    assert result.returncode == 1
    assert re.fullmatch(
        rf"make {command}: port \d+, needed for S3, is taken .*S3_PORT=\d+ make \.\.\.\n", result.stderr
    )
    assert checkout.left_running() == []


def test_down_without_anything_running_says_so(checkout):
    assert "Nothing of this checkout was running" in checkout.run("down").stdout
