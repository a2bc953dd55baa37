"""What no flattener on this machine gets below: ``python limits.py FOLDER``; one thread, CPU seconds."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ours import CONTEXT, record_of
from spec import results_files

from moderation.flatten.blocks import iter_blocks
from moderation.flatten.flatten import Flattened, flatten_unplanned
from moderation.flatten.parse import parse_block
from moderation.schema import IMAGES, LABELS
from moderation.tables.writer import LoadWriter


def read(folder: Path) -> None:
    for path in results_files(folder):
        with path.open("rb") as stream:
            while stream.read(1 << 22):
                pass


def parse(folder: Path) -> None:
    for path in results_files(folder):
        with path.open("rb") as stream:
            for block, first_line in iter_blocks(stream):
                parse_block(block, first_line)


def flatten(folder: Path) -> list[Flattened]:
    parts = []
    for path in results_files(folder):
        with path.open("rb") as stream:
            parts += flatten_unplanned(CONTEXT, record_of(path), iter_blocks(stream))
    return parts


def write(parts: list[Flattened]) -> None:
    with tempfile.TemporaryDirectory() as out, LoadWriter(Path(out), "load") as writer:
        for part in parts:
            writer.write(IMAGES, part.images)
            for (level, _), rows in part.labels.items():
                writer.write(LABELS[level], rows)
        writer.finish()


def timed(name: str, task: Callable[[], object]) -> None:
    task()
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        task()
        best = min(best, time.process_time() - started)
    print(f"| {name} | {best:.2f} |")


def main() -> None:
    folder = Path(sys.argv[1])
    print("| part | CPU s |\n|---|--:|")
    timed("read the files", lambda: read(folder))
    timed("read and parse into Arrow columns", lambda: parse(folder))
    timed("read, parse, make rows", lambda: bool(flatten(folder)))
    parts = flatten(folder)
    timed("write the rows as Parquet", lambda: write(parts))


if __name__ == "__main__":
    main()
