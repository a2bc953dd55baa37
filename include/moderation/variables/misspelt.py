"""Variables that look like ours and are none: a setting with a typing error has no effect, unseen."""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Collection, Iterable

_log = logging.getLogger(__name__)

_SIMILAR = 0.75


def strangers(names: Iterable[str], *, known: Collection[str], prefix: str) -> dict[str, str | None]:
    """The names with the prefix that are not known, each with the known one that is meant, if one is near."""
    found: dict[str, str | None] = {}
    for name in sorted(names):
        if name.startswith(prefix) and name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_SIMILAR)
            found[name] = near[0] if near else None
    return found


def warn(names: Iterable[str], *, known: Collection[str], prefix: str) -> None:
    """Say in the log, once a process and name, what nothing reads."""
    for name, meant in strangers(names, known=known, prefix=prefix).items():
        _warn_once(name, meant)


@functools.cache
def _warn_once(name: str, meant: str | None) -> None:
    hint = f"did you mean {meant}?" if meant else "docs/settings.md lists them."
    _log.warning("%s is set, and there is no such setting: %s", name, hint)
