"""``moderation verdicts downgrade``: let an earlier release open the database of verdicts again."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from moderation.cli.boundary import DONE
from moderation.settings import ReviewSettings, Settings


def add_parser(steps: Any) -> None:
    """Add the step to ``verdicts``."""
    parser = steps.add_parser(
        "downgrade",
        help="let an earlier release open the database of verdicts again, before it is started",
        description="Before an earlier release is started again: it opens no database of a later one. Every "
        "verdict stays; with no console or command of this release after it, which would bring it up again.",
    )
    parser.add_argument(
        "revision", type=_revision, help="that the earlier release says it knows when it refuses, as 0002"
    )
    parser.set_defaults(run=_downgrade)


def _revision(text: str) -> str:
    from moderation.review.state.migrate import HEAD, OLDEST  # noqa: PLC0415 - SQLAlchemy is slow to import

    known = [f"{number:04d}" for number in range(int(OLDEST), int(HEAD) + 1)]
    if text not in known:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(known)}")
    return text


def _downgrade(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.review.state.database import Database, parse_url  # noqa: PLC0415 - as above
    from moderation.review.state.faults import name_of  # noqa: PLC0415 - as above
    from moderation.review.state.migrate import downgrade  # noqa: PLC0415 - as above

    database = Database(parse_url(ReviewSettings.from_env().database))
    try:
        downgrade(database, args.revision)
    finally:
        database.close()
    sys.stdout.write(
        f"{name_of(database.url)} can be opened by a release that knows revision {args.revision}; "
        "stop what is left of this one first\n"
    )
    return DONE
