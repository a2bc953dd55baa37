"""Only some of a source's images: by name, size and age."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.settings import Settings
from moderation.sources.base import Source, SourceError
from moderation.sources.listing import Tally

SEPARATOR = " | "
"""Between a source and its filter, in the text that names both."""

_SIZE = re.compile(r"size\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)?", re.IGNORECASE)
_AGE = re.compile(r"age\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*([mhdw])", re.IGNORECASE)
_DATE = re.compile(r"modified\s*(<=|>=|<|>)\s*(\S+)", re.IGNORECASE)
_BYTES = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HELP = "expected terms such as *.jpg, !*/thumbs/*, size>=10KB, age<30d or modified>=2026-01-01, and commas"


@dataclass(frozen=True)
class _Bound:
    """A column held against a value."""

    said: str
    column: str
    compare: str
    value: Any

    def passes(self, rows: pa.RecordBatch) -> pa.Array:
        column = rows.column(self.column)
        if column.null_count:
            what = "sizes" if self.column == "size" else "times"
            raise SourceError(f"filter {self.said!r}: this source tells no {what}; filter it by names")
        return _COMPARE[self.compare](column, pa.scalar(self.value, column.type))


@dataclass(frozen=True)
class _Names:
    """Patterns of which a name must have one, or may have none."""

    said: str
    patterns: tuple[str, ...]
    wanted: bool

    def passes(self, rows: pa.RecordBatch) -> pa.Array:
        either = re.compile("|".join(fnmatch.translate(pattern) for pattern in self.patterns))
        names = pc.coalesce(rows.column("origin"), rows.column("key"), rows.column("source_ref"))
        return pa.array(
            [(either.match(name) is not None) is self.wanted for name in names.to_pylist()], pa.bool_()
        )


@dataclass(frozen=True)
class Filtered:
    """The images of a source that pass a filter.

    The filter is a list of terms with commas between; all must hold:

    - ``*.jpg``: the key (of a local file its path) has this pattern of a shell; case counts, ``*`` stands for
      slashes too, of several patterns one is enough. ``!*/thumbs/*``: it has not;
    - ``size>=10KB`` (``<``, ``<=``, ``>``; B, KB, MB, GB, in powers of ten);
    - ``age<30d`` (m, h, d, w), from now; ``modified>=2026-01-01`` (a date or time with zone; UTC without).

    What is left out is counted and listed by the term that left it out.
    """

    source: Source
    terms: tuple[_Bound | _Names, ...]
    text: str

    @classmethod
    def parse(cls, source: Source, text: str, *, now: datetime | None = None) -> Filtered:
        """Read a filter.

        :param now: what an age is counted from.
        :raises SourceError: a term cannot be read; the text names it.
        """
        words = [word for word in re.split(r"\s*,\s*", text.strip()) if word]
        patterns = [
            word for word in words if not re.search(r"^(size|age|modified)\s*[<>]", word, re.IGNORECASE)
        ]
        bounds = [_bound(word, now or datetime.now(UTC)) for word in words if word not in patterns]
        wanted = tuple(word for word in patterns if not word.startswith("!"))
        unwanted = tuple(word[1:] for word in patterns if word.startswith("!"))
        odd = next((word for word in patterns if not re.search(r"[*?\[/.]", word)), None)
        if odd is not None or not words or "" in unwanted:
            raise SourceError(f"filter {odd or text!r}: {_HELP}")
        named = [_Names(", ".join(wanted), wanted, wanted=True)] if wanted else []
        barred = [_Names(f"!{pattern}", (pattern,), wanted=False) for pattern in unwanted]
        return cls(source, (*bounds, *named, *barred), ", ".join(words))

    @property
    def uri(self) -> str:
        """Names source and filter."""
        return f"{self.source.uri}{SEPARATOR}{self.text}"

    @property
    def checks_headers(self) -> bool:
        """As the source does."""
        return self.source.checks_headers

    @property
    def retry_refused(self) -> bool:
        """As the source does."""
        return self.source.retry_refused

    @property
    def tells_changes(self) -> bool:
        """As the source does."""
        return self.source.tells_changes

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """The source's rows that pass.

        :raises SourceError, s3.S3Error: as the source does.
        """
        for batch in self.source.batches(settings, s3, tally, dry_run=dry_run):
            rows = batch
            for term in self.terms:
                passes = term.passes(rows)
                if not pc.all(passes, min_count=0).as_py():
                    out = rows.filter(pc.invert(passes))
                    for ref, size in zip(out.column("source_ref"), out.column("size"), strict=True):
                        tally.leave_out(ref.as_py(), size=size.as_py(), rule=f"filter {term.said}")
                    rows = rows.filter(passes)
            yield rows
        tally.whole = None


def _bound(word: str, now: datetime) -> _Bound:
    if found := _SIZE.fullmatch(word):
        compare, number, unit = found.groups()
        return _Bound(word, "size", compare, int(float(number) * _BYTES[(unit or "B").upper()]))
    if found := _AGE.fullmatch(word):
        compare, number, unit = found.groups()
        try:
            return _Bound(word, "last_modified", _TURNED[compare], now - _span(float(number), unit))
        except OverflowError as error:
            raise SourceError(f"filter {word!r}: that is before all time") from error
    if found := _DATE.fullmatch(word):
        try:
            moment = datetime.fromisoformat(found[2])
        except ValueError as error:
            raise SourceError(f"filter {word!r}: {found[2]!r} is no date such as 2026-01-31") from error
        return _Bound(
            word, "last_modified", found[1], moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        )
    raise SourceError(f"filter {word!r}: {_HELP}")


def _span(number: float, unit: str) -> timedelta:
    return timedelta(**{_SPANS[unit.lower()]: number})
