"""The looks in which pages of the console are tried: light and dark, on a desktop and on a phone."""

from __future__ import annotations

from typing import Any

import pytest

LOOKS = [
    pytest.param(
        {"color_scheme": scheme, "viewport": {"width": width, "height": height}},
        id=f"{scheme}-{name}",
        marks=[] if (scheme, name) in {("light", "desktop"), ("dark", "phone")} else pytest.mark.long,
    )
    for scheme in ("light", "dark")
    for name, width, height in (("desktop", 1280, 800), ("phone", 390, 844))
]


def one_look() -> list[Any]:
    """The same, of which the short suite has the narrow dark one alone: there most goes wrong."""
    return [
        look if look.id == "dark-phone" else pytest.param(*look.values, id=look.id, marks=pytest.mark.long)
        for look in LOOKS
    ]
