"""What `make` does before, and beside, what it calls."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing was installed."""
    for path in (ROOT / "Makefile", ROOT / "Dockerfile", *ROOT.glob("requirements*")):
        shutil.copy(path, tmp_path)
    return tmp_path


def make(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("target", "code"), [("status", 0), ("down", 0), ("query", 2)])
def test_asking_where_nothing_is_installed_says_so_and_installs_nothing(bare, target, code):
    before = sorted(bare.rglob("*"))
    done = make(bare, target)
    assert done.returncode == code
    assert "othing is installed" in done.stdout + done.stderr
    assert sorted(bare.rglob("*")) == before


@pytest.mark.parametrize("digest", ["sha256:" + "0a" * 32, "sha256:none", ""])
def test_the_digest_of_the_base_image_is_written_only_as_the_registry_tells_it(bare, digest):
    docker = bare / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\n[ "$3" = inspect ] && echo "{digest}"\n')
    docker.chmod(0o755)
    before = (bare / "Dockerfile").read_text()
    tag = re.search(r"^ARG BASE_IMAGE=([^@\n]+)", before, re.MULTILINE)[1]

    done = [make(bare, "lock-image", PATH=f"{docker.parent}:{os.environ['PATH']}") for _ in range(2)]

    after = (bare / "Dockerfile").read_text()
    if digest.endswith("0a"):
        assert [one.returncode for one in done] == [0, 0]
        assert f"ARG BASE_IMAGE={tag}@{digest}\n" in after
        assert len(after.splitlines()) == len(before.splitlines())
    else:
        assert [one.returncode for one in done] == [2, 2]
        assert tag in done[0].stderr
        assert after == before


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_that_was_started_from_another_folder_names_the_one_its_commands_are_for(bare, tmp_path, code):
    checkout = tmp_path / 'it\'s a "check out"'
    (checkout / ".venv").mkdir(parents=True)
    shutil.copy(bare / "Makefile", checkout)
    for name in ("requirements.txt", "requirements-uv.txt", ".venv/.installed"):
        (checkout / name).touch()
    run = [f"STACK=sh -c 'exit {code}' --", "run"]

    inside = make(checkout, *run, PWD=str(checkout))
    elsewhere = make(tmp_path, "-C", str(checkout), *run, PWD=str(tmp_path))

    assert (inside.returncode, elsewhere.returncode) == (2 * code, 2 * code)
    assert "cd " not in inside.stderr
    told = next(line for line in elsewhere.stderr.splitlines() if "cd " in line)
    assert shlex.split(told.partition(": ")[2]) == ["cd", str(checkout)]


def test_ci_runs_every_test_that_is_not_long() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {"make test", "make test-slow"} <= set(commands)
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, marks in (("test", "not long and not slow"), ("test-slow", "slow and not long")):
        (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", recipes, re.MULTILINE)
        assert f'-m "{marks}"' in recipe
