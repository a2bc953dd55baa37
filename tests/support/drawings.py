"""What Vega draws anew for each page of a report: 0.4 s a page, the same charts of the same few figures."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import vl_convert

_draw = vl_convert.vegalite_to_svg


def draw_once() -> None:
    """Let this process draw a chart of the same text once: an SVG follows from nothing else."""
    vl_convert.vegalite_to_svg = lambda spec, **options: _drawn(json.dumps(spec), json.dumps(options))


@lru_cache(maxsize=512)
def _drawn(spec: str, options: str) -> Any:
    return _draw(json.loads(spec), **json.loads(options))
