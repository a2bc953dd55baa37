"""Damaging a finished results file the way a rule asks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from local_aws.rekognition.faults import FaultRule, chosen


def damaged(results: Path, rules: Sequence[FaultRule]) -> Path:
    """Return the file to hand out: ``results`` itself, or a damaged copy beside it.

    The file is held in memory for this; a job has at most 10,000 lines.
    """
    active = [rule for rule in rules if rule.kind.startswith("results_")]
    if not active:
        return results
    lines = results.read_bytes().splitlines(keepends=True)
    for rule in active:
        lines = _apply(rule, lines)
    copy = results.with_name("damaged-" + results.name)
    copy.write_bytes(b"".join(lines))
    return copy


def _apply(rule: FaultRule, lines: list[bytes]) -> list[bytes]:
    numbered = list(enumerate(lines, start=1))
    match rule.kind:
        case "results_missing":
            return [line for number, line in numbered if not chosen(rule, number)]
        case "results_duplicated":
            return [line for number, line in numbered for _ in range(1 + chosen(rule, number))]
        case "results_malformed":
            return [line[: len(line) // 2] + b"\n" if chosen(rule, n) else line for n, line in numbered]
        case "results_reordered":
            shuffled = list(lines)
            random.Random(rule.seed).shuffle(shuffled)  # noqa: S311 - repeatable order, no secret
            return shuffled
        case _:  # results_truncated
            return [*lines[:-1], lines[-1][: len(lines[-1]) // 2]] if lines else lines
