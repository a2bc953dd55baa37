"""``moderation``: the steps of the pipeline by hand, with boto3 alone. Its exit codes are in `boundary`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from moderation.cli import console, jobs, maintenance, plan, query, replay, report_page
from moderation.cli.arguments import Parser
from moderation.cli.boundary import ended
from moderation.settings import Settings

# Each adds its commands to the parser, with ``run(settings, options)`` that returns the exit code.
_COMMANDS = (jobs, plan, query, report_page, console, replay, maintenance)

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
    parser, names = _parser()
    command = f"moderation {given[0]}" if given and given[0] in names else "moderation"

    def work() -> int:
        options = parser.parse_args(given)
        code: int = options.run(settings or Settings.from_env(), options)
        return code

    return ended(command, work)


def _parser() -> tuple[Parser, frozenset[str]]:
    """The parser, and the names of the commands."""
    parser = Parser(prog="moderation", description="Bulk image moderation by hand.", epilog=_EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_parsers(commands)
    return parser, frozenset(commands.choices)


if __name__ == "__main__":
    sys.exit(main())
