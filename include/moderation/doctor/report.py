"""The findings as lines or JSON, and the exit code that they make."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from moderation.doctor.checks import CHECKS
from moderation.doctor.finding import Check, Finding, Level, Place, warning
from moderation.settings import surroundings
from moderation.variables.local_stack import CHECKOUT

NOTHING_STOPS, A_PERSON_MUST_ACT = 0, 2
"""As every command ends: 0, also with warnings, and 2 when a person must act."""

T = TypeVar("T")


def run(*, as_json: bool, place: Place | None = None, checks: Iterable[Check[Place]] = CHECKS) -> int:
    """Look at this machine and print what was found; returns the exit code.

    :param place: this checkout, its environment and its user's home by default.
    """
    return tell(look(checks, place or Place(CHECKOUT, dict(surroundings()), Path.home())), as_json=as_json)


def tell(findings: Iterable[tuple[str, Finding]], *, as_json: bool) -> int:
    """Print findings, each with the name of its check; returns the exit code.

    Lines are printed as they come: some of them wait for an answer.
    """
    found = []
    for name, finding in findings:
        found.append((name, finding))
        if not as_json:
            sys.stdout.write(_line(name, finding))
            sys.stdout.flush()
    worst = max((finding.level for _, finding in found), key=list(Level).index, default=Level.OK)
    if as_json:
        rows = [
            {"check": name, "level": finding.level, "found": finding.found, "remedy": finding.remedy or None}
            for name, finding in found
        ]
        sys.stdout.write(json.dumps({"outcome": worst, "checks": rows}, indent=2) + "\n")
    sys.stdout.flush()
    return A_PERSON_MUST_ACT if worst is Level.STOP else NOTHING_STOPS


def look(checks: Iterable[Check[T]], place: T) -> Iterator[tuple[str, Finding]]:
    """What each check finds, with its name; one that fails hides no other."""
    for check in checks:
        try:
            found = list(check.look(place))
        except Exception as error:
            what = f"could not be looked at: {type(error).__name__}: {error}"
            found = [warning(what, "please report this line")]
        for finding in found:
            yield check.name, finding


def _line(name: str, finding: Finding) -> str:
    remedy = f"\n{'':<20}→ {_printable(finding.remedy)}" if finding.remedy else ""
    return f"{finding.level:<8} {name:<10} {_printable(finding.found)}{remedy}\n"


def _printable(text: str) -> str:
    """In one line, with what could steer a terminal written out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
