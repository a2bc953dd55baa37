"""A worker process of whichever release its ``PYTHONPATH`` names: lines of JSON order, and answer.

Run with ``python -P``, so that nothing beside this file is of another release.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


def stage(name: str, **arguments: Any) -> Any:
    """A stage of a run, as a task of the Dag calls it."""
    from chaos import stages  # noqa: PLC0415 - of the release

    return getattr(stages, name)(**arguments)


def command(words: list[str]) -> dict[str, Any]:
    """A command; its exit code and what it printed."""
    from moderation.cli.main import main  # noqa: PLC0415

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    return {"code": code, "printed": printed.getvalue()}


class Console:
    """The database of verdicts, opened once, as by a console that goes on working."""

    state: Any = None

    def open(self) -> None:
        """Open it, which also brings it up to the release's tables."""
        from moderation.review.state.open import open_state  # noqa: PLC0415

        self.state = open_state(os.environ["MODERATION_REVIEW_DB"])

    def append(self, verdicts: list[dict[str, Any]]) -> list[int]:
        """Say something; how many verdicts were new, how many were known."""
        from moderation.review.verdict import Verdict  # noqa: PLC0415

        now = datetime.now(UTC)
        said = [Verdict(decided_at=now, **one) for one in verdicts]
        found = self.state.log.append(said)
        return [found.new, found.known]

    def by_reviewer(self, name: str) -> list[list[str]]:
        """What a person said: content, label, verdict."""
        return sorted([one.content, one.label, one.verdict] for one in self.state.log.by_reviewer(name, 1000))

    def close(self) -> None:
        """Close it, as at the end of a console."""
        self.state.close()


def main() -> None:
    """Work off orders until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO)
    console = Console()
    for line in sys.stdin:
        order = json.loads(line)
        known = {"stage": stage, "command": command}
        done = known.get(order["what"]) or getattr(console, order["what"])
        try:
            answer = {"value": done(**order["arguments"])}
        except Exception as error:  # whatever it is, it is the answer
            answer = {"error": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
