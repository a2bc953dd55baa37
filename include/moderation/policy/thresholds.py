"""The threshold in use: from which confidence on a label counts as found, apart from what a job was asked.

A file in TOML::

    version = "2026-11"
    default = 50                    # percent; left out: what each job was asked

    [labels]
    "Swimwear or Underwear" = 80    # a label's name in taxonomy 7.0
    "Weapons" = 60

Each listed label is held against its own threshold, whatever its ancestors' are: an L3 that is set high does
not silence the L2 above it.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.reference.taxonomy import taxonomy
from moderation.variables.machine import MachineSettings

_KEYS = {"version", "default", "labels"}


class ThresholdsError(NeedsAPersonError, ValueError):
    """A file of thresholds cannot be used; the message names file, key and what is expected."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds in use, percent.

    :param version: what people call this state of them; None for none.
    :param default: of labels that are not named; None: what the job was asked.
    :param labels: by the label's name in taxonomy 7.0.
    """

    version: str | None = None
    default: float | None = None
    labels: dict[str, float] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """What a report says that it went by, on one line."""
        by = "what each job was asked" if self.default is None else f"{self.default:g}"
        own = f", {len(self.labels):,} labels by their own" if self.labels else ""
        return f"{by}{own}" + (f" (version {self.version})" if self.version is not None else "")

    def of(self, name: str, *, asked: float) -> float:
        """The threshold of a label in answers of a job that was asked ``asked``."""
        node = taxonomy().lookup(name)
        wanted = self.labels.get(node.name if node else name, self.default)
        return asked if wanted is None else max(asked, wanted)


def spellings(name: str) -> list[str]:
    """A label's name in lower case, in each way that AWS's texts spell it; see `taxonomy.normalise`."""
    found = {name.casefold()}
    for one, other in (("&", "and"), ("drugs", "drug")):
        found |= {re.sub(rf"(?<!\w){one}(?!\w)", other, text) for text in found}
        found |= {re.sub(rf"(?<!\w){other}(?!\w)", one, text) for text in found}
    return sorted(found)


def in_use() -> Thresholds:
    """The thresholds of ``MODERATION_THRESHOLDS``, as the file says now.

    :raises ThresholdsError: it cannot be used.
    """
    return read_thresholds(MachineSettings.from_env().thresholds)


def read_thresholds(path: Path | None) -> Thresholds:
    """Read and check a file of thresholds; without one, what each job was asked is in use.

    :raises ThresholdsError: it is not there, no TOML, or says what cannot be.
    """
    if path is None:
        return Thresholds()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ThresholdsError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ThresholdsError(f"{path}: is not TOML in UTF-8: {error}") from error
    unknown = sorted(content.keys() - _KEYS)
    if unknown:
        raise ThresholdsError(f"{path}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}")
    labels = content.get("labels", {})
    if not isinstance(labels, dict):
        raise ThresholdsError(f"{path}: labels is a table of names and percents")
    version, default = content.get("version"), content.get("default")
    return Thresholds(
        version=None if version is None else str(version),
        default=None if default is None else _percent(default, f"{path}: default"),
        labels={_label(name, path): _percent(value, f"{path}: {name!r}") for name, value in labels.items()},
    )


def _label(name: str, path: Path) -> str:
    node = taxonomy().lookup(name)
    if node is None:
        raise ThresholdsError(f"{path}: {name!r} is no label of taxonomy 7.0")
    return node.name


def _percent(value: Any, where: str) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 100:
        raise ThresholdsError(f"{where}: {value!r} is no percent from 0 to 100")
    return float(number)
