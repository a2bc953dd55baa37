"""The last task of a run, and its link to the report page."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import BaseOperator, BaseOperatorLink

from moderation_airflow import failure_reason

if TYPE_CHECKING:
    from airflow.sdk import Context

TASKS = ("discover", "plan", "publish", "load")
"""Those before it whose errors it tells."""

URL_PREFIX = "/moderation-report"
"""Where `moderation_report` serves the pages."""


class ModerationReportLink(BaseOperatorLink):
    """Link to the page of the load that the run published; without one, to the list of runs."""

    name = "Moderation report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Address of the page, below the web server's own."""
        from moderation.report.page.write import load_file  # noqa: PLC0415 - keeps parsing fast

        load_id = getattr(operator, "published", None)
        page = f"loads/{load_file(load_id)}" if isinstance(load_id, str) else "runs.html"
        return conf.get("api", "base_url", fallback="").rstrip("/") + f"{URL_PREFIX}/{page}"


class CompletionReportLink(BaseOperatorLink):
    """Link to what the run did: every failure, file and price, also when it published nothing."""

    name = "Completion report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Address of the page, below the web server's own."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}{URL_PREFIX}/completion/{quote(ti_key.dag_id)}/{quote(ti_key.run_id)}/report.html"


class ModerationReportOperator(BaseOperator):
    """
    Say what a run found, what it cost and what is owed; fail when it did not end well.

    Returns the URI of the report's text. Reads the Dag's params ``dry_run``, ``max_cost_usd`` and
    ``tolerated_failure_percentage``.

    :param plan_uri: URI of the plan; None when it was not made. (templated)
    :param approved: what the task approve returned, None when the run stopped before. (templated)
    :param published: id of the load, None when nothing was published. (templated)
    :param loaded: what the task load returned, None when not every warehouse has the load. (templated)
    """

    template_fields: Collection[str] = ("plan_uri", "approved", "published", "loaded")
    operator_extra_links = (ModerationReportLink(), CompletionReportLink())
    ui_color = "#e8f0f7"

    def __init__(self, *, plan_uri: Any, approved: Any, published: Any, loaded: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_uri = plan_uri
        self.approved = approved
        self.published = published
        self.loaded = loaded

    def execute(self, context: Context) -> str:
        """Write the report and the page."""
        from moderation.report import run_report  # noqa: PLC0415 - keeps parsing fast

        params = context["params"]
        why = failure_reason.of(context["ti"], TASKS)
        with failure_reason.kept():  # the conductor of an archive asks
            return run_report.report(
                self.plan_uri,
                self.published,
                loaded=self.loaded is not None,
                approved=self.approved is not None,
                dry_run=params["dry_run"],
                max_cost_usd=params["max_cost_usd"],
                tolerated_failure_percentage=params["tolerated_failure_percentage"],
                why=why,
            )
