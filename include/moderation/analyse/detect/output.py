"""The two files of a job, made from the checkpoint, and the marker that says they are whole."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import orjson

from moderation.analyse.detect.checkpoint import Spool, decode, encode
from moderation.analyse.detect.errors import CheckpointDamaged, ResultsConflict
from moderation.analyse.detect.manifest import Line, ManifestFile
from moderation.analyse.detect.request import DetectOutcome
from moderation.reference import error_codes
from moderation.storage import s3_objects

NOT_ATTEMPTED = ("NotAttempted", "The run's time was up before this image's turn; run again.")
ADAPTER_GONE = (
    NOT_ATTEMPTED[0],
    "The adapter had expired before this image's turn: the base model answered in its place. Roll back or "
    "promote another one, then run again.",
)
_MEMORY_BYTES = 8 * 1024 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Place:
    """Where a run's files are.

    :param folder: ``<output_uri>/<job id>``.
    """

    folder: str

    @property
    def results(self) -> str:
        """The results file, JSON Lines."""
        return s3_objects.join_uri(self.folder, "results.jsonl")

    @property
    def summary(self) -> str:
        """The manifest summary."""
        return s3_objects.join_uri(self.folder, "manifest-summary.json")

    @property
    def outcome(self) -> str:
        """The marker, written last: one checkpoint record that holds the outcome."""
        return s3_objects.join_uri(self.folder, "outcome.ckpt")

    @property
    def checkpoint(self) -> str:
        """The folder of the parts."""
        return s3_objects.join_uri(self.folder, "checkpoint")


@dataclass
class Tally:
    """What stands in the two files."""

    billed: int = 0
    failed: int = 0
    failed_transient: int = 0
    adapter_missing: int = 0
    versions: set[str] = field(default_factory=set)


def read_outcome(s3: Any, place: Place) -> DetectOutcome | None:
    """The outcome of a run that has finished, or None.

    :raises CheckpointDamaged: the marker is not what was written.
    :raises ResultsConflict: the marker is there and the files are not.
    """
    stored = s3_objects.find(s3, place.outcome)
    if stored is None:
        return None
    value = decode(stored.body, place.outcome)
    try:
        outcome = DetectOutcome(**value)
    except TypeError as error:
        raise CheckpointDamaged(
            f"{place.outcome} is of another release ({error}); delete it, run again"
        ) from error
    for uri in (outcome.results_uri, outcome.summary_uri):
        if not s3_objects.exists(s3, uri):
            raise ResultsConflict(
                f"{place.outcome} says that {uri} was written, but it is gone. Restore it, or delete "
                f"{place.folder} to analyse, and pay for, the manifest again"
            )
    return outcome


def written_before(s3: Any, place: Place, manifest: ManifestFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and records (``answer`` or ``error``) that files of a run without its marker hold.

    The marker may be lost: what stands in the files was paid for, whatever is left of the checkpoint.

    :raises ResultsConflict: the results are not those of this manifest.
    """
    stored = s3_objects.find(s3, place.results)
    if stored is None:
        return
    errors = _errors_before(s3, place, manifest)
    lines = (line for line in manifest.images if line.number not in errors)
    try:
        for raw in stored.body.splitlines():
            entry = orjson.loads(raw)
            line = next(line for line in lines if line.source_ref == entry["source-ref"])
            yield line.number, {"answer": entry["detect-moderation-labels"]}
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ResultsConflict(
            f"{place.results} holds no results of {manifest.uri}. Restore it, or delete {place.folder} to "
            "analyse, and pay for, the manifest again"
        ) from error
    yield from ((number, {"error": error}) for number, error in errors.items())


def _errors_before(s3: Any, place: Place, manifest: ManifestFile) -> dict[int, dict[str, str]]:
    """Errors of images by line number; none where the summary is lost: these are asked again."""
    stored = s3_objects.find(s3, place.summary)
    images = {line.number for line in manifest.images}
    try:
        entries = orjson.loads(stored.body)["errors"] if stored else []
        return {
            entry["line-numer"]: {name: entry[name] for name in ("code", "message")}
            for entry in entries
            if entry["line-numer"] in images
        }
    except (ValueError, KeyError, TypeError):
        return {}


def write_files(s3: Any, place: Place, manifest: ManifestFile, spool: Spool, adapter: str | None) -> Tally:
    """Write results and summary, each once and whole; the same checkpoint gives the same bytes.

    :raises ResultsConflict: a file of that name holds something else.
    """
    tally = Tally()
    errors: list[bytes] = []
    with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as results:
        for line in manifest.lines:
            answer, error = _outcome_of(line, spool)
            if answer is not None:
                results.write(_result_line(line, answer))
                _count(tally, answer, adapter)
            else:
                errors.append(_error_entry(line, error))
                tally.failed += 1
                tally.failed_transient += _is_transient(error["code"])
        _put_once(s3, place.results, results)
    with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as summary:
        _write_summary(summary, manifest, errors)
        _put_once(s3, place.summary, summary)
    return tally


def write_outcome(s3: Any, place: Place, outcome: DetectOutcome) -> DetectOutcome:
    """Mark the run as finished; returns what the marker says, which another try may have written first."""
    s3_objects.put_if_absent(s3, place.outcome, encode(asdict(outcome)))
    return read_outcome(s3, place) or outcome


def _outcome_of(line: Line, spool: Spool) -> tuple[dict[str, Any] | None, dict[str, str]]:
    if line.problem:
        return None, {"code": line.problem[0], "message": line.problem[1]}
    record = spool.read(line.number)
    if record is None:
        return None, {"code": NOT_ATTEMPTED[0], "message": NOT_ATTEMPTED[1]}
    return record.get("answer"), record.get("error") or {}


def _result_line(line: Line, answer: Mapping[str, Any]) -> bytes:
    entry = {"source-ref": line.source_ref, "detect-moderation-labels": answer}
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def _error_entry(line: Line, error: Mapping[str, str]) -> bytes:
    entry: dict[str, Any] = {"line-numer": line.number}  # as AWS prints it
    if line.source_ref is not None:
        entry["source-ref"] = line.source_ref
    return orjson.dumps({**entry, "code": error["code"], "message": error["message"]})


def _count(tally: Tally, answer: Mapping[str, Any], adapter: str | None) -> None:
    tally.billed += 1
    tally.adapter_missing += adapter is not None and answer.get("ProjectVersion") != adapter
    version = answer.get("ModerationModelVersion")
    if isinstance(version, str) and version:
        tally.versions.add(version)


def _is_transient(code: str) -> bool:
    return code == NOT_ATTEMPTED[0] or code == "ConnectionFailed" or error_codes.is_transient(code)


def _write_summary(out: IO[bytes], manifest: ManifestFile, errors: list[bytes]) -> None:
    total = len(manifest.lines)
    invalid = sum(line.problem is not None for line in manifest.lines)
    statistics = {
        "total-json-lines": total,
        "valid-json-lines": total - invalid,
        "invalid-json-lines": invalid,
    }
    out.write(b'{"version":"1.0","statistics":' + orjson.dumps(statistics) + b',"errors":[')
    out.write(b",".join(errors))
    out.write(b"]}")


def _put_once(s3: Any, uri: str, content: IO[bytes]) -> None:
    bucket, key = s3_objects.split_uri(uri)
    content.seek(0)
    try:
        with s3_objects.named_errors("write", bucket, key):
            s3.put_object(
                Bucket=bucket, Key=key, Body=content, IfNoneMatch="*", ContentType="application/json"
            )
    except s3_objects.S3Error as error:
        if error.code not in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
            raise
        if _stored_digest(s3, uri) != _digest(content):
            raise ResultsConflict(
                f"{uri} is there already and holds something else; it is left alone. Use another output "
                "prefix, or delete it if nobody needs it"
            ) from error


def _digest(content: IO[bytes]) -> str:
    content.seek(0)
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _stored_digest(s3: Any, uri: str) -> str:
    bucket, key = s3_objects.split_uri(uri)
    digest = hashlib.sha256()
    with (
        s3_objects.named_errors("read", bucket, key),
        closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body,
    ):
        for chunk in body.iter_chunks(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
