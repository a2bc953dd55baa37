"""Charts as inline SVG, drawn by Vega-Lite when the page is written: the page itself needs no script.

vl-convert carries Vega in its wheel and works without network. Colours are the page's CSS variables, so one
drawing serves light and dark. No text from outside enters a chart; names stand in the page around it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from markupsafe import Markup

from moderation.report.page import wording
from moderation.report.page.data import Period

_SVG = "http://www.w3.org/2000/svg"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_TICKS = 4
_CONFIG = {
    "font": _FONT,
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "gridColor": "var(--grid)",
        "domainColor": "var(--axis)",
        "tickColor": "var(--axis)",
        "title": None,
        "labelPadding": 6,
    },
    "axisY": {"domain": False, "ticks": False, "tickCount": _TICKS},
    "axisX": {"grid": False, "labelFlush": False, "labelOverlap": True},
}
_STATUSES = (("moderated", "var(--good)"), ("failed", "var(--bad)"), ("not attempted", "var(--wait)"))
_LEAST_PERIODS = 14
_BAR_SHARE = 0.82


def volume(periods: Sequence[Period], step: str, *, width: int, height: int) -> Markup:
    """Images a period, stacked by what became of them."""
    rows = []
    for period in periods:
        below = 0
        numbers = (period.moderated, period.failed, period.not_attempted)
        for (status, _), images in zip(_STATUSES, numbers, strict=True):
            if images:
                told = f"{_named(period, step)}: {wording.count(images)} {status}"
                bar = {"y2": below, "y": below + images, "s": status, "told": told}
                rows.append(_span(period, step) | bar)
                below += images
    colour = {
        "field": "s",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": [name for name, _ in _STATUSES], "range": [shade for _, shade in _STATUSES]},
    }
    encoding = _time(periods, step, width) | {
        **_height(_count_axis(rows)),
        "color": colour,
    }
    return draw(rows, {"type": "bar"}, encoding, width=width, height=height)


def cost(periods: Sequence[Period], step: str, *, width: int, height: int) -> Markup:
    """US dollars a period."""
    rows = [
        _span(period, step)
        | {
            "y": period.cost_usd,
            "y2": 0,
            "told": f"{_named(period, step)}: {wording.dollars(period.cost_usd)}",
        }
        for period in periods
    ]
    most = max((period.cost_usd for period in periods), default=0.0)
    axis = {"format": "$,.0f" if most >= 4 else "$,.2f" if most >= 0.04 else "$,.4f"}
    encoding = _time(periods, step, width) | _height(axis)
    return draw(rows, {"type": "bar", "color": "var(--plain)"}, encoding, width=width, height=height)


def flag_rate(
    periods: Sequence[Period],
    step: str,
    *,
    width: int,
    height: int,
    flagged: Callable[[Period], int] = lambda period: period.flagged,
) -> Markup:
    """Percent of the moderated images of each period that were flagged.

    :param flagged: which images count as flagged; every image with a label by default.
    """
    rows = []
    for period in periods:
        if period.moderated:
            part = flagged(period)
            told = f"{_named(period, step)}: {wording.percent(part, period.moderated)}"
            rows.append(_span(period, step) | {"n": 100 * part / period.moderated, "told": told})
    small = height < 100
    most = max((row["n"] for row in rows), default=0)
    ticks = 2 if small else _TICKS
    axis = {"labelExpr": "format(datum.value, '~r') + '%'", "tickCount": ticks}
    encoding = _time(periods, step, width, middle=True) | {
        "y": {
            "field": "n",
            "type": "quantitative",
            "axis": axis,
            "scale": {"domainMin": 0, "domainMax": most or 1, "nice": small or ticks},
        }
    }
    mark = {
        "type": "line",
        "color": "var(--flag)",
        "strokeWidth": 1.75,
        "strokeJoin": "round",
        # A point without a line is all there is to see.
        "point": {
            "size": 50 if len(rows) == 1 else 16 if small else 26,
            "color": "var(--flag)",
            "filled": True,
            "opacity": 1,
        },
    }
    return draw(rows, mark, encoding, width=width, height=height)


def histogram(steps: Sequence[tuple[int, int]], *, lowest: int, width: int, height: int) -> Markup:
    """Labels by steps of five percent of confidence.

    :param lowest: where the axis starts, so that the charts of a page can be compared.
    """
    rows = [
        {
            "x": start + 0.3,
            "x2": start + 4.7,
            "y": labels,
            "y2": 0,
            "told": f"{start} to {start + 5}% sure: {wording.count(labels)} labels",
        }
        for start, labels in steps
    ]
    lowest -= lowest % 10  # so that the tick in the middle is where a step begins
    ticks = [lowest, (lowest + 100) // 2, 100]
    encoding = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "scale": {"domain": [lowest, 100], "nice": False},
            "axis": {"values": ticks, "labelExpr": "datum.value + '%'", "labelFlush": True},
        },
        "x2": {"field": "x2"},
        **_height(_count_axis(rows) | {"tickCount": 2}),
    }
    return draw(rows, {"type": "bar", "color": "var(--plain)"}, encoding, width=width, height=height)


def _count_axis(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Ticks at whole numbers: Vega would put one at half an image."""
    most = max((row["y"] for row in rows), default=0)
    return {"format": "~s"} | ({"values": list(range(most + 1))} if most < 4 else {})


def _height(axis: dict[str, Any]) -> dict[str, Any]:
    """A bar's height from ``y2`` to ``y``, the axis from zero to a tick above all, where room is enough."""
    scale = {"zero": True, "nice": "tickCount" in axis or _TICKS}
    return {"y": {"field": "y", "type": "quantitative", "axis": axis, "scale": scale}, "y2": {"field": "y2"}}


def _next(start: date, step: str) -> date:
    if step == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if step == "week" else 1)


def _milliseconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000


def _span(period: Period, step: str) -> dict[str, Any]:
    """Where a bar stands: from the start of its period over most of its length."""
    start, end = _milliseconds(period.start), _milliseconds(_next(period.start, step))
    return {"x": start, "x2": start + _BAR_SHARE * (end - start)}


def _named(period: Period, step: str) -> str:
    if step == "month":
        return f"{period.start:%B %Y}"
    return f"{'Week of ' if step == 'week' else ''}{wording.day(period.start)}"


def _time(periods: Sequence[Period], step: str, width: int, *, middle: bool = False) -> dict[str, Any]:
    """The time axis: ticks in the middle of periods, and never fewer periods than fill a fair bar width."""
    starts = [period.start for period in periods]
    every = [max(starts)]
    while every[-1] > min(starts) or len(every) < _LEAST_PERIODS:
        every.append(_before(every[-1], step))
    middles = [(span["x"] + span["x2"]) / 2 for span in (_span(Period(start), step) for start in every)]
    stride = -(-len(middles) // max(2, width // 95))
    years = len({day.year for day in starts}) > 1
    form = "%b %Y" if step == "month" else "%-d %b %y" if years else "%-d %b"
    # The tick is in the middle of a week's bar, nearly three days in, and names its first day.
    into = 2 * 86_400_000 if step == "week" else 0
    axis = {"values": middles[::stride], "labelExpr": f"utcFormat(datum.value - {into}, '{form}')"}
    domain = [_milliseconds(min(every)), _milliseconds(_next(max(every), step))]
    x = {
        "field": "x",
        "type": "temporal",
        "scale": {"type": "utc", "domain": domain, "nice": False},
        "axis": axis,
    }
    if middle:
        return {"x": x | {"field": "m"}}
    return {"x": x, "x2": {"field": "x2"}}


def _before(day: date, step: str) -> date:
    if step == "month":
        return (day - timedelta(days=1)).replace(day=1)
    return day - timedelta(days=7 if step == "week" else 1)


def draw(
    rows: list[dict[str, Any]],
    mark: dict[str, Any] | Sequence[dict[str, Any]],
    encoding: dict[str, Any],
    *,
    width: int,
    height: int,
) -> Markup:
    """One chart as SVG, in the page's colours.

    :param rows: ``told`` of each is its tooltip; one with ``x`` and ``x2`` gets the middle of both as ``m``.
    :param mark: of Vega-Lite; several are drawn over each other, each with what its ``encoding`` adds.
    :param encoding: of Vega-Lite, for all marks.
    """
    for row in rows:
        if "x2" in row:
            row["m"] = (row["x"] + row["x2"]) / 2
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "padding": {"left": 2, "right": 10, "top": 6, "bottom": 2},
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": rows},
        **_layers(mark, encoding | {"description": {"field": "told", "type": "nominal"}}),
        "config": _CONFIG,
    }
    import vl_convert  # noqa: PLC0415 - 9 MB, and pages of the console import this module and draw nothing

    return _inline(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def _layers(mark: dict[str, Any] | Sequence[dict[str, Any]], encoding: dict[str, Any]) -> dict[str, Any]:
    if isinstance(mark, dict):
        return {"mark": mark, "encoding": encoding}
    layers = []
    for one in mark:
        own = {name: value for name, value in one.items() if name != "encoding"}
        layers.append({"mark": own, "encoding": encoding | one.get("encoding", {})})
    return {"layer": layers}


def _inline(svg: str) -> Markup:
    """The drawing without size, identity and role of its own, each mark with its figure as a tooltip.

    The figure around it says in words what it shows, and has the table.
    """
    root = ET.fromstring(svg)  # noqa: S314 - our own renderer's output
    for element in root.iter():
        told = element.attrib.pop("aria-label", None)
        if told and element.get("aria-roledescription") in {"bar", "point"}:
            ET.SubElement(element, f"{{{_SVG}}}title").text = told
        for name in ("role", "aria-roledescription", "aria-hidden", "class", "pointer-events"):
            element.attrib.pop(name, None)
    view = root.get("viewBox", "0 0 1 1")
    root.attrib.clear()
    root.set("viewBox", view)
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    ET.register_namespace("", _SVG)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - drawn here, without foreign text
