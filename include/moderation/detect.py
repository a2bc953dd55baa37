"""``python -m moderation.detect``: the former name of :mod:`moderation.analyse.detect`, for one release."""

from __future__ import annotations

import runpy

from moderation.analyse.detect.request import DetectOptions, DetectOutcome, DetectRequest
from moderation.analyse.detect.run import run_manifest

__all__ = ["DetectOptions", "DetectOutcome", "DetectRequest", "run_manifest"]

if __name__ == "__main__":
    runpy.run_module("moderation.cli.detect", run_name="__main__")
