"""What a plan will cost and how long it will take, in numbers and in words, and whether that may be spent."""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass
from decimal import Decimal

from moderation.errors import NeedsAPersonError
from moderation.plan.ledger import Model
from moderation.plan.plan import Plan, PlanError
from moderation.reference import limits, prices
from moderation.reference.prices import PriceTier
from moderation.settings import Settings
from moderation.sources.local_folder import as_known


@dataclass(frozen=True)
class Estimate:
    """Price and time of a plan.

    :param cost_usd: if every image is analysed; AWS bills those that are.
    :param detect_seconds: by DetectModerationLabels at the quota's pace.
    :param bulk_seconds: by media analysis jobs, with the assumed speed of a job
        (``MODERATION_BULK_JOB_IMAGES_PER_SECOND``); None where the region has no such jobs.
    """

    cost_usd: Decimal
    detect_seconds: float
    bulk_seconds: float | None


def tiers_of(settings: Settings, adapter: str | None) -> tuple[PriceTier, ...]:
    """The price list of answers of this adapter, or of the base model."""
    return settings.adapter_price_tiers if adapter else settings.price_tiers


def estimate(settings: Settings, *, manifest_lines: list[int], adapter: str | None) -> Estimate:
    """Price and time for manifests of these many lines."""
    images = sum(manifest_lines)
    quotas = limits.quotas(settings.region)
    at_once = settings.bulk_concurrent_jobs or quotas.bulk_concurrent_jobs
    return Estimate(
        cost_usd=prices.cost_usd(images, tiers=tiers_of(settings, adapter)),
        detect_seconds=images / (settings.detect_tps or quotas.detect_tps),
        bulk_seconds=_bulk_seconds(settings, manifest_lines, at_once) if at_once else None,
    )


def saved(
    settings: Settings, *, lines: list[int], copies: int, adapter: str | None
) -> dict[str, float | None]:
    """What it would cost and last to analyse the copies too; see `Plan.saved`.

    :param lines: of the manifests without them.
    """
    if not copies:
        return {}
    whole, rest = divmod(copies, limits.MANIFEST_MAX_LINES)
    theirs = [limits.MANIFEST_MAX_LINES] * whole + [rest] * bool(rest)
    without = estimate(settings, manifest_lines=lines, adapter=adapter)
    with_them = estimate(settings, manifest_lines=lines + theirs, adapter=adapter)
    bulk = None
    if with_them.bulk_seconds is not None:
        bulk = with_them.bulk_seconds - (without.bulk_seconds or 0.0)
    return {
        "usd": float(with_them.cost_usd - without.cost_usd),
        "bulk": bulk,
        "detect": with_them.detect_seconds - without.detect_seconds,
    }


def _bulk_seconds(settings: Settings, manifest_lines: list[int], at_once: int) -> float:
    """Jobs go into the first slot that frees; the last slot to end counts."""
    slots = [0.0] * at_once
    for lines in sorted(manifest_lines, reverse=True):
        slots.sort()
        slots[0] += lines / settings.bulk_job_images_per_second
    return max(slots)


class OverBudgetError(NeedsAPersonError):
    """The plan costs more than the run may spend; nothing was sent and nothing was paid."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """A plan before it is paid for.

    :param cost_usd: if every image is analysed.
    :param limit_usd: what the run may spend; None for no limit. A plan that costs exactly that may go on.
    :raises PlanError: the limit is no number of US dollars, which would limit nothing.
    """

    plan: Plan
    backend: str
    cost_usd: float
    limit_usd: float | None

    def __post_init__(self) -> None:
        limit = self.limit_usd
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise PlanError(f"max_cost_usd={limit}: expected US dollars, 0 or more, or nothing for no limit")

    @property
    def is_over(self) -> bool:
        """Whether the price is above the limit."""
        return self.limit_usd is not None and self.cost_usd > self.limit_usd

    @property
    def headline(self) -> str:
        """One line: how many images, for how much."""
        images = self.plan.totals.to_analyse
        return f"{images:,} images of {as_known(self.plan.source)} cost up to {self.cost_usd:,.4f} USD"

    def text(self) -> str:
        """Everything that is known before the first paid call."""
        return "\n".join(f"{name:<22}{value}" for name, value in self._rows().items()) + "\n"

    def markdown(self) -> str:
        """The same as a table for pages that fold lines; first what a person decides by."""
        first = ("price at most", "price limit", "to analyse", "source")
        rows = self._rows()
        lines = [(name, rows.pop(name)) for name in first] + list(rows.items())
        cells = "".join(f"| {name} | {_as_markdown(value)} |\n" for name, value in lines)
        return f"| before the first paid call | |\n|---|---|\n{cells}"

    def _rows(self) -> dict[str, str]:
        plan, totals = self.plan, self.plan.totals
        jobs = f"{len(plan.manifests):,} jobs"
        # "auto" stands here only until the task plan has chosen.
        calls = {"bulk": jobs, "detect": "single calls"}.get(self.backend, f"{jobs} or single calls")
        limit = "none" if self.limit_usd is None else f"{self.limit_usd:,.4f} USD (max_cost_usd)"
        limit += ", exceeded" if self.is_over else ""
        billed = "; the offline model bills nothing" if Model.parse(plan.model_version).is_offline else ""
        return {
            "source": plan.source,
            "found": f"{totals.listed:,}",
            **{before.name: before.text for before in totals.done_before},
            "in another open run": f"{totals.claimed_elsewhere:,}",
            "no images": f"{totals.ignored:,}",
            "cannot be sent": f"{totals.rejected:,} (a row with the reason each)",
            "left to the next run": f"{totals.postponed:,}",
            "gone at the source": f"{totals.gone:,}",
            "to analyse": f"{totals.to_analyse:,}, by {calls} (backend {self.backend})",
            "copies": copies_in_words(plan, self.backend),
            "price at most": f"{self.cost_usd:,.4f} USD at the set prices" + billed,
            "price limit": limit,
            "time by bulk jobs": self._time("bulk"),
            "time by single calls": self._time("detect"),
            "load": plan.load_id,
        }

    def _time(self, backend: str) -> str:
        chosen = " (chosen)" if backend == self.backend else ""
        if backend in self.plan.expected_seconds and self.plan.expected_seconds[backend] is None:
            return "not offered in this region"
        return f"about {duration(self.plan.expected_seconds.get(backend))} under the quotas{chosen}"

    def refusal(self, *, answer: str | None = None) -> str:
        """Why the run stops, and what to do.

        :param answer: what became of the question, when a person was asked.
        """
        asked = f"; {answer}" if answer else ""
        then = (
            "Clear the task approve with everything after it to be asked again, or trigger the run again "
            "with a higher max_cost_usd or a smaller source"
            if answer
            else "Trigger the run again with a higher max_cost_usd, a smaller source, or on_over_budget=ask"
        )
        return (
            f"{self.headline}; max_cost_usd allows {self.limit_usd:,.4f}{asked}. Nothing was sent and "
            f"nothing was paid. {then}"
        )


def copies_in_words(plan: Plan, backend: str = "bulk") -> str:
    """How many images get the answer of another of the same content, and what that saves."""
    totals, saved = plan.totals, plan.saved
    if totals.contents is None:
        return "each image is paid for by itself"
    if not totals.copies:
        return "0"
    images = totals.copies + totals.to_analyse
    seconds = saved["detect" if backend == "detect" or saved["bulk"] is None else "bulk"]
    return (
        f"{totals.copies:,} of {images:,} images ({100 * totals.copies / images:.1f} %; contents "
        f"{totals.contents:,}), answered without paying: {saved['usd']:,.4f} USD and {duration(seconds)} "
        "saved"
    )


def _as_markdown(text: str) -> str:
    """The text as it is: no sign of it ends a cell, makes a link, or is taken for markup."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(rf"([{re.escape(string.punctuation)}])", r"\\\1", printable)


def duration(seconds: float | None) -> str:
    """``1 h 05 min 09 s``, ``5 min 09 s``, ``9 s``."""
    if seconds is None:
        return "an unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min {rest:02d} s"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
