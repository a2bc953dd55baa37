from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from botocore.exceptions import NoCredentialsError

from moderation.cli import main
from moderation.cli.boundary import ended
from moderation.errors import DefectError, NeedsAPersonError, TransientError


class NobodyKnowsThisOne(NeedsAPersonError):
    """A class that no other file names."""


class NorThisOne(TransientError):
    """Another."""


class NorThisDefect(DefectError):
    """And another."""


def raises(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NobodyKnowsThisOne("mend it"), 2),
        (NorThisOne("mend it"), 75),
        (NoCredentialsError(), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), 75),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kind_of_an_error_is_the_exit_code_and_its_text_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("moderation plan", raises(error)) == code

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("moderation plan: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("error", [NorThisDefect("why"), KeyError("x"), AssertionError()])
def test_a_defect_alone_has_a_traceback_and_asks_to_be_reported(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("moderation plan", raises(error)) == 70

    *lines, last = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert type(error).__name__ in lines[-1]
    assert last.startswith(f"moderation plan: this is a defect ({type(error).__name__})")
    assert "report" in last


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_command_returns_is_its_exit_code(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("moderation plan", lambda: code) == code
    assert capsys.readouterr().err == ""


def test_a_message_cannot_steer_the_terminal_and_stays_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended("moderation plan", raises(NeedsAPersonError("a\nb\r\n\tc \x1b[2J \u202e \x9b d")))

    assert capsys.readouterr().err == "moderation plan: a b c \\x1b[2J \\u202e \\x9b d\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "import sys; from moderation.cli.boundary import ended\n" + (
        "sys.exit(ended('moderation query', lambda: sys.stdout.write('row\\n' * 1_000_000) * 0))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=-1, stderr=-1, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "row\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended_well:
        main.main(["--help"])

    assert ended_well.value.code == 0
    assert "75 it passes by itself" in " ".join(capsys.readouterr().out.split())
