"""Brings the report pages into Airflow: a menu entry, a tab on each run, and the pages themselves."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from moderation_airflow.report import URL_PREFIX


class _Apps:
    """Imports the web application when the web server asks for it; workers and schedulers never do."""

    def __get__(self, plugin: object, owner: type) -> list[dict[str, Any]]:
        from moderation_airflow.web.report_app import app  # noqa: PLC0415 - see above

        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Moderation report"}]


class ModerationReportPlugin(AirflowPlugin):
    """The report pages below `URL_PREFIX`; every one of them asks for a login."""

    name = "moderation_report"
    fastapi_apps = _Apps()
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Moderation report",
            "href": f"{URL_PREFIX.lstrip('/')}/index.html",
            "destination": "nav",
            "category": "browse",
            "url_route": "moderation-report-view",
        },
        {
            "name": "Moderation report",
            "href": f"{URL_PREFIX.lstrip('/')}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "moderation-report-run",
        },
    ]
