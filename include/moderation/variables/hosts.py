"""What must lie where every machine finds it, once tasks may run on several."""

from __future__ import annotations

from collections.abc import Iterable

_DATABASE = "postgresql://user:password@host/database"
REVIEW_FILE = (
    "MODERATION_REVIEW_DB is a file, which each machine has for itself: "
    f"set it to {_DATABASE} (or MODERATION_SEVERAL_HOSTS=0 where all of Airflow is on one machine)"
)


def of_one_machine(*, catalog_uri: str, tables_uri: str, warehouses: Iterable[str]) -> list[str]:
    """Sentences about settings that name a place on the disk of whoever reads them; none holds a password.

    :param warehouses: entries of ``MODERATION_WAREHOUSES``; none means the embedded default.
    """
    found = []
    if catalog_uri.startswith("sqlite"):
        found.append(
            "MODERATION_CATALOG_URI is a file: set it to glue or postgresql+psycopg://user:password@host/database"
        )
    if not tables_uri.startswith("s3://"):
        found.append("MODERATION_TABLES_URI is a folder: set it to s3://bucket/prefix")
    if local := sorted({"duckdb", "folder"} & set(tuple(warehouses) or ("duckdb",))):
        found.append(
            f"MODERATION_WAREHOUSES has {' and '.join(local)}: set it to airflow:CONNECTION_ID or {_DATABASE}"
        )
    return found
