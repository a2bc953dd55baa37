"""The former name of :mod:`moderation.notebook`; it goes with the next release."""

from __future__ import annotations

from moderation.notebook import contents, query

__all__ = ["contents", "query"]
