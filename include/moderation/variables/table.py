"""What all dataclasses of variables share: read from the environment, they say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from moderation.errors import NeedsAPersonError
from moderation.variables import reading


class SettingsError(NeedsAPersonError, ValueError):
    """A setting has a value that cannot be used; the message names the variable and what it takes."""


class Table:
    """A dataclass whose fields are variables."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; one error tells all values that are wrong.

        :raises SettingsError: values are malformed.
        """
        found = reading.read(environ, cls)
        if found.wrong:
            raise SettingsError("; ".join(found.wrong))
        return cls(**found.values)
