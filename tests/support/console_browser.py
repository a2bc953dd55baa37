"""The looks in which pages of the console are tried: light and dark, on a desktop and on a phone."""

from __future__ import annotations

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
