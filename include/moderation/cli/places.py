"""Where a command works: what its environment says, else the local services of its own checkout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from moderation.cli.output import one_line
from moderation.settings import MachineSettings, Settings, take_local


@contextmanager
def settled(command: str, *, services: bool = True, local: bool = False) -> Iterator[Settings]:
    """The settings of a command, and for the length of the block an environment that fits them.

    :param command: begins the line, the first on stderr, that tells that local services are used.
    :param services: whether the command asks S3 or Rekognition for anything.
    :param local: whether a person asked for the local services; then there is nothing to tell.
    :raises moderation.variables.local_stack.LocalStackError: they are asked for something and are stopped;
        or a person asked for them, and there are none.
    :raises moderation.settings.SettingsError: values are malformed.
    """

    def say(line: str) -> None:
        sys.stderr.write(f"{command}: {one_line(line)}\n")

    with take_local(say, asked=local) as stack:
        if stack is not None and services:
            stack.check(endpoint=MachineSettings.from_env().s3_endpoint)
        yield Settings.from_env()
