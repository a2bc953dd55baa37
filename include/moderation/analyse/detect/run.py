"""A manifest from its first call to its two files, in one process at a time."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError

from moderation.analyse.detect import checkpoint, output
from moderation.analyse.detect.analysis import Analysis, raise_unless_useful
from moderation.analyse.detect.budget import Budget, SharedBudget
from moderation.analyse.detect.calls import Caller, Counters
from moderation.analyse.detect.checkpoint import Spool
from moderation.analyse.detect.errors import DetectDenied, DetectUnavailable, OwnedElsewhere
from moderation.analyse.detect.manifest import ManifestFile, read
from moderation.analyse.detect.output import Place
from moderation.analyse.detect.pacing import Pacer, ShareControl
from moderation.analyse.detect.quota import detect_tps
from moderation.analyse.detect.request import (
    UTILISATION,
    DetectOptions,
    DetectOutcome,
    DetectRequest,
    default_spool_dir,
)
from moderation.settings import Settings
from moderation.storage import lease, s3_objects

_log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Any]]


def client_config(in_flight: int) -> dict[str, Any]:
    """Arguments of the botocore Config that the Rekognition client must have.

    It never retries, for each call is paced; and its calls all fit into its pool.
    """
    return {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": in_flight,
    }


def rates_folder(settings: Settings) -> str:
    """Where the tasks of account and region agree on their shares."""
    return s3_objects.join_uri(settings.work_uri, "rates", settings.region)


def run_manifest(
    request: DetectRequest,
    *,
    settings: Settings | None = None,
    s3: Any = None,
    connect: Connect | None = None,
    budget: Budget | None = None,
    quota: float | None = None,
    options: DetectOptions | None = None,
) -> DetectOutcome:
    """Moderate a manifest, going on from whatever an earlier try has left.

    A finished manifest is recognised and calls nothing. Synchronous: it runs an event loop of its own.

    :param settings: default: from the environment.
    :param s3: a boto3 S3 client; one from the settings when None.
    :param connect: opens an aiobotocore Rekognition client made with :func:`client_config`.
    :param budget: the rate; when None, the quota is shared with all other tasks through S3.
    :param quota: calls a second of all tasks together; what is set, or AWS's default, when None.
    :raises DetectError: see its subclasses; only DetectUnavailable and OwnedElsewhere are worth a retry.
    :raises S3Error: S3 does not do its part.
    """
    settings = settings or Settings.from_env()
    options = options or DetectOptions()
    rate = quota or detect_tps(settings)
    in_flight = options.in_flight(rate)
    opened = nullcontext(s3) if s3 is not None else s3_objects.open_client(settings)
    with opened as store:
        manifest = read(store, request.manifest_uri)
        place = Place(s3_objects.join_uri(request.output_uri, request.job_id(manifest.sha256)))
        if done := output.read_outcome(store, place):
            _log.info("%s was finished before; nothing is called", place.folder)
            return done
        with _own(store, place, options) as held:
            return asyncio.run(
                moderate(
                    request,
                    manifest,
                    s3=store,
                    connect=connect or (lambda: _connect(settings.region, in_flight)),
                    budget=budget or SharedBudget(store, rates_folder(settings), rate),
                    in_flight=in_flight,
                    options=options,
                    held=held,
                )
            )


def is_finished(request: DetectRequest, *, s3: Any) -> bool:
    """Whether :func:`run_manifest` would call nothing."""
    manifest = read(s3, request.manifest_uri)
    place = Place(s3_objects.join_uri(request.output_uri, request.job_id(manifest.sha256)))
    return output.read_outcome(s3, place) is not None


async def moderate(
    request: DetectRequest,
    manifest: ManifestFile,
    *,
    s3: Any,
    connect: Connect,
    budget: Budget,
    in_flight: int,
    options: DetectOptions,
    held: lease.Lease | None = None,
) -> DetectOutcome:
    """:func:`run_manifest` for callers with an event loop and their own parts.

    :param held: proof that no other process works on the manifest; renewed while the run goes on.
    """
    job_id = request.job_id(manifest.sha256)
    place = Place(s3_objects.join_uri(request.output_uri, job_id))
    if done := await asyncio.to_thread(output.read_outcome, s3, place):
        return done
    with _open_spool(manifest, job_id, options) as spool:
        run = _Run(request, manifest, s3, place, spool, options, Counters(), held)
        await asyncio.to_thread(run.recall, job_id)
        await run.analyse(connect, budget, in_flight)
        return await asyncio.to_thread(run.finish, job_id)


def settle_manifest(
    request: DetectRequest, *, s3: Any, options: DetectOptions | None = None
) -> DetectOutcome | None:
    """Finish a manifest with what is answered already, without a single call.

    For tasks that were given up: what is paid for gets into the tables, and the rest becomes error entries
    (``NotAttempted``) that a later run takes up.

    :returns: the outcome, or None when nothing at all is answered.
    :raises OwnedElsewhere: a task still works on the manifest.
    """
    options = options or DetectOptions()
    manifest = read(s3, request.manifest_uri)
    job_id = request.job_id(manifest.sha256)
    place = Place(s3_objects.join_uri(request.output_uri, job_id))
    if done := output.read_outcome(s3, place):
        return done
    with _own(s3, place, options) as held, _open_spool(manifest, job_id, options) as spool:
        run = _Run(request, manifest, s3, place, spool, options, Counters(), held)
        run.recall(job_id)
        if not len(spool):
            spool.delete()
            return None
        run.leave_the_rest()
        return run.finish(job_id)


def _open_spool(manifest: ManifestFile, job_id: str, options: DetectOptions) -> Spool:
    images = {line.number: line.source_ref or "" for line in manifest.images}
    return Spool((options.spool_dir or default_spool_dir()) / f"{job_id}.spool", job_id, images)


@dataclass
class _Run:
    """One try at a manifest."""

    request: DetectRequest
    manifest: ManifestFile
    s3: Any
    place: Place
    spool: Spool
    options: DetectOptions
    counters: Counters
    held: lease.Lease | None

    def __post_init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.seconds = 0.0
        self.resumed = 0

    def recall(self, job_id: str) -> None:
        """Bring together what earlier tries knew, here and on other machines."""
        images = self.spool.images
        for number, record in checkpoint.load_parts(self.s3, self.place.checkpoint, job_id, images):
            self.spool.merge(number, record)
        for number, known in output.written_before(self.s3, self.place, self.manifest):
            if number not in self.spool:
                self.spool.add(number, **known)
        self.resumed = len(self.spool)
        if self.resumed:
            _log.info("going on: %d of %d images are answered already", self.resumed, len(images))

    async def analyse(self, connect: Connect, budget: Budget, in_flight: int) -> None:
        """Ask about every image without a record, then note those that were given up."""
        pending = [line for line in self.manifest.images if line.number not in self.spool]
        if not pending:
            return
        control = ShareControl()
        # A client takes long to make: only then is a part of the rate asked for.
        async with connect() as client, budget:
            begun = time.monotonic()
            pacer = Pacer(lambda: budget.rate() * UTILISATION * control.share())
            caller = Caller(
                client, self.request.parameters(), pacer=pacer, control=control, counters=self.counters
            )
            analysis = Analysis(
                caller,
                self.spool,
                self.options,
                in_flight,
                self.counters,
                self.keep_safe,
                pacer.close,
                adapter=self.request.project_version,
            )
            budget.needs(lambda: analysis.unasked + pacer.waiting)
            try:
                await analysis.run(pending)
            finally:
                self.seconds = time.monotonic() - begun
                await self._keep_safe_at_the_end()
        raise_unless_useful(analysis, len(self.spool))
        # Only now, so that a try that fails before leaves these images to the next one.
        for number, last in analysis.given_up.items():
            self.spool.add(number, error={"code": last.code, "message": last.message})
        self.leave_the_rest(output.ADAPTER_GONE if analysis.is_ignored else output.NOT_ATTEMPTED)

    def leave_the_rest(self, reason: tuple[str, str] = output.NOT_ATTEMPTED) -> None:
        """Note that nobody got round to the images without a record.

        :param reason: code and message.
        """
        code, message = reason
        for line in self.manifest.images:
            if line.number not in self.spool:
                self.spool.add(line.number, error={"code": code, "message": message})

    async def keep_safe(self) -> None:
        """Copy new records to S3 and prove that the manifest is still this process's.

        :raises OwnedElsewhere: it is not.
        :raises DetectUnavailable: S3 does not answer.
        """
        try:
            await asyncio.to_thread(self._send)
        except s3_objects.S3Error as error:
            _log.warning("the checkpoint could not be copied to S3: %s", error)
            raise DetectUnavailable(str(error)) from error

    async def _keep_safe_at_the_end(self) -> None:
        """As :meth:`keep_safe`, without hiding the error that ended the calls."""
        try:
            await self.keep_safe()
        except DetectUnavailable:
            _log.warning("the newest answers are on this machine only, in %s", self.spool.path)

    def finish(self, job_id: str) -> DetectOutcome:
        """Write the files, then tidy up.

        All records are in S3 before, so that any machine would write the same.
        """
        self._send()
        adapter = self.request.project_version
        tally = output.write_files(self.s3, self.place, self.manifest, self.spool, adapter)
        if tally.adapter_missing:
            _log.error("%d answers are not of the adapter %s", tally.adapter_missing, adapter)
        outcome = DetectOutcome(
            job_id=job_id,
            manifest_uri=self.manifest.uri,
            results_uri=self.place.results,
            summary_uri=self.place.summary,
            lines=len(self.manifest.lines),
            images=len(self.manifest.images),
            billed=tally.billed,
            failed=tally.failed,
            failed_transient=tally.failed_transient,
            adapter_missing=tally.adapter_missing,
            model_version=",".join(sorted(tally.versions)) or None,
            adapter=adapter,
            min_confidence=self.request.min_confidence,
            started_at=self.started_at.isoformat(),
            completed_at=datetime.now(UTC).isoformat(),
            resumed=self.resumed,
            calls=self.counters.calls,
            throttles=self.counters.throttles,
            retries=self.counters.retries,
            seconds=round(self.seconds, 3),
            achieved_tps=round(self.counters.answered / self.seconds, 3) if self.seconds else 0.0,
        )
        written = output.write_outcome(self.s3, self.place, outcome)
        self.spool.delete()
        checkpoint.delete_parts(self.s3, self.place.checkpoint)
        return written

    def _send(self) -> None:
        try:
            if self.held:
                self.held.keep()
        except lease.LeaseLost as error:
            raise OwnedElsewhere(str(error)) from error
        if numbers := self.spool.unsent():
            self.spool.send(self.s3, self.place.checkpoint, numbers)


@contextmanager
def _own(s3: Any, place: Place, options: DetectOptions) -> Any:
    owner = f"{socket.gethostname()}, process {os.getpid()}"
    uri = s3_objects.join_uri(place.folder, "owner.json")
    ttl = options.owner_seconds
    try:
        with lease.hold(s3, uri, owner=owner, ttl=ttl, wait=2 * ttl) as held:
            yield held
    except (lease.LeaseBusy, lease.LeaseLost) as error:
        raise OwnedElsewhere(str(error)) from error


@asynccontextmanager
async def _connect(region: str, in_flight: int) -> AsyncIterator[Any]:
    # Who makes no call, as most commands and the console, need not hold its 18 MB.
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import get_session  # noqa: PLC0415

    config = AioConfig(**client_config(in_flight))
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(
                get_session().create_client("rekognition", region_name=region, config=config)
            )
        except (BotoCoreError, ValueError) as error:  # of what the environment and AWS's files say
            raise DetectDenied(f"no client for Rekognition: {error}; check the variables AWS_…") from error
        yield client
