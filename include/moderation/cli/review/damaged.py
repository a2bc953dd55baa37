"""Verdicts that are damaged and were never published: named, or put into a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.cli.arguments import UsageError
from moderation.cli.output import one_line
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.review.rows import Damaged

_MOST_TOLD = 20


def set_aside(path: Path, damaged: Sequence[Damaged]) -> None:
    """Write rows as they read to a new file that nobody else can read.

    :raises UsageError: it is there already, or cannot be made.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(
            f"--set-aside {path}: {error.strerror}; name a file that is not there yet"
        ) from error
    with os.fdopen(number, "w", encoding="utf-8") as file:
        for row in damaged:
            told = {"table": row.kind.table.name, "row": row.key, **row.told}
            file.write(json.dumps(told, default=str) + "\n")


def tell_damaged(settings: Settings, damaged: Sequence[str]) -> None:
    """Name rows on stderr, and say what can be done."""
    for row in damaged[:_MOST_TOLD]:
        sys.stderr.write(f"{one_line(row)}: damaged, and nothing tells what it said\n")
    if damaged:
        sys.stderr.write(
            f"{len(damaged):,} rows are damaged, and nothing tells what they said: restore a backup of the "
            f"database, or `{settings.command} verdicts restore --set-aside damaged.jsonl` takes them out. "
            "Items of verdicts taken out are decided again; items taken out are in no queue any more, and a "
            "queue taken out takes its items with it: make it again\n"
        )
