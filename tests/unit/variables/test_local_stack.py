"""A command of a checkout uses that checkout's own services, unless it was told of something else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local_aws import private_files
from moderation.variables.local_stack import MARKER, LocalStack, LocalStackError, taken, told_where

S3 = "http://127.0.0.1:8333"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIALOCAL", "AWS_ENDPOINT_URL_S3": S3, "AWS_PROFILE": "default"}
HARMLESS = {"AWS_REGION": "eu-west-1", "AWS_PAGER": "", "MODERATION_DETECT_TPS": "2", "AWS_PROFILE": " "}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / 'it\'s a "check out"'
    root.mkdir()
    (root / "Makefile").touch()
    (root / "var").mkdir()
    this = psutil.Process()
    LocalStack(root, ENVIRONMENT, ((this.pid, this.create_time()),)).write(private_files.write)
    return root


def test_a_command_that_was_told_of_nothing_uses_them_and_says_so_once(checkout):
    environ, said = dict(HARMLESS), []
    with taken(environ, checkout, said.append) as found:
        assert found is not None
        found.check(endpoint=environ["AWS_ENDPOINT_URL_S3"])
        assert environ == {**HARMLESS, **ENVIRONMENT}
    assert environ == HARMLESS
    assert len(said) == 1
    assert str(checkout) in said[0]


@pytest.mark.parametrize(
    "name",
    [
        "MODERATION_WORK_URI", "MODERATION_CATALOG_URI", "MODERATION_WAREHOUSE", "MODERATION_TABLES_URI",
        "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4", "KUBERNETES_SERVICE_HOST",
    ],
)  # fmt: skip
def test_what_names_a_place_credentials_or_a_host_in_production_keeps_them_out(checkout, name):
    environ, said = {name: "told"}, []
    with taken(environ, checkout, said.append) as found:
        assert found is None
        assert environ == {name: "told"}
    assert said == []


def test_asked_for_they_are_used_whatever_the_environment_says(checkout):
    environ, said = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIAPROD"}, []
    with taken(environ, checkout, said.append, asked=True):
        assert environ == ENVIRONMENT
    assert environ == {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIAPROD"}
    assert said == []


def test_asked_for_where_there_are_none_the_line_says_how_to_start_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(LocalStackError, match="make services"),
        taken({}, tmp_path, print, asked=True),
    ):
        pass


def spoil_marker(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def spoil(checkout: Path) -> None:
        content = json.loads((checkout / MARKER).read_text())
        change(content)
        (checkout / MARKER).write_text(json.dumps(content))

    return spoil


SPOILT = [
    pytest.param(lambda checkout: (checkout / MARKER).write_bytes(b""), id="emptied"),
    pytest.param(lambda checkout: (checkout / MARKER).write_bytes(b"\xff{}"), id="no text"),
    pytest.param(lambda checkout: (checkout / MARKER).write_bytes(b"[]"), id="another form"),
    pytest.param(lambda checkout: (checkout / MARKER).chmod(0o644), id="open to others"),
    pytest.param(spoil_marker(lambda told: told.update(checkout="/")), id="of another checkout"),
    pytest.param(
        spoil_marker(lambda told: told.update(checkout="/nonexistent")), id="of a checkout that moved"
    ),
    pytest.param(spoil_marker(lambda told: told["environment"].clear()), id="names nothing"),
    pytest.param(lambda checkout: (checkout / MARKER).rename(checkout / "var/secrets.json"), id="an elder's"),
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_marker_that_cannot_be_used_stops_what_would_ask_aws_and_nothing_else(checkout, spoil, monkeypatch):
    spoil(checkout)
    (checkout / "Makefile").write_text("services:\n\t@echo started\n")
    monkeypatch.chdir(checkout.parent)
    with pytest.raises(LocalStackError, match="writes it anew") as caught, taken({}, checkout, print):
        pass
    remedy = re.search(r": (make .*) writes it anew", str(caught.value))[1]
    assert "started" in subprocess.run(remedy, shell=True, capture_output=True, text=True, check=True).stdout

    environ: dict[str, str] = {}
    with taken(environ, checkout, print, needed=False) as found:
        assert (found, environ) == (None, {})
    environ = {"AWS_PROFILE": "prod"}
    with taken(environ, checkout, print) as found:
        assert (found, environ) == (None, {"AWS_PROFILE": "prod"})


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(lambda checkout: (checkout / MARKER).unlink(), id="never started"),
        pytest.param(lambda checkout: (checkout / "Makefile").unlink(), id="no make, as in an image"),
    ],
)
def test_where_no_services_can_have_been_started_none_are_taken(checkout, without):
    without(checkout)
    environ: dict[str, str] = {}
    with taken(environ, checkout, print) as found:
        assert (found, environ) == (None, {})


def test_root_may_use_what_a_user_has_started_and_another_user_may_not(checkout, monkeypatch):
    owner = checkout.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert LocalStack.of(checkout) is not None
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(LocalStackError, match="another user"):
        LocalStack.of(checkout)


@pytest.mark.parametrize("inside", [True, False], ids=["in the checkout", "elsewhere"])
def test_stopped_services_are_said_with_a_command_that_works_where_it_is_read(checkout, inside, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        started = psutil.Process(ended.pid).create_time()
    LocalStack(checkout, ENVIRONMENT, ((ended.pid, started),)).write(private_files.write)
    (checkout / "Makefile").write_text("services:\n\t@echo started\n")
    monkeypatch.chdir(checkout if inside else checkout.parent)

    with pytest.raises(LocalStackError) as caught, taken({}, checkout, print) as found:
        found.check(endpoint=S3)

    what, _, remedy = str(caught.value).partition(": ")
    assert what == "the services are stopped"
    made = subprocess.run(remedy, shell=True, capture_output=True, text=True, check=True)
    assert "started" in made.stdout


def test_a_process_that_got_the_number_of_a_stopped_service_is_not_taken_for_it(checkout):
    LocalStack(checkout, ENVIRONMENT, ((os.getpid(), 1.0),)).write(private_files.write)
    assert LocalStack.of(checkout).is_running() is False


def test_a_shell_that_read_env_before_the_services_moved_is_told_to_read_it_again(checkout):
    environ = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    with taken(environ, checkout, print) as found, pytest.raises(LocalStackError, match=r"set -a; \. "):
        found.check(endpoint=environ["AWS_ENDPOINT_URL_S3"])


def test_a_region_or_a_rate_is_no_place():
    assert not told_where(HARMLESS)
