"""Airflow connections as other libraries want them told."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from moderation.errors import NeedsAPersonError


class ConnectionUnusableError(NeedsAPersonError, ValueError):
    """An Airflow connection is missing, or is none that this can use; the text names it."""


def connection_uri(conn_id: str) -> str:
    """The libpq URI of an Airflow connection of type ``postgres``; its extras become parameters.

    For ``stages.load(…, connection_uri=connection_uri)`` with ``MODERATION_WAREHOUSES=airflow:<conn_id>``.
    Airflow's own ``get_uri`` is none of libpq's: an extra that is a number makes a parameter ``__extra__``.

    :raises ConnectionUnusableError: there is no such connection, or it has another type or no host.
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ConnectionUnusableError(
            f"there is no Airflow connection {conn_id}; add it, or correct MODERATION_WAREHOUSES"
        ) from error
    if connection.conn_type not in {"postgres", "postgresql"} or not connection.host:
        raise ConnectionUnusableError(
            f"the connection {conn_id} has type {connection.conn_type!r}; expected postgres and a host"
        )
    user = quote(connection.login or "", safe="")
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    place = f"{connection.host}:{connection.port or 5432}/{quote(connection.schema or '', safe='')}"
    extras = {
        name: value
        for name, value in connection.extra_dejson.items()
        if isinstance(value, str | int) and value
    }
    parameters = f"?{urlencode(extras, quote_via=quote)}" if extras else ""
    return f"postgresql://{user}{password}@{place}{parameters}"
