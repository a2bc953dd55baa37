"""Airflow's own web application with our plugins, asked by people of each role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def application(airflow_db: None) -> Iterator[Any]:
    # Imported late, here and below: Airflow warns while it imports, which a test may and collection may not.
    from airflow.api_fastapi.app import create_app, purge_cached_app  # noqa: PLC0415

    purge_cached_app()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a-secret-of-no-value-" * 4)
        yield create_app(apps="core")
    purge_cached_app()


def client(application: Any, role: str | None, *, name: str = "somebody") -> Any:
    """Who asks; nobody without a role, somebody without rights with the role ""."""
    from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser  # noqa: PLC0415
    from fastapi.testclient import TestClient  # noqa: PLC0415

    made = TestClient(application, follow_redirects=False)
    if role is not None:
        user = SimpleAuthManagerUser(username=name, role=role or None)
        made.headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
    return made
