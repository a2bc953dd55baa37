"""``moderation``: the steps of the pipeline by hand, with boto3 alone. Its exit codes are in `boundary`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from moderation import __version__
from moderation.cli.arguments import Parser
from moderation.cli.boundary import ended, settled
from moderation.settings import Settings

# Modules of this folder and the commands of each: to import all takes two seconds, so only one is.
# Each adds its commands to the parser, with ``run(settings, options)`` that returns the exit code;
# ``on_disk(options)`` if there are cases in which it asks no service for anything; and
# ``reads_settings=False`` if it must work where settings are wrong.
_COMMANDS = {
    "jobs": ("start-job", "list-jobs", "show-job", "detect"),
    "plan": ("upload", "plan", "redo", "release"),
    "archive.estimate": ("archive",),
    "query": ("query",),
    "pages": ("report-page", "console"),
    "replay": ("replay",),
    "review.verdicts": ("verdicts",),
    "review.numbers": ("review",),
    "adapter.parser": ("adapter",),
    "review.erase": ("erase",),
    "maintenance": ("publish", "load", "compact", "rebuild", "verify", "ledger", "files"),
    "doctor": ("doctor",),
}

_EXIT_CODES = (
    "Exit codes: 0 done; 1 a job or an image failed; 2 a person must act (arguments, settings, rights, "
    "damaged files); 70 a defect; 75 it passes by itself, run again later; 130 interrupted."
)


def main(arguments: Sequence[str] | None = None, *, settings: Settings | None = None) -> int:
    """Run the command line; returns the exit code and prints an error as one line.

    :param arguments: those of the process by default.
    :param settings: those of the environment by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = next((word for word in given if not word.startswith("-")), "")
    asked = [module for module, names in _COMMANDS.items() if first in names]
    command = f"moderation {first}" if asked else "moderation"

    def work() -> int:
        options = _parser(asked or _COMMANDS).parse_args(given)
        if settings is not None or not options.reads_settings:
            return int(options.run(settings, options))
        with settled(command, services=not options.on_disk(options), local=options.local) as found:
            return int(options.run(found, options))

    return ended(command, work)


def _parser(modules: Iterable[str] = _COMMANDS) -> Parser:
    """The parser of the commands of these modules."""
    parser = Parser(prog="moderation", description="Bulk image moderation by hand.", epilog=_EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"moderation {__version__}")
    parser.add_argument(
        "--local",
        action="store_true",
        help="use this checkout's local services, whatever the environment says",
    )
    parser.set_defaults(on_disk=lambda options: False, reads_settings=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in modules:
        import_module(f"moderation.cli.{module}").add_parsers(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
