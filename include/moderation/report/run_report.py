"""How a run ends: what it says, and whether it ends well."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from moderation import schema
from moderation.analyse.backend import read_choice
from moderation.errors import NeedsAPersonError, WarehouseError
from moderation.plan.plan import Before, Plan
from moderation.plan.planner import release
from moderation.plan.price import Spending
from moderation.plan.stop_note import stop_reason
from moderation.plan.store import load_plan
from moderation.reference import error_codes
from moderation.report import completion, completion_page
from moderation.report.counts import build_report
from moderation.report.earlier import earlier
from moderation.report.page import runs
from moderation.report.page.store import write_pages
from moderation.report.page.write import ReportFiles, load_file
from moderation.report.spent import Spent, spent_so_far
from moderation.report.text import asking_services, to_text
from moderation.settings import Settings
from moderation.sources import failed_of_load
from moderation.sources.local_folder import as_known
from moderation.storage import s3_objects
from moderation.storage.memory import give_back_freed_memory

log = logging.getLogger(__name__)


class RunIncompleteError(NeedsAPersonError):
    """A run has ended before its images were moderated, published or loaded; the text says what to do."""


class ImagesOwedError(RunIncompleteError):
    """A run has ended and some of its images are still neither moderated nor failed for good."""


def report(
    plan_uri: str | None,
    load_id: str | None,
    *,
    loaded: bool = True,
    approved: bool = True,
    dry_run: bool = False,
    max_cost_usd: float | None = None,
    tolerated_failure_percentage: float = 100.0,
    why: str | None = None,
    settings: Settings | None = None,
) -> str:
    """Write the run's reports beside its plan, as text and as JSON; return the URI of the text.

    :param plan_uri: None when there is no plan.
    :param load_id: what was published; None when nothing was.
    :param loaded: whether all that is published has reached the warehouses.
    :param approved: whether the run went on after its plan was priced.
    :param dry_run: whether it was to end there.
    :param max_cost_usd: what the run was allowed to spend.
    :param tolerated_failure_percentage: the run ends badly when more of its images than that got no answer
        for a reason that a person can mend.
    :param why: the error of the task that failed, when one did and its error is known.
    :raises RunIncompleteError: the run did not do what it was asked for; the reports are written anyway.
    :raises ImagesOwedError: an image is still owed.
    """
    if plan_uri is None:
        raise RunIncompleteError(
            f"nothing was planned: {why or 'see the log of the task discover'}. Mend it, then clear the task "
            "discover with everything after it; trigger a new run if a param was wrong"
        )
    settings = settings or Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    if load_id:
        give_back_freed_memory()
        return _report_load(
            settings, plan, load_id, loaded=loaded, tolerated=tolerated_failure_percentage, why=why
        )
    if plan.is_empty:
        if not loaded and not dry_run:
            behind = f"nothing is new, and a warehouse lacks published loads{f': {why}' if why else ''}"
            _tell(settings, plan, f"{nothing_new(plan)}\n{behind}\n", outcome=behind)
            raise RunIncompleteError(f"{behind}; clear the task load with everything after it")
        text = f"{nothing_new(plan)}{earlier(settings)}"
        return _tell(settings, plan, text, outcome="nothing new")
    if dry_run:
        price = _price(settings, plan, max_cost_usd)
        text = "Dry run: nothing was started, nothing was paid.\n\n" + price
        return _tell(settings, plan, text, outcome="dry run")
    if approved:
        outcome = _why_unpublished(settings, plan, why)
        spent = _spent(settings, plan)
    else:
        release(plan, settings=settings)
        outcome = _why_unpaid(settings, plan, why)
        spent = Spent(0, 0.0, 0)
    price = _price(settings, plan, max_cost_usd)
    text = f"Not done: {outcome}\n\n{price}{'spent so far':<22}{spent.text()}\n"
    _tell(settings, plan, text, outcome=outcome, spent=spent)
    raise RunIncompleteError(outcome)


def _why_unpaid(settings: Settings, plan: Plan, why: str | None) -> str:
    otherwise = (
        "the run stopped before its first paid call: "
        f"{why or 'see the logs of the tasks plan and approve'}. Clear what failed with everything after it"
    )
    with s3_objects.open_client(settings) as client:
        return stop_reason(plan, s3=client, otherwise=otherwise)


def _why_unpublished(settings: Settings, plan: Plan, why: str | None) -> str:
    otherwise = (
        f"nothing of load {plan.load_id} is published: {why or 'see the log of the task publish'}. What is "
        "answered already is kept and is not paid again: clear what failed with everything after it"
    )
    with s3_objects.open_client(settings) as client:
        return stop_reason(plan, s3=client, otherwise=otherwise)


def nothing_new(plan: Plan) -> str:
    """What a run says that had nothing to do."""
    totals = plan.totals
    reasons = [
        *totals.done_before,
        Before("being moderated by another run", totals.claimed_elsewhere),
        Before("no images", totals.ignored),
    ]
    listed = ", ".join(
        f"{before.images:,} {before.name}" + (f", {before.note}" if before.note else "")
        for before in reasons
        if before.images
    )
    empty = "It holds no images."
    if plan.source.startswith(failed_of_load.PREFIX):
        load_id = failed_of_load.FailedOfLoad.parse(plan.source).load_id
        empty = (
            "None of its images is owed. What was refused for its own sake is asked again once it is mended: "
            f"see `{Settings.from_env().command} redo {load_id} --permanent`."
        )
    found = f"{totals.listed:,} found: {listed}." if totals.listed else empty
    if totals.gone:
        found += f" {totals.gone:,} answered or refused before are gone from there."
    return f"Nothing new in {as_known(plan.source)}\n{found}\nNo job was started, nothing was paid.\n"


def _report_load(
    settings: Settings, plan: Plan, load_id: str, *, loaded: bool, tolerated: float, why: str | None
) -> str:
    # Counted before the page is drawn, which takes much memory and keeps it.
    counted = build_report(settings, load_id)
    pages = _write_page(settings, load_id) if loaded else None
    page = str(pages.load) if pages and settings.report_dir else None
    found = completion.build_completion(settings, plan, load_id, outcome="published")
    redo = _redo_command(settings, load_id)
    problem = _problem(plan, found, redo=redo, tolerated=tolerated)
    if problem is None and not loaded:
        problem = RunIncompleteError(
            f"load {load_id} is published and has not reached every warehouse"
            + (f": {why}" if why else "")
            + "; clear the task load with everything after it"
        )
    found["outcome"] = str(problem) if problem else "published"
    text = to_text(replace(counted, page=page), command=settings.command)
    text += "\n" + completion.to_text(found, uri=_page_place(settings, plan), redo_command=redo)
    uri = _write(settings, plan, text, found, has_page=pages is not None)
    if problem:
        raise problem
    return uri


def _problem(plan: Plan, found: dict[str, Any], *, redo: str, tolerated: float) -> RunIncompleteError | None:
    """What of a published load a person has to see to; None for nothing."""
    counts, blocked = found["counts"], found["blocked"]
    then = f"then run the source again or do what `{redo}` says: only these are sent"
    if counts["owed"] or not found["is_reconciled"]:
        return ImagesOwedError(
            f"{counts['owed']:,} images of load {plan.load_id} are still owed{_most_owed(found)}; see "
            f"{plan.report_uri}, mend the cause, {then}"
        )
    number = sum(blocked.values())
    if number and (not counts["moderated"] or 100 * number > tolerated * counts["inputs"]):
        code = max(blocked, key=lambda name: blocked[name])
        return RunIncompleteError(
            f"{number:,} of {counts['inputs']:,} images of load {plan.load_id} got no answer, most of them "
            f"for {code}: {error_codes.remedy(code)} See {plan.report_uri}, {then}"
        )
    return None


def _most_owed(found: dict[str, Any]) -> str:
    """The most frequent reason why images are owed, with what its first image says; "" without one."""
    owed = [
        (entry["error_code"], entry["error_message"])
        for entry in found["failures"]
        if entry["error_code"]
        and (entry["status"] == schema.NOT_ATTEMPTED or error_codes.is_owed(entry["error_code"]))
    ]
    if not owed:
        return ""
    code = Counter(code for code, _ in owed).most_common(1)[0][0]
    message = next(text for name, text in owed if name == code)
    return f", most of them for {code}" + (f" ({message})" if message else "")


def _redo_command(settings: Settings, load_id: str | None) -> str:
    return asking_services(settings.command, "redo", str(load_id))


def _tell(settings: Settings, plan: Plan, text: str, *, outcome: str, spent: Spent | None = None) -> str:
    found = completion.build_completion(settings, plan, None, outcome=outcome)
    return _write(settings, plan, text, found | ({"spent": asdict(spent)} if spent else {}))


def _spent(settings: Settings, plan: Plan) -> Spent:
    with s3_objects.open_client(settings) as client:
        return spent_so_far(settings, plan, s3=client)


def _write(
    settings: Settings, plan: Plan, text: str, found: dict[str, Any], *, has_page: bool = False
) -> str:
    told: dict[str, Any] = {
        "json_name": plan.completion_uri.rpartition("/")[2],
        "redo_command": _redo_command(settings, found["load_id"]),
    }
    page = completion_page.render(found, **told)
    load_page = f"../../loads/{load_file(plan.load_id)}" if has_page else None
    linked = completion_page.render(found, **told, linked=True, load_page=load_page)
    data = completion.encode(found)
    with s3_objects.open_client(settings) as client:
        s3_objects.put(client, plan.completion_uri, data, content_type="application/json")
        s3_objects.put(
            client, completion.page_uri(plan), page.encode(), content_type="text/html; charset=utf-8"
        )
        s3_objects.put(client, plan.report_uri, text.encode(), content_type="text/plain; charset=utf-8")
        run = runs.summary(found, load_id=plan.load_id, page=has_page)
        try:
            runs.keep(settings, client, run, page=linked, data=data)
        except (OSError, s3_objects.S3Error) as error:
            log.warning("the completion report is not among the report pages: %s", error)
    log.info("%s\n%s", plan.report_uri, text)
    return plan.report_uri


def _page_place(settings: Settings, plan: Plan) -> str:
    return str(_local_page(settings.report_dir, plan)) if settings.report_dir else completion.page_uri(plan)


def _local_page(report_dir: Path, plan: Plan) -> Path:
    return report_dir / "completion" / plan.load_id / "report.html"


def _write_page(settings: Settings, load_id: str) -> ReportFiles | None:
    """Write the report page; a run is not failed by its picture."""
    try:
        return write_pages(settings, load_id)
    except (WarehouseError, s3_objects.S3Error, OSError) as error:
        log.warning("the report page was not written: %s", error)
        return None


def _price(settings: Settings, plan: Plan, limit: float | None) -> str:
    with s3_objects.open_client(settings) as client:
        choice = read_choice(plan, s3=client)
    backend = choice.backend if choice else plan.backend
    # A limit that is none was refused before; the report must come all the same.
    limit = limit if limit is not None and 0 <= limit < math.inf else None
    return Spending(plan=plan, backend=backend, cost_usd=plan.expected_cost_usd, limit_usd=limit).text()
