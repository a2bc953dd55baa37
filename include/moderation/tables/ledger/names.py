"""Names of the ledger that begin alike, in order: of each run only the row groups that may have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from moderation.tables.ledger.layout import Run
from moderation.tables.ledger.orders import BY_NAME
from moderation.tables.ledger.runs import Files, merged
from moderation.tables.source_ref_ranges import NAME, range_in

NAMES = pa.schema([(NAME, pa.string())])


def names_below(
    files: Files, runs: Iterable[Run], prefix: str, also: Iterable[pa.Table] = ()
) -> Iterator[pa.Array]:
    """The names of entries that begin with a prefix, each once, in order.

    Memory holds a row group of each run.

    :param also: further names that begin so, in order: tables of `NAMES`.
    :raises LedgerDamagedError: a part is missing or not what was written.
    """
    streams = [_of_run(files, run, prefix) for run in runs]
    last: str | None = None
    for table in merged([*streams, iter(also)], NAME):
        names = pc.unique(table[NAME])
        if names[0].as_py() == last:
            names = names[1:]
        if len(names):
            last = names[-1].as_py()
            yield names


def at_most_below(runs: Iterable[Run], prefix: str) -> int:
    """How many entries can begin with a prefix, by what the index says of the parts; nothing is read."""
    return sum(part.rows for run in runs for part in run if _may_begin((part.first, part.last), prefix))


def _of_run(files: Files, run: Run, prefix: str) -> Iterator[pa.Table]:
    for part in run:
        if not _may_begin((part.first, part.last), prefix):
            continue
        with files.open(part, BY_NAME) as file:
            for number in range(file.metadata.num_row_groups):
                if not _may_begin(range_in(file.metadata.row_group(number)), prefix):
                    continue
                table = file.read_row_group(number, [NAME], use_threads=False).cast(NAMES)
                begins = pc.starts_with(table[NAME], prefix)
                if pc.any(begins).as_py():
                    yield table if pc.all(begins).as_py() else table.filter(begins)


def _may_begin(between: tuple[str, str] | None, prefix: str) -> bool:
    """Whether a name from the one to the other may begin so."""
    if between is None:
        return True
    first, last = between
    return last >= prefix and (first <= prefix or first.startswith(prefix))
