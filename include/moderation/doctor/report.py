"""The findings as lines or JSON, and the exit code that they make."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from moderation.doctor.checks import CHECKS
from moderation.doctor.finding import Check, Finding, Level, Place, warning
from moderation.settings import surroundings
from moderation.variables.local_stack import CHECKOUT

NOTHING_STOPS, A_PERSON_MUST_ACT = 0, 2
"""As every command ends: 0, also with warnings, and 2 when a person must act."""


def run(*, as_json: bool, place: Place | None = None, checks: Iterable[Check] = CHECKS) -> int:
    """Look at everything and print it; returns the exit code.

    :param place: this checkout, its environment and its user's home by default.
    """
    place = place or Place(CHECKOUT, dict(surroundings()), Path.home())
    found = [(check.name, finding) for check in checks for finding in _look(check, place)]
    worst = max((finding.level for _, finding in found), key=list(Level).index, default=Level.OK)
    if as_json:
        rows = [
            {"check": name, "level": finding.level, "found": finding.found, "remedy": finding.remedy or None}
            for name, finding in found
        ]
        sys.stdout.write(json.dumps({"outcome": worst, "checks": rows}, indent=2) + "\n")
    else:
        sys.stdout.write("".join(_line(name, finding) for name, finding in found))
    sys.stdout.flush()
    return A_PERSON_MUST_ACT if worst is Level.STOP else NOTHING_STOPS


def _look(check: Check, place: Place) -> list[Finding]:
    """What a check finds; one that fails hides no other."""
    try:
        return list(check.look(place))
    except Exception as error:
        return [
            warning(f"could not be looked at: {type(error).__name__}: {error}", "please report this line")
        ]


def _line(name: str, finding: Finding) -> str:
    remedy = f"\n{'':<20}→ {_printable(finding.remedy)}" if finding.remedy else ""
    return f"{finding.level:<8} {name:<10} {_printable(finding.found)}{remedy}\n"


def _printable(text: str) -> str:
    """In one line, with what could steer a terminal written out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
