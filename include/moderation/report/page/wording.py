"""Numbers, days and foreign text as the report page shows them."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime

_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def count(number: int) -> str:
    """``1234567`` as ``1,234,567``."""
    return f"{number:,}"


def percent(part: float, whole: float) -> str:
    """The share of ``part`` in ``whole``; a little is never shown as nothing, nor almost all as all."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "<0.1%"
    if 99.95 <= share < 100:
        return ">99.9%"
    return f"{share:.1f}%"


def dollars(amount: float) -> str:
    """US dollars: cents from one dollar on, four digits below, where one image costs a tenth of a cent."""
    return f"${amount:,.2f}" if amount >= 0.995 or amount == 0 else f"${amount:.4f}"


def day(value: date) -> str:
    """``22 Nov 2026``."""
    return f"{value.day} {value:%b %Y}"


def days(first: date, last: date) -> str:
    """``16 – 23 Nov 2026``, as short as two days allow."""
    if first == last:
        return day(last)
    if first.year != last.year:
        return f"{day(first)} – {day(last)}"
    start = f"{first.day}" if first.month == last.month else f"{first.day} {first:%b}"
    return f"{start} – {day(last)}"


def moment(value: datetime | None) -> str:
    """``22 Nov 2026, 02:00 UTC``; a dash for none."""
    return f"{day(value)}, {value:%H:%M} UTC" if value else "–"


def size(bytes_: int) -> str:
    """A number of bytes in decimal units: ``48.2 MB``."""
    number = float(bytes_)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


CONTENT_TYPES = {
    "none": "Photo or other",
    "illustrated": "Illustrated",
    "animated": "Animated",
    "illustrated_animated": "Illustrated and animated",
}
"""Content types as people read them, by their name in the tables."""


def content_type(kind: str) -> str:
    """A content type as people read it; one that is unknown as it is."""
    return CONTENT_TYPES.get(kind, str(kind))


def foreign(text: object) -> str:
    """Text from outside, safe to look at: control and direction characters become visible escapes.

    HTML escaping is the template's work, not done here.
    """
    told = str(text)
    if told.isascii() and told.isprintable():  # as most are, and a page of the console has hundreds
        return told
    return "".join(
        f"\\u{ord(char):04x}" if char in _BIDI or unicodedata.category(char) in {"Cc", "Cs"} else char
        for char in told
    )
