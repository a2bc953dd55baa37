"""How every command begins, with the settings of where it works, and how it ends.

It ends with an exit code, and for what went wrong with one line on stderr.

====  ===================================================================
code  meaning
====  ===================================================================
0     done
1     done, and a job or an image failed
2     a person must act: an argument, a setting, a right, a damaged file
70    a defect of this program, with a traceback
75    it passes by itself: run again later
130   interrupted
====  ===================================================================

No command prints an error itself: it raises one of a kind, and the kind decides.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from moderation.cli.output import one_line
from moderation.errors import DefectError, ModerationError, NeedsAPersonError, TransientError
from moderation.reference.library_errors import named
from moderation.settings import Settings, surroundings
from moderation.variables.local_stack import CHECKOUT, taken
from moderation.variables.machine import MachineSettings

DONE = 0
SOMETHING_FAILED = 1
NEEDS_A_PERSON = 2
DEFECT = 70  # EX_SOFTWARE of sysexits.h
PASSES = 75  # EX_TEMPFAIL
INTERRUPTED = 130

_CODES: dict[type[ModerationError], int] = {NeedsAPersonError: NEEDS_A_PERSON, TransientError: PASSES}


@contextmanager
def settled(command: str, *, services: bool = True, local: bool = False) -> Iterator[Settings]:
    """The settings of a command, and for the length of the block an environment that fits them.

    That is what the environment says, else the local services of this checkout.

    :param command: begins the line, the first on stderr, that tells that local services are used.
    :param services: whether the command asks S3 or Rekognition for anything.
    :param local: whether a person asked for the local services; then there is nothing to tell.
    :raises moderation.variables.local_stack.LocalStackError: they are asked for something and are stopped;
        or a person asked for them, and there are none.
    :raises moderation.settings.SettingsError: values are malformed.
    """
    surrounding, say = surroundings(), partial(_say, command)
    with taken(surrounding, CHECKOUT, say, asked=local, needed=services) as stack:
        if stack is not None and services:
            stack.check(endpoint=MachineSettings.from_env().s3_endpoint)
        yield Settings.from_env()


def ended(command: str, work: Callable[[], int]) -> int:
    """Do the work of a command and return its exit code.

    :param command: begins the line about what went wrong, for example ``moderation plan``.
    :param work: returns `DONE` or `SOMETHING_FAILED`, or raises.
    """
    try:
        code = work()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        _forget_output()
        return DONE
    except KeyboardInterrupt:
        _say(command, "interrupted")
        return INTERRUPTED
    except Exception as error:
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()
        return _failed(command, error)
    return code


def _failed(command: str, error: Exception) -> int:
    known = named(error)
    if known is None or isinstance(known, DefectError):
        traceback.print_exception(error)
        _say(
            command,
            f"this is a defect ({type(error).__name__}), not a mistake of yours; please report it, with the "
            "lines above, to the maintainers of this repository",
        )
        return DEFECT
    _say(command, str(known))
    return next(code for kind, code in _CODES.items() if isinstance(known, kind))


def _forget_output() -> None:
    """Python would try to write it once more at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(command: str, message: str) -> None:
    sys.stderr.write(f"{command}: {one_line(message)}\n")
