"""``python -m moderation.native``: the former name of :mod:`moderation.flatten.native`, for one release."""

from __future__ import annotations

import runpy

from moderation.flatten.native.library import BuildError, build, load

__all__ = ["BuildError", "build", "load"]

if __name__ == "__main__":
    runpy.run_module("moderation.flatten.native", run_name="__main__")
