"""The table of ``docs/chaos.md``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.outcome import Outcome
from chaos.publishes import Tally

_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass
class _Row:
    tried: int = 0
    survived: int = 0
    lost: int = 0
    paid_twice: int = 0


def line(outcome: Outcome) -> str:
    """One seed in one line."""
    verdict = f"BROKEN {outcome.broken}" if outcome.broken else "survived"
    faults = "; ".join(name if count == 1 else f"{name} ×{count}" for name, count in outcome.faults.items())
    unnamed = f" UNNAMED {outcome.unnamed}" if outcome.unnamed else ""
    took = f"{outcome.seconds:.1f} s, {outcome.attempts} attempts"
    return f"seed {outcome.seed}: {verdict} in {took} [{faults}]{unnamed}"


def markdown(outcomes: Sequence[Outcome], tally: Tally | None) -> str:
    """The table of all seeds, by fault, and what came of the killed publishes."""
    rows: dict[str, _Row] = defaultdict(_Row)
    for outcome in outcomes:
        for name, count in outcome.faults.items():
            row = rows[name]
            row.tried += count
            row.survived += count if outcome.broken is None else 0
            row.lost += outcome.lost
            row.paid_twice += outcome.paid_twice
    total = _Row(
        tried=sum(row.tried for row in rows.values()),
        survived=sum(row.survived for row in rows.values()),
        lost=sum(outcome.lost for outcome in outcomes),
        paid_twice=sum(outcome.paid_twice for outcome in outcomes),
    )
    cells = [(f"`{name}`", rows[name]) for name in sorted(rows)] + [("**all**", total)]
    return "\n".join(
        [
            f"{len(outcomes)} seeds, {sum(outcome.attempts for outcome in outcomes)} processes, "
            f"{sum(outcome.publishes_killed for outcome in outcomes)} killed publishes, "
            f"{sum(outcome.looks for outcome in outcomes)} looks of a reader at all tables; "
            f"{sum(outcome.paid_in_flight for outcome in outcomes)} single calls of the detect backend, in "
            "flight when it was killed, were paid again.",
            *(["", tally.text()] if tally else []),
            "",
            "| fault | tried | survived | images lost | duplicate paid calls |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {name} | {row.tried} | {row.survived} | {row.lost} | {row.paid_twice} |"
                for name, row in cells
            ),
        ]
    )


def replace(path: Path, text: str) -> None:
    """Put the table between the two marks of a Markdown file."""
    content = path.read_text()
    before, _, rest = content.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    path.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")
