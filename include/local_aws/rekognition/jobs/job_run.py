"""Doing one media analysis job, from where its checkpoint says it stands."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from local_aws.inference.weight import HEAD_BYTES, weigh
from local_aws.rekognition.adapters import AdapterBook
from local_aws.rekognition.faults import FaultRule, Struck, chosen
from local_aws.rekognition.images.analysis import Analyzer
from local_aws.rekognition.images.objects import (
    Caller,
    ObjectForbidden,
    ObjectMissing,
    ObjectStore,
    Source,
    StorageRefused,
    StorageUnavailable,
)
from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.images.pool import FairPool
from local_aws.rekognition.jobs import manifest
from local_aws.rekognition.jobs.result_faults import damaged
from local_aws.rekognition.jobs.spool import Spool
from local_aws.rekognition.jobs.store import Checkpoint, Job, LedgerEntry, Store
from local_aws.rekognition.settings import ServerSettings
from local_aws.rekognition.wire.errors import S3_OBJECT_MESSAGE, ApiError, JobFailed, Stopping

T = TypeVar("T")
_log = logging.getLogger(__name__)

_TRIES_OF_ONE = 5
"""So many in a row that fail though S3 answers otherwise are the image's fault; an outage is none of its."""


@dataclass(frozen=True)
class Workshop:
    """What all jobs share.

    :param fetchers: threads that read images.
    :param pool: threads that look at them.
    :param spool: folder for the local files of jobs.
    :param stopping: set when the server shuts down.
    """

    settings: ServerSettings
    store: Store
    objects: ObjectStore
    analyzer: Analyzer
    adapters: AdapterBook
    fetchers: Executor
    pool: FairPool
    spool: Path
    stopping: threading.Event


@dataclass(frozen=True)
class _Outcome:
    answer: dict[str, Any] | None = None
    error: ApiError | None = None


class JobRun:
    """One job under way; :meth:`run` is called once, in a thread of its own."""

    def __init__(self, job: Job, shop: Workshop) -> None:
        self._job = job
        self._shop = shop
        self._caller = Caller(job.access_key, job.region)
        self._faults = Struck(tuple(FaultRule.from_dict(rule) for rule in job.faults))
        self._progress = Checkpoint(
            job.line, job.offset, job.results_bytes, job.errors_bytes, job.lines, job.valid, job.billed
        )
        self._folder = shop.spool / job.job_id
        self._billed: list[LedgerEntry] = []
        self._begun = time.monotonic()

    def run(self) -> None:
        """Do the job to its end, or to a checkpoint when the server stops."""
        job_id, store = self._job.job_id, self._shop.store
        try:
            self._work()
        except (Stopping, CancelledError):
            return
        except JobFailed as failure:
            store.fail(job_id, failure.code, failure.message)
        except Exception as error:
            _log.exception("job %s failed by a fault of the server", job_id)
            store.fail(job_id, "INTERNAL_ERROR", f"Internal error: {type(error).__name__}")
        else:
            store.succeed(job_id, self._shop.analyzer.model_version)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._fetch_manifest()
        self._check_output()
        spool = Spool(
            self._folder, results_bytes=self._progress.results_bytes, errors_bytes=self._progress.errors_bytes
        )
        try:
            self._analyse(path, spool)
            self._checkpoint(spool)
        except (JobFailed, Stopping):
            self._checkpoint(spool)  # what was analysed is paid for, and not to be done again
            raise
        finally:
            spool.close()
        self._deliver(spool)

    def _fetch_manifest(self) -> Path:
        path = self._folder / "manifest.jsonl"
        source = Source.of(self._job.request["Input"]["S3Object"])
        if not path.exists():
            try:
                self._patiently(lambda: self._shop.objects.download(self._caller, source, path))
            except (ObjectMissing, StorageRefused):
                raise JobFailed("INVALID_S3_OBJECT", S3_OBJECT_MESSAGE) from None
            except ObjectForbidden:
                raise JobFailed("ACCESS_DENIED", f"Access to {source.uri} was denied.") from None
        limits = self._shop.analyzer.limits
        total, size = manifest.count_lines(path), path.stat().st_size
        if not 0 < total <= limits.manifest_lines or size > limits.manifest_bytes:
            raise JobFailed(
                "INVALID_MANIFEST",
                f"The manifest has {total} lines and {size} bytes; 1 to {limits.manifest_lines} lines "
                f"and at most {limits.manifest_bytes} bytes are allowed.",
            )
        self._shop.store.set_total(self._job.job_id, total)
        return path

    def _check_output(self) -> None:
        """Find out before anything is paid for, not after."""
        kms_key = self._job.request.get("KmsKeyId")
        if kms_key is not None and kms_key not in self._shop.settings.kms_keys:
            raise JobFailed("INVALID_KMS_KEY", f"The KMS key {kms_key} does not exist.")
        bucket = self._job.request["OutputConfig"]["S3Bucket"]
        try:
            self._patiently(lambda: self._shop.objects.check_bucket(self._caller, bucket))
        except (ObjectMissing, StorageRefused):
            raise JobFailed("INVALID_OUTPUT_CONFIG", _no_output(bucket, self._job.region)) from None
        except ObjectForbidden:
            raise JobFailed("ACCESS_DENIED", f"Access to the output bucket {bucket} was denied.") from None

    def _analyse(self, path: Path, spool: Spool) -> None:
        """Send the lines through the pool with a bounded number under way; gather them in order."""
        fail = self._faults.of("job_failed")
        waiting: deque[tuple[manifest.Line, Future[Future[_Outcome]] | None]] = deque()
        lines = manifest.read_lines(path, number=self._progress.line, offset=self._progress.offset)
        noted, noted_at = self._progress.lines, time.monotonic()
        self._pause(fail)
        try:
            for line in lines:
                waiting.append(
                    (line, None if line.problem else self._shop.fetchers.submit(self._begin, line))
                )
                if len(waiting) > self._shop.settings.prefetch:
                    self._gather(*waiting.popleft(), spool)
                    self._pause(fail)
                    if self._is_due(noted, noted_at):
                        self._checkpoint(spool)
                        noted, noted_at = self._progress.lines, time.monotonic()
            while waiting:
                self._gather(*waiting.popleft(), spool)
                self._pause(fail)
        finally:
            for _, future in waiting:
                _abandon(future)
        if self._progress.valid == 0:
            raise JobFailed("INVALID_MANIFEST", "No line of the manifest names an image.")

    def _begin(self, line: manifest.Line) -> Future[_Outcome]:
        """In a fetch thread: read the image, then queue the look at it."""
        rule = self._faults.of("image_errors")
        if rule and chosen(rule, line.number):
            text = rule.message or "The image could not be processed."
            return _done(_Outcome(error=ApiError(rule.code or "InternalServerError", text)))
        source = Source(line.bucket, line.key)
        try:
            image = self._fetch(source)
        except ApiError as error:
            return _done(_Outcome(error=error))
        looked = self._shop.pool.submit(
            ("jobs", self._job.job_id),
            lambda: self._look(image, line.number),
            effort=weigh(image.read(HEAD_BYTES)),
        )
        looked.add_done_callback(lambda _: image.close())
        return looked

    def _fetch(self, source: Source) -> Parcel:
        """An image, however long S3 is away within the patience.

        :raises ApiError: S3 does not give it, or fails at this one alone.
        """
        alone = 0

        def fetch() -> Parcel:
            nonlocal alone
            try:
                return self._shop.analyzer.fetch(self._shop.objects, self._caller, source)
            except StorageUnavailable as error:
                alone = alone + 1 if self._answers(source.bucket) else 0
                if alone == _TRIES_OF_ONE:
                    raise ApiError("InternalServerError", reason=f"S3 does not give it: {error}") from error
                raise

        return self._patiently(fetch)

    def _answers(self, bucket: str) -> bool:
        """Whether S3 is there, whatever it says."""
        try:
            self._shop.objects.check_bucket(self._caller, bucket)
        except StorageUnavailable:
            return False
        except (ObjectMissing, ObjectForbidden, StorageRefused):
            return True
        return True

    def _look(self, image: Parcel, number: int) -> _Outcome:
        config = self._job.request["OperationsConfig"]["DetectModerationLabels"]
        adapter = self._shop.adapters.answering(config.get("ProjectVersion"))
        if (rule := self._faults.of("adapter_missing")) and chosen(rule, number):
            adapter = None
        try:
            answer = self._shop.analyzer.analyse(image, config.get("MinConfidence"), adapter=adapter)
            return _Outcome(answer=answer)
        except ApiError as error:
            return _Outcome(error=error)

    def _gather(self, line: manifest.Line, future: Future[Future[_Outcome]] | None, spool: Spool) -> None:
        """Write what became of one line."""
        settings, done = self._shop.settings, self._progress
        if future is None:
            code, message = line.problem or ("", "")
            spool.add_error(line, code, message, line_key=settings.summary_line_key)
            self._progress = replace(done, line=line.number, offset=line.end, lines=done.lines + 1)
            return
        outcome = future.result().result()
        if outcome.error is None:
            spool.add_result(line, outcome.answer)
            self._billed.append(self._entry("image_billed", line))
        else:
            error = outcome.error
            spool.add_error(line, error.code, error.message, line_key=settings.summary_line_key)
            if settings.failed_image_lines == "bare":
                spool.add_result(line, None)
        self._progress = replace(
            done,
            line=line.number,
            offset=line.end,
            lines=done.lines + 1,
            valid=done.valid + 1,
            billed=done.billed + (outcome.error is None),
        )

    def _entry(self, event: str, line: manifest.Line) -> LedgerEntry:
        job = self._job
        return LedgerEntry(
            event, job.region, job.access_key, job.job_id, job.job_name, line.source_ref, line.number
        )

    def _pause(self, fail: FaultRule | None) -> None:
        """Keep to the set pace, and fail where a fault says so."""
        if fail and self._progress.lines >= fail.after_images:
            raise JobFailed(fail.failure_code, fail.message or "The job failed, as a fault rule asked.")
        slow = self._faults.of("job_slow")
        extra = slow.seconds / max(1, self._shop.store.job(self._job.job_id).total) if slow else 0.0
        each = self._shop.settings.seconds_per_image + extra
        ahead = each * (self._progress.lines - self._job.lines) - (time.monotonic() - self._begun)
        if self._shop.stopping.wait(max(0.0, ahead)) or self._shop.stopping.is_set():
            raise Stopping

    def _is_due(self, noted: int, noted_at: float) -> bool:
        settings = self._shop.settings
        return (
            self._progress.lines - noted >= settings.checkpoint_images
            or time.monotonic() - noted_at >= settings.checkpoint_seconds
        )

    def _checkpoint(self, spool: Spool) -> None:
        """Spool first, database second: what the database counts is in the files."""
        results_bytes, errors_bytes = spool.flush()
        self._progress = replace(self._progress, results_bytes=results_bytes, errors_bytes=errors_bytes)
        self._shop.store.checkpoint(self._job.job_id, self._progress, self._billed)
        self._billed = []

    def _deliver(self, spool: Spool) -> None:
        """Write both output files, each once and whole."""
        job = self._shop.store.job(self._job.job_id)
        prefix = job.request["OutputConfig"].get("S3KeyPrefix", "")
        base = f"{prefix}{'/' if prefix and not prefix.endswith('/') else ''}{job.job_id}"
        if job.results_key is None:
            key = f"{base}/results.jsonl"
            self._upload(damaged(spool.results_path, self._faults.rules), key)
            self._shop.store.note_output(job.job_id, results_key=key)
        if job.summary_key is None:
            key = f"{base}/manifest-summary.json"
            self._upload(spool.write_summary(lines=self._progress.lines, valid=self._progress.valid), key)
            self._shop.store.note_output(job.job_id, summary_key=key)

    def _upload(self, source: Path, key: str) -> None:
        bucket, kms_key = self._job.request["OutputConfig"]["S3Bucket"], self._job.request.get("KmsKeyId")
        try:
            self._patiently(
                lambda: self._shop.objects.upload(self._caller, source, bucket, key, kms_key=kms_key)
            )
        except ObjectForbidden:
            raise JobFailed("ACCESS_DENIED", f"Writing to the output bucket {bucket} was denied.") from None
        except ObjectMissing:
            raise JobFailed("INVALID_OUTPUT_CONFIG", _no_output(bucket, self._job.region)) from None
        except StorageRefused as error:
            code = "INVALID_KMS_KEY" if kms_key else "INVALID_OUTPUT_CONFIG"
            raise JobFailed(code, f"S3 did not accept the results: {error}") from error

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call S3 again while it is away, up to the set patience.

        :raises JobFailed: it stayed away.
        :raises Stopping: the server shuts down meanwhile.
        """
        deadline = time.monotonic() + self._shop.settings.s3_patience_seconds
        delay = 0.1
        while True:
            try:
                return call()
            except StorageUnavailable as error:
                if time.monotonic() + delay > deadline:
                    raise JobFailed("INTERNAL_ERROR", f"S3 did not answer ({error}).") from error
            if self._shop.stopping.wait(delay):
                raise Stopping
            delay = min(2.0, delay * 2)


def _done(outcome: _Outcome) -> Future[_Outcome]:
    future: Future[_Outcome] = Future()
    future.set_result(outcome)
    return future


def _abandon(future: Future[Future[_Outcome]] | None) -> None:
    """Let go of work that nobody waits for any more; what has begun runs to its end by itself."""
    if future is not None and not future.cancel():
        future.add_done_callback(lambda done: done.exception() or done.result().cancel())


def _no_output(bucket: str, region: str) -> str:
    return f"The output bucket {bucket} does not exist in {region}."
