"""The page *Numbers*: how good the model is, as far as people's verdicts can tell, and the same as files."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from moderation.console.gate import Person, Right
from moderation.console.pages.view import page
from moderation.console.shared import Shared
from moderation.console.verify import figures
from moderation.errors import WarehouseMissingError
from moderation.review.statistics.draws import drawn
from moderation.review.statistics.numbers import NUMBERS, Numbers
from moderation.schema import CONTENT_TYPES

_MOST_LOADS = 200
_WIDTH, _HEIGHT = 560, 220

router = APIRouter(prefix="/numbers")


@router.get("", name="numbers")
def numbers(request: Request, load: str = "", of: int = 0, kind: str = "", label: str = "") -> Response:
    """Counts, rates with their intervals, curves, what training lacks, and people.

    :param load: of this job only.
    :param of: which model and adapter; they are never put together.
    :param kind: of this content type only.
    :param label: whose curves are drawn; the image as a whole without.
    """
    shared: Shared = request.app.state.shared
    person: Person = request.state.person
    told = _numbers(shared, load)
    keys = figures.keys(told)
    key = keys[min(max(of, 0), len(keys) - 1)] if keys else None
    lines = figures.lines(told, key, kind if kind in CONTENT_TYPES else None) if key else []
    waiting, _ = shared.review.log.waiting()
    return page(
        request,
        "verify/numbers.html.j2",
        loads=shared.history.known_loads()[0][:_MOST_LOADS],
        load=load,
        kind=kind,
        label=label,
        keys=keys,
        of=keys.index(key) if key else 0,
        lines=[line for line in lines if line.is_met or line.label is None],
        never=[line for line in lines if not line.is_met and line.label is not None],
        waiting=waiting,
        curves=[
            _drawn(name, figures.curve(told, key, label or None, name)) for name in ("precision", "recall")
        ]
        if key
        else [],
        training=[row for row in told.training if figures.key_of(row) == key and _is_met(row)],
        people=[row for row in told.people if person.may(Right.DECIDE) or row["reviewer"] == person.name],
        may_verify=person.may(Right.VERIFY),
    )


@router.get("/export.{kind}", name="numbers_export")
def export(request: Request, kind: str, load: str = "") -> Response:
    """Every number, one a row, as the table `review_numbers` has them."""
    table = _numbers(request.app.state.shared, load).rows.cast(NUMBERS)
    file = io.BytesIO()
    if kind == "csv":
        pyarrow.csv.write_csv(table, file)
    elif kind == "parquet":
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    else:
        raise HTTPException(404, "Numbers can be had as csv, parquet.")
    media_type = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}[kind]
    headers = {"Content-Disposition": f'attachment; filename="numbers.{kind}"'}
    return Response(file.getvalue(), media_type=media_type, headers=headers)


def _is_met(row: dict[str, Any]) -> bool:
    return any(row[name] for name in ("false_positives", "false_negatives", "right"))


def _numbers(shared: Shared, load: str) -> Numbers:
    try:
        return shared.figures.of(load or None, shared.thresholds(), drawn(shared.review))
    except WarehouseMissingError:
        return Numbers(NUMBERS.empty_table())


def _drawn(name: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    """A curve as SVG coordinates: thresholds to the right, shares up."""

    def x(row: dict[str, Any]) -> float:
        return round(row["threshold"] / 100 * _WIDTH, 1)

    def y(share: float) -> float:
        return round((1 - share) * _HEIGHT, 1)

    with_interval = [row for row in points if row["low"] is not None and row["high"] is not None]
    band = [(x(row), y(row["high"])) for row in with_interval]
    band += [(x(row), y(row["low"])) for row in reversed(with_interval)]
    return {
        "name": name,
        "points": points,
        "line": " ".join(f"{x(row)},{y(row['value'])}" for row in points),
        "band": " ".join(f"{left},{up}" for left, up in band),
        "dots": [(x(row), y(row["value"]), row) for row in points],
    }
