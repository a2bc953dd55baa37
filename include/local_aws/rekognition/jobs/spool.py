"""The local files in which a job gathers its results until they are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from local_aws.rekognition.jobs.manifest import Line


class Spool:
    """Results and errors of one job, appended line by line.

    What lies behind the last checkpoint is cut off when a job is taken up again: it is done anew, so that
    files and ledger agree.

    :param folder: the job's own folder; made when missing.
    :param results_bytes: length of the results file at the checkpoint.
    :param errors_bytes: length of the errors file at the checkpoint.
    """

    def __init__(self, folder: Path, *, results_bytes: int, errors_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.results_path = folder / "results.jsonl"
        self.errors_path = folder / "errors.jsonl"
        self._results = _open_at(self.results_path, results_bytes)
        self._errors = _open_at(self.errors_path, errors_bytes)

    def add_result(self, line: Line, answer: dict[str, Any] | None) -> None:
        """Append a result line; one with the source-ref alone when there is no answer."""
        entry: dict[str, Any] = {"source-ref": line.source_ref}
        if answer is not None:
            entry["detect-moderation-labels"] = answer
        self._results.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def add_error(self, line: Line, code: str, message: str, *, line_key: str) -> None:
        """Append an entry of the summary's error list."""
        entry: dict[str, Any] = {line_key: line.number}
        if line.source_ref is not None:
            entry["source-ref"] = line.source_ref
        self._errors.write(
            orjson.dumps({**entry, "code": code, "message": message}, option=orjson.OPT_APPEND_NEWLINE)
        )

    def flush(self) -> tuple[int, int]:
        """Put what was added on disk; returns the lengths of results and errors."""
        for file in (self._results, self._errors):
            file.flush()
            os.fsync(file.fileno())
        return self._results.tell(), self._errors.tell()

    def close(self) -> None:
        """Close the files; they stay."""
        self._results.close()
        self._errors.close()

    def write_summary(self, *, lines: int, valid: int) -> Path:
        """Write the manifest summary and return its path.

        :param lines: JSON lines in the manifest.
        :param valid: those that name an image.
        """
        path = self.folder / "manifest-summary.json"
        statistics = {
            "total-json-lines": lines,
            "valid-json-lines": valid,
            "invalid-json-lines": lines - valid,
        }
        with path.open("wb") as out:
            out.write(
                b'{"version":"1.0","statistics":' + json.dumps(statistics, separators=(",", ":")).encode()
            )
            out.write(b',"errors":[')
            for block in _joined(self.errors_path):
                out.write(block)
            out.write(b"]}")
        return path


def _open_at(path: Path, length: int) -> IO[bytes]:
    file = path.open("ab")
    if file.tell() < length:
        found = file.tell()
        file.close()
        raise OSError(f"{path} has {found} bytes, but {length} were noted at the last checkpoint")
    file.truncate(length)
    file.seek(length)
    return file


def _joined(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            yield (b"," if number else b"") + line.rstrip(b"\n")
