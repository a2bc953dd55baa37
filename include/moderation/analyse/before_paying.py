"""What is looked up of a manifest before Rekognition is asked about it, for its answers cost."""

from __future__ import annotations

from moderation.analyse import backend, bulk
from moderation.analyse.detect import run as single_calls
from moderation.analyse.detect.records import request_of
from moderation.plan.keeping import Lives, renew_claim
from moderation.plan.plan import Plan, PlanError
from moderation.plan.store import is_closed, load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.ledger.known import stream_known


def goes_to_single_calls(plan_uri: str, manifest_uri: str, *, settings: Settings | None = None) -> bool:
    """Whether DetectModerationLabels took a manifest over: a bulk job would be paid beside its calls."""
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        plan = load_plan(plan_uri, s3=client)
        choice = backend.read_choice(plan, s3=client)
    taken = [manifest.uri for manifest in plan.manifests if choice and choice.uses_detect(manifest)]
    return manifest_uri in taken


def why_not_ours(
    plan_uri: str,
    manifest_uri: str,
    *,
    list_jobs: bulk.ListJobs | None = None,
    lives: Lives | None = None,
    settings: Settings | None = None,
) -> str | None:
    """Why a manifest's pictures are no more those of its plan; None when they are, and stay so for a while.

    Nothing that is paid for already is left lying: a job that was started is found again, and a manifest that
    single calls have finished calls nothing.

    :param list_jobs: of the bulk jobs; None for single calls.
    :param lives: see :func:`moderation.plan.planner.make_plan`.
    :raises lease.LeaseBusy: another run was planning all the time.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        plan = load_plan(plan_uri, s3=client)
        reason = _why_not(settings, client, plan, lives)
        if reason is None or _is_paid(client, plan, manifest_uri, list_jobs):
            return None
    return f"{reason}. What is answered is published; the rest waits for the next run"


def _why_not(settings: Settings, s3: object, plan: Plan, lives: Lives | None) -> str | None:
    if is_closed(plan, s3=s3):
        return f"{plan.uri} is published or given up: nothing of it is asked any more"
    try:
        renew_claim(plan, settings=settings, published=stream_known, lives=lives)
    except PlanError as error:
        return str(error)
    return None


def _is_paid(s3: object, plan: Plan, manifest_uri: str, list_jobs: bulk.ListJobs | None) -> bool:
    if list_jobs is not None:
        return bulk.is_started(manifest_uri, list_jobs(bulk.started_since(plan)))
    manifest = next(manifest for manifest in plan.manifests if manifest.uri == manifest_uri)
    return single_calls.is_finished(request_of(plan, manifest), s3=s3)
