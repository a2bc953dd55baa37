"""US dollars of each month, of one way to work an archive off."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from moderation.archive.schedule import Month
from moderation.report.page import wording
from moderation.report.page.charts import draw


def by_month(months: Sequence[Month], *, width: int, height: int) -> Markup:
    """A bar a month."""
    rows = [
        {
            "x": month.month,
            "y": float(month.cost_usd),
            "told": f"{month.month}: {wording.dollars(float(month.cost_usd))}, {month.images:,} images",
        }
        for month in months
    ]
    most = max(float(month.cost_usd) for month in months)
    encoding = {
        "x": {"field": "x", "type": "ordinal", "axis": {"labelAngle": 0, "labelOverlap": True}},
        "y": {
            "field": "y",
            "type": "quantitative",
            "axis": {"format": "$,.0f" if most >= 4 else "$,.2f", "tickCount": 4},
        },
    }
    return draw(rows, {"type": "bar", "color": "var(--plain)"}, encoding, width=width, height=height)
