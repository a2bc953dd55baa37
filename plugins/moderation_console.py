"""Brings the console into Airflow: a menu entry, a tab on each run, and the pages themselves."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/moderation"
"""Where the console is served."""


class _Apps:
    """Imports the web application when the web server asks for it; workers and schedulers never do."""

    def __get__(self, plugin: object, owner: type) -> list[dict[str, Any]]:
        from moderation_airflow.web.console_app import app  # noqa: PLC0415 - see above

        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Moderation"}]


class ModerationConsolePlugin(AirflowPlugin):
    """The console below `URL_PREFIX`; every route of it asks for a login."""

    name = "moderation_console"
    fastapi_apps = _Apps()
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Moderation",
            "href": f"{URL_PREFIX.lstrip('/')}/",
            "destination": "nav",
            "url_route": "moderation-console",
            "nav_top_level": True,
        },
        {
            "name": "Images",
            "href": f"{URL_PREFIX.lstrip('/')}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "moderation-console-run",
        },
    ]
