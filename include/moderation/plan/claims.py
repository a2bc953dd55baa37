"""Claims: an unfinished plan keeps its pictures from other runs, for a while.

A claim is one small object beside the plans, ``{work_uri}/claims/{load_id}-{digest}.json``. Its age is told
by the server's clock, so that hosts with wrong clocks agree; after ``MODERATION_CLAIM_HOURS`` without
renewal it has lapsed. Then it holds no more, so a run that died does not keep its pictures for ever; unless
it had begun to pay: what it paid for is published first, see ``publish.paid``. Those of runs that live are
renewed, see ``keeping``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moderation.plan import ledger
from moderation.plan.ledger import Question
from moderation.plan.plan import Plan, PlanError
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.state import parse_state, seal
from moderation.tables.source_ref_ranges import batches_between, range_of


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What an unfinished plan will answer.

    :param hours: how long the claim holds after it was written last.
    :param paying: its run has begun to pay for answers: it holds until these are published or given up.
    """

    load_id: str
    run_key: str
    plan_uri: str
    inputs_uri: str
    model_version: str
    adapter: str | None
    min_confidence: float
    hours: float
    paying: bool = False

    @classmethod
    def of(cls, plan: Plan, *, hours: float, paying: bool = False) -> Claim:
        """The claim on a plan's inputs."""
        return cls(
            load_id=plan.load_id,
            run_key=plan.run_key,
            plan_uri=plan.uri,
            inputs_uri=plan.inputs_uri,
            model_version=plan.model_version,
            adapter=plan.adapter,
            min_confidence=plan.min_confidence,
            hours=hours,
            paying=paying,
        )


@dataclass(frozen=True)
class Found:
    """A claim as it lies in S3.

    :param passed: the share of its hours that has passed since it was written; from 1 on it has lapsed.
    """

    uri: str
    claim: Claim
    etag: str
    body: bytes
    passed: float

    @property
    def holds(self) -> bool:
        """Whether it keeps its pictures from others."""
        return self.claim.paying or not self.has_lapsed

    @property
    def has_lapsed(self) -> bool:
        """Whether nobody has worked on its run for its hours."""
        return self.passed >= 1


def uri_of(settings: Settings, plan: Plan) -> str:
    """Where the plan's claim is. The inputs' digest keeps two attempts at one plan apart."""
    return f"{_folder(settings)}/{plan.load_id}-{plan.inputs_sha256[:12]}.json"


def write(s3: Any, settings: Settings, plan: Plan, *, paying: bool = False) -> None:
    """Claim the plan's inputs, or renew the claim. That its run has begun to pay stays said.

    :param paying: it is about to.
    """
    uri = uri_of(settings, plan)
    before = None if paying else find(s3, settings, uri)
    claim = Claim.of(plan, hours=settings.claim_hours, paying=paying or bool(before and before.claim.paying))
    s3_objects.put(s3, uri, _body(claim))


def renew(s3: Any, found: Found, *, paying: bool = False) -> bool:
    """Let a claim begin anew; False when it was dropped, or renewed, since it was found.

    :param paying: its run is about to pay.
    """
    body = _body(replace(found.claim, paying=True)) if paying else found.body
    return s3_objects.put_if_match(s3, found.uri, body, etag=found.etag) is not None


def drop(s3: Any, settings: Settings, plan: Plan) -> None:
    """Give the plan's inputs free."""
    s3_objects.delete(s3, uri_of(settings, plan))


def drop_expired(s3: Any, settings: Settings) -> None:
    """Delete the claims that hold no more. Only under the planning lock, as every renewal is."""
    for uri in uris(s3, settings):
        found = find(s3, settings, uri)
        if found is None or not found.holds:
            s3_objects.delete(s3, uri)


def is_held(s3: Any, settings: Settings, plan: Plan) -> bool:
    """Whether the plan's claim is there and holds."""
    found = find(s3, settings, uri_of(settings, plan))
    return found is not None and found.holds


def is_fresh(s3: Any, settings: Settings, plan: Plan) -> bool:
    """Whether the plan's claim is there and has not lapsed: somebody works on its run."""
    found = find(s3, settings, uri_of(settings, plan))
    return found is not None and not found.has_lapsed


def is_paying(s3: Any, settings: Settings, plan: Plan) -> bool:
    """Whether the plan's claim is there, and its run has begun to pay."""
    found = find(s3, settings, uri_of(settings, plan))
    return found is not None and found.claim.paying


def held(s3: Any, settings: Settings) -> Iterator[Claim]:
    """The claims that hold now."""
    for uri in uris(s3, settings):
        found = find(s3, settings, uri)
        if found and found.holds:
            yield found.claim


def lapsed_paying(s3: Any, settings: Settings) -> Iterator[Found]:
    """The claims that have lapsed and still hold, for their runs had begun to pay."""
    for uri in uris(s3, settings):
        found = find(s3, settings, uri)
        if found and found.has_lapsed and found.claim.paying:
            yield found


def uris(s3: Any, settings: Settings) -> Iterator[str]:
    """Of all claims, whether they hold or not."""
    bucket, prefix = s3_objects.split_uri(_folder(settings) + "/")
    for page in s3_objects.list_pages(s3, bucket, prefix):
        for entry in page.get("Contents", []):
            yield f"s3://{bucket}/{entry['Key']}"


def find(s3: Any, settings: Settings, uri: str) -> Found | None:
    """The claim; None when it is not there, or damaged but too old to matter.

    :raises PlanError: it is damaged.
    """
    stored = s3_objects.find(s3, uri)
    claim = _parse(stored, uri, settings) if stored else None
    if stored is None or claim is None:
        return None
    passed = stored.age_seconds / (claim.hours * 3600) if claim.hours > 0 else math.inf
    return Found(uri, claim, stored.etag, stored.body, passed)


@contextmanager
def of_others(
    s3: Any, settings: Settings, *, run_key: str, question: Question
) -> Iterator[Callable[[pa.Table], pa.BooleanArray]]:
    """Tell of each row of a listing whether another run's unfinished plan will answer the ``question``.

    Told by the claims as they were when the block began. The function takes any part of a listing, at least
    ``source_ref`` and ``etag``; of the plans' inputs it reads what lies between its names.

    :param run_key: the asking run, whose own claims do not count; but what an earlier plan of it has paid for
        and not published does.
    """
    with ExitStack() as stack:
        inputs = []
        for claim in held(s3, settings):
            answers = question.is_answered_by(
                model_version=claim.model_version, adapter=claim.adapter, min_confidence=claim.min_confidence
            )
            if answers and (claim.run_key != run_key or claim.paying):
                inputs.append(stack.enter_context(_inputs(s3, claim.inputs_uri)))
        yield lambda listing: _in_any(inputs, listing)


def _in_any(inputs: list[pq.ParquetFile], listing: pa.Table) -> pa.BooleanArray:
    claimed = pa.array([False] * len(listing), pa.bool_())
    between = range_of(listing["source_ref"])
    if not inputs or between is None:
        return claimed
    wanted = ledger.keys(listing)
    for file in inputs:
        for batch in batches_between(file, ["source_ref", "etag"], between):
            held = ledger.keys(pa.Table.from_batches([batch])).drop_null()
            claimed = pc.or_(claimed, pc.is_in(wanted, value_set=held, skip_nulls=True))
    return claimed.combine_chunks() if isinstance(claimed, pa.ChunkedArray) else claimed


def _parse(stored: s3_objects.StoredObject, uri: str, settings: Settings) -> Claim | None:
    """The claim; None when it is damaged but too old to matter."""
    remedy = "what it claims is unknown; delete it if no run is under way"
    try:
        return parse_state(stored.body, uri, parse=_claim, error=PlanError, remedy=remedy)
    except PlanError:
        if stored.age_seconds >= settings.claim_hours * 3600:
            return None
        raise


def _claim(content: dict[str, Any]) -> Claim:
    """What this release knows of a claim: workers of two releases stand side by side during an upgrade."""
    # Claims of earlier releases do not say whether their run pays.
    known = {"paying": False} | content
    return Claim(**{field.name: known[field.name] for field in fields(Claim)})


def _body(claim: Claim) -> bytes:
    return seal(asdict(claim))


@contextmanager
def _inputs(s3: Any, uri: str) -> Iterator[pq.ParquetFile]:
    with tempfile.TemporaryFile() as file:
        s3_objects.download(s3, uri, file)
        with parquet.open_file(file) as inputs:
            yield inputs


def _folder(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "claims")
