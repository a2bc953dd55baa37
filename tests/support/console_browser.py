"""How pages of the console are tried: in light and dark, on a desktop and on a phone, in Airflow's frame."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest

_FRAME = "allow-scripts allow-same-origin allow-forms allow-downloads"
"""What Airflow allows a page of a plugin."""


def in_frame(page: Any, path: str) -> Any:
    """A page of the server that the browser is at, within such a frame as Airflow gives it; not focused."""
    address = urljoin(page.url, "/framed")
    body = f'<body><iframe sandbox="{_FRAME}" src="{path}" width="1200" height="700"></iframe></body>'
    page.route("**/framed", lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto(address)
    return page.frames[1]


LOOKS = [
    pytest.param(
        {"color_scheme": scheme, "viewport": {"width": width, "height": height}},
        id=f"{scheme}-{name}",
        marks=[] if (scheme, name) in {("light", "desktop"), ("dark", "phone")} else pytest.mark.long,
    )
    for scheme in ("light", "dark")
    for name, width, height in (("desktop", 1280, 800), ("phone", 390, 844))
]
