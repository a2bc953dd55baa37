"""``python -m moderation.dictionary``, the former name of :mod:`moderation.query.dictionary`."""

from __future__ import annotations

import sys

from moderation.query.dictionary import markdown

__all__ = ["markdown"]

if __name__ == "__main__":
    sys.stdout.write(markdown())
