"""The doctor tells every line, whatever one of them is, and its exit code is that of the worst."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moderation.cli import main
from moderation.doctor import report
from moderation.doctor.checks import CHECKS
from moderation.doctor.finding import Check, Finding, Level, ok, stop, warning
from support.airflow_home import REPOSITORY

FINE = Check("fine", lambda place: [ok("as it should be")])
POOR = Check("poor", lambda place: [warning("slow", "buy another one"), ok("but there")])
BROKEN = Check("broken", lambda place: [stop("not there", "get it")])


def broken(place: object) -> list[Finding]:
    raise LookupError("nobody thought of this")


@pytest.mark.parametrize(
    ("checks", "code", "outcome"),
    [((), 0, "ok"), ((FINE,), 0, "ok"), ((POOR, FINE), 0, "warning"), ((BROKEN, POOR, FINE), 2, "stop")],
)
def test_the_exit_code_is_that_of_a_command_that_a_person_must_help(place, capsys, checks, code, outcome):
    assert report.run(as_json=True, place=place, checks=checks) == code
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == outcome
    assert all(set(row) == {"check", "level", "found", "remedy"} for row in told["checks"])
    assert all((row["level"] == "ok") == (row["remedy"] is None) for row in told["checks"])


def test_a_check_that_fails_itself_is_a_line_and_hides_no_other(place, capsys):
    assert report.run(as_json=False, place=place, checks=(Check("odd", broken), BROKEN)) == 2
    odd, remedy, *rest = capsys.readouterr().out.splitlines()
    assert odd.startswith("warning  odd")
    assert "LookupError: nobody thought of this" in odd
    assert remedy.strip().startswith("→ ")
    assert rest[0].startswith("stop     broken")


def test_what_could_steer_a_terminal_is_written_out(place, capsys):
    check = Check("name", lambda place: [warning("\x1b[2Jgone\nnext", "rm \u202egnp")])
    report.run(as_json=False, place=place, checks=(check,))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 2


def test_each_check_finds_something_and_each_trouble_has_a_remedy(place, capsys):
    report.run(as_json=True, place=place)
    rows = json.loads(capsys.readouterr().out)["checks"]
    assert {row["check"] for row in rows} == {check.name for check in CHECKS}
    assert not [row for row in rows if "could not be looked at" in row["found"]]
    assert all(row["found"] for row in rows)
    assert all(row["remedy"] for row in rows if row["level"] != Level.OK)


def test_a_wrong_setting_keeps_no_doctor_away(monkeypatch, capsys):
    monkeypatch.setenv("MODERATION_DETECT_TPS", "many")
    assert main.main(["doctor", "--json"]) == 2
    rows = json.loads(capsys.readouterr().out)["checks"]
    assert [row["level"] for row in rows if row["check"] == "settings"] == ["stop"]


def test_the_doctor_needs_nothing_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-S", "-c", "from moderation.doctor.__main__ import main; main()"],
        env={"PYTHONPATH": str(REPOSITORY / "include"), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert {line.split()[1] for line in done.stdout.splitlines() if not line.startswith(" ")} >= {
        "python",
        "disk",
    }
    assert list(Path(tmp_path).iterdir()) == []
