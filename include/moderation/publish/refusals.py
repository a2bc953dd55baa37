"""Why a load is not published as it was built, and what a person can do about it."""

from __future__ import annotations

from moderation.plan.plan import Plan
from moderation.publish.build import BuiltLoad
from moderation.settings import Settings

_NAMED = 5


def of_mismatches(settings: Settings, plan: Plan, built: BuiltLoad) -> str | None:
    """Answers are not those to what was asked."""
    if not built.mismatch_count:
        return None
    places = "; ".join(
        f"{where}{found.place}: {found.kind}: {found.message}" for where, found in built.mismatches
    )
    more = built.mismatch_count - len(built.mismatches)
    return (
        f"{_head(plan)} for {built.mismatch_count:,} answers are not those to what was asked. {places}"
        + (f"; and {more:,} more" if more else "")
        + f". Look into these files; then `{settings.command} release {plan.uri}` gives "
        "the images back, and another run analyses them anew"
    )


def of_lost(settings: Settings, plan: Plan, built: BuiltLoad) -> str | None:
    """Jobs succeeded and their files do not say so of every image."""
    if not built.lost:
        return None
    files = "; ".join(f"{uri}: {count:,}" for uri, count in sorted(built.lost.items())[:_NAMED])
    more, lost = len(built.lost) - _NAMED, sum(built.lost.values())
    return (
        f"{_head(plan)} for {lost:,} images of jobs that succeeded have neither an answer "
        f"nor an error, and were paid. {files}"
        + (f"; and {more:,} more files" if more > 0 else "")
        + ". A file that was cut short or changed says so little: bring back its earlier version, then clear "
        f"the publish task. If it is as Rekognition wrote it, `{settings.command} publish --accept-lost "
        f"{plan.uri}` publishes the rest, and a redo of the load asks for what is missing and pays it again"
    )


def of_inputs(plan: Plan, built: BuiltLoad) -> str | None:
    """Not every image that was asked for is accounted for."""
    asked, accounted = plan.totals.inputs, _images(built) + built.totals["superseded"]
    if accounted == asked:
        return None
    return (
        f"{_head(plan)} for {asked:,} images were asked for and {accounted:,} are accounted for: {plan.uri} "
        "and its inputs do not belong together; plan the run again"
    )


def of_owed(settings: Settings, plan: Plan, built: BuiltLoad, *, tolerated: float) -> str | None:
    """More images than tolerated have no answer yet.

    :param tolerated: in percent of the images.
    """
    images = _images(built)
    if not images or 100 * built.owed <= tolerated * images:
        return None
    return (
        f"{_head(plan)} for {built.owed:,} of {images:,} images ({100 * built.owed / images:.1f} %) have no "
        f"answer yet, and {tolerated:g} % are tolerated. Clear the analyse and detect tasks of this "
        "run that failed, with everything after them: what is answered "
        f"already is not paid again. Or `{settings.command} publish {plan.uri}` publishes the rest all the "
        "same, and a redo of the load asks for what is missing"
    )


def _head(plan: Plan) -> str:
    return f"load {plan.load_id}: nothing is published,"


def _images(built: BuiltLoad) -> int:
    return sum(built.totals[name] for name in ("moderated", "failed", "not_attempted"))
