"""Where things are and what the rules are, read once from the environment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from moderation.errors import NeedsAPersonError
from moderation.reference import prices
from moderation.reference.prices import PriceTier

T = TypeVar("T")

_S3_URI = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9](/\S*)?")
_MAX_URI = 400
_WAREHOUSE = re.compile(r"duckdb|folder|postgres(ql)?://\S+|airflow:[A-Za-z0-9_.\-]{1,250}")
_WAREHOUSE_COMMA = re.compile(r",\s*(?=duckdb|folder|postgres(?:ql)?://|airflow:|,|$)|,\s+")
_MODEL = re.compile(r"([A-Za-z]+-)*\d+(\.\d+)*")


class SettingsError(NeedsAPersonError, ValueError):
    """A setting has a value that cannot be used; the message names the variable and what it takes."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of the pipeline. :meth:`from_env` names the environment variable of each.

    :param region: AWS region of buckets and Rekognition.
    :param work_uri: ``s3://bucket[/prefix]`` of plans, manifests, raw answers, locks.
    :param input_uri: ``s3://bucket[/prefix]`` that local folders are uploaded to.
    :param tables_uri: where the Parquet tables are: ``s3://…``, ``file://…`` or a local path.
    :param catalog_uri: SQLAlchemy URI of the Iceberg catalog, or ``glue``.
    :param warehouse_path: the DuckDB file.
    :param parquet_mirror: folder that gets a local copy of published Parquet files, or None.
    :param warehouses: what loads are brought into: ``duckdb``, ``folder``, ``postgresql://…`` (with
        ``schema=…`` among its parameters for another schema than ``moderation``) or
        ``airflow:<connection id>``; empty for DuckDB, and the folder when there is one. Passwords may be in
        it, so it is left out of the settings' representation.
    :param report_dir: folder that gets the report pages, or None.
    :param command: how a person calls the ``moderation`` command, for texts to paste.
    :param redo_command: how a person starts the redo of ``{load_id}``, with ``{permanent}`` 1 or 0, where
        that is not ``airflow dags trigger``.
    :param model_version: the least model whose answers count as moderated, e.g. ``7.0``, ``offline-1.0``.
    :param price_tiers: price list for the base model.
    :param adapter_price_tiers: price list for answers of an adapter.
    :param claim_hours: how long an unfinished plan keeps its images from other runs.
    :param inspect_threads: image headers read at once while planning.
    :param detect_tps: DetectModerationLabels calls a second; None for what Service Quotas says of the
        account, else the region's default.
    :param bulk_concurrent_jobs: jobs at once; None for the region's default quota.
    :param bulk_job_images_per_second: assumed speed of one bulk job, for expected times only: AWS
        publishes none.
    """

    region: str = "us-east-1"
    work_uri: str = "s3://moderation-work"
    input_uri: str = "s3://moderation-input"
    tables_uri: str = "s3://moderation-tables"
    catalog_uri: str
    warehouse_path: Path = Path("var/warehouse.duckdb")
    parquet_mirror: Path | None = None
    warehouses: tuple[str, ...] = field(default=(), repr=False)
    report_dir: Path | None = None
    command: str = "moderation"
    redo_command: str | None = None
    model_version: str = "7.0"
    price_tiers: tuple[PriceTier, ...] = prices.DEFAULT_TIERS
    adapter_price_tiers: tuple[PriceTier, ...] = prices.DEFAULT_ADAPTER_TIERS
    claim_hours: float = 24.0
    inspect_threads: int = 16
    detect_tps: float | None = None
    bulk_concurrent_jobs: int | None = None
    bulk_job_images_per_second: float = 10.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a variable that is missing or empty leaves the default.

        :raises SettingsError: a value is malformed.
        """

        def value(name: str, parse: Callable[[str], T], default: T, *, secret: bool = False) -> T:
            text = environ.get(name, "").strip()
            if not text:
                return default
            try:
                return parse(text)
            except ValueError as error:
                raise SettingsError(f"{name}{'' if secret else f'={text!r}'}: {error}") from error

        return cls(
            region=value("AWS_REGION", str, value("AWS_DEFAULT_REGION", str, cls.region)),
            work_uri=value("MODERATION_WORK_URI", _s3_uri, cls.work_uri),
            input_uri=value("MODERATION_INPUT_URI", _s3_uri, cls.input_uri),
            tables_uri=value("MODERATION_TABLES_URI", _tables_uri, cls.tables_uri),
            catalog_uri=value("MODERATION_CATALOG_URI", _catalog_uri, default_catalog_uri()),
            warehouse_path=value("MODERATION_WAREHOUSE", Path, cls.warehouse_path),
            parquet_mirror=value("MODERATION_PARQUET_DIR", _optional_path, None),
            warehouses=value("MODERATION_WAREHOUSES", _warehouses, cls.warehouses, secret=True),
            report_dir=value("MODERATION_REPORT_DIR", _optional_path, None),
            command=value("MODERATION_COMMAND", str, cls.command),
            redo_command=value("MODERATION_REDO_COMMAND", _redo_command, None),
            model_version=value("MODERATION_MODEL", _model, cls.model_version),
            price_tiers=value("MODERATION_PRICE_TIERS", prices.parse_tiers, cls.price_tiers),
            adapter_price_tiers=value(
                "MODERATION_ADAPTER_PRICE_TIERS", prices.parse_tiers, cls.adapter_price_tiers
            ),
            claim_hours=value("MODERATION_CLAIM_HOURS", _positive, cls.claim_hours),
            inspect_threads=value("MODERATION_INSPECT_THREADS", _threads, cls.inspect_threads),
            detect_tps=value("MODERATION_DETECT_TPS", _optional_positive, None),
            bulk_concurrent_jobs=value("MODERATION_BULK_CONCURRENT_JOBS", _optional_count, None),
            bulk_job_images_per_second=value(
                "MODERATION_BULK_JOB_IMAGES_PER_SECOND", _positive, cls.bulk_job_images_per_second
            ),
        )


def default_catalog_uri() -> str:
    """The embedded catalog: a SQLite file under ``var/`` of the working directory."""
    return f"sqlite:///{Path.cwd() / 'var' / 'catalog.db'}"


def _s3_uri(text: str) -> str:
    if len(text) > _MAX_URI:
        raise ValueError(
            f"expected at most {_MAX_URI} characters, for keys and AWS prefixes go on from there"
        )
    if not _S3_URI.fullmatch(text):
        raise ValueError("expected s3://bucket or s3://bucket/prefix without white space")
    return text.rstrip("/")


def _tables_uri(text: str) -> str:
    if text.startswith("s3://"):
        return _s3_uri(text)
    if "://" in text and not text.startswith("file://"):
        raise ValueError("expected s3://bucket/prefix, file:///folder or a local path")
    return text.rstrip("/") or "/"


def _warehouses(text: str) -> tuple[str, ...]:
    """Entries of the list; a comma inside a URI (several hosts) does not end one. Errors quote no entry."""
    entries = tuple(entry.strip() for entry in _WAREHOUSE_COMMA.split(text))
    for number, entry in enumerate(entries, start=1):
        if not _WAREHOUSE.fullmatch(entry):
            raise ValueError(
                f"entry {number} is none of duckdb, folder, postgresql://user:password@host/database, "
                "airflow:connection_id"
            )
    if len(set(entries)) < len(entries):
        raise ValueError("a warehouse is named twice")
    return entries


def _catalog_uri(text: str) -> str:
    if text != "glue" and "://" not in text:
        raise ValueError("expected glue or a database URI such as sqlite:////data/catalog.db")
    return text


def _model(text: str) -> str:
    if not _MODEL.fullmatch(text):
        raise ValueError("expected a version such as 7.0 or offline-1.0")
    return text


def _redo_command(text: str) -> str | None:
    if "{load_id}" not in text:
        raise ValueError("expected a command with {load_id}")
    return text


def _optional_path(text: str) -> Path | None:
    return Path(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError("expected a number above 0")
    return number


def _optional_positive(text: str) -> float | None:
    return _positive(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("expected a whole number above 0")
    return int(text)


def _optional_count(text: str) -> int | None:
    return _count(text)


def _threads(text: str) -> int:
    number = _count(text)
    if number > 256:
        raise ValueError("expected 1 to 256")
    return number
