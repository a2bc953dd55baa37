"""Catalog, warehouses, and what this month has cost. Nothing of them is made by looking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url

from moderation.archive.backfill import spend
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, stop, warning
from moderation.errors import ModerationError, TransientError
from moderation.plan.price import tiers_of
from moderation.reference import prices
from moderation.settings import Settings
from moderation.storage import files
from moderation.tables.catalog import NAMESPACE, open_catalog
from moderation.tables.faults import catalog_faults
from moderation.warehouses.configured import configured

_FIRST = "nothing was published yet: the first publish makes it"


def catalog(account: Account) -> Iterator[Finding]:
    """Whether the Iceberg catalog can be read."""
    settings = account.settings
    try:
        if not _is_there(settings):
            yield ok(_FIRST)
            return
        with open_catalog(settings) as found:
            names = sorted(name for _, name in found.list_tables(NAMESPACE))
        yield ok(f"{len(names)} tables")
    except ModerationError as error:
        yield stop(
            str(error), _again(error, "set MODERATION_CATALOG_URI to a catalog that all workers reach")
        )


def this_month(account: Account) -> Iterator[Finding]:
    """What was billed since the first of the month, as published."""
    settings = account.settings
    try:
        if not _is_there(settings):
            yield ok("no published job, so nothing by the tables")
            return
        now = account.now()
        images = spend.read(settings, now).images(spend.begin_of_month(now))
    except ModerationError as error:
        yield warning(f"not known: {error}", "see the line on the catalog")
        return
    usd = prices.cost_usd(images, tiers=tiers_of(settings, None))
    yield ok(
        f"{images:,} images since {now:%Y-%m}-01 (UTC), {usd:,.2f} USD at the set prices of the base model; "
        "what is under way, training, and what others of the account use is not in it"
    )


def warehouses(account: Account) -> Iterator[Finding]:
    """Whether each warehouse can be reached."""
    settings = account.settings
    for entry in settings.warehouses or ("duckdb", *(["folder"] if settings.parquet_mirror else [])):
        if entry == "duckdb":
            yield _file(settings.warehouse_path)
        elif entry == "folder":
            yield _folder(settings.parquet_mirror)
        elif entry.startswith("airflow:"):
            name = entry.removeprefix("airflow:")
            yield warning(
                f"{entry} is a connection that only Airflow's tasks know",
                f"airflow connections get {name}; the log of the task load says whether it answers",
            )
        else:
            yield _database(settings, entry)


def _database(settings: Settings, entry: str) -> Finding:
    name = make_url(entry).render_as_string(hide_password=True).partition("?")[0]
    try:
        for warehouse in configured(_only(settings, entry)):
            warehouse.lacks([])
    except ModerationError as error:
        return stop(str(error), _again(error, "correct MODERATION_WAREHOUSES, or the rights of its user"))
    return ok(f"{name} answers")


def _only(settings: Settings, entry: str) -> Settings:
    from dataclasses import replace  # noqa: PLC0415

    return replace(settings, warehouses=(entry,))


def _file(path: Path) -> Finding:
    if not path.exists():
        return _folder(path.parent, f"{path}: the first load makes it")
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        if "lock on file" in str(error):
            return ok(f"{path} is in use by another process")
        said = str(error).strip().partition("\n")[0]
        return stop(f"{path} cannot be opened: {said}", "move the file away; the next load fills a new one")
    return ok(f"{path} can be read")


def _folder(path: Path | None, found: str = "") -> Finding:
    if path is None:
        return stop("MODERATION_WAREHOUSES names a folder", "set MODERATION_PARQUET_DIR to it")
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return stop(f"{there} cannot be written", "name another folder, or change who owns this one")
    return ok(found or f"{path} can be written")


def _is_there(settings: Settings) -> bool:
    """Whether a catalog was made. pyiceberg would make it by opening it.

    :raises moderation.tables.faults.TablesError: nobody can tell.
    """
    if settings.catalog_uri == "glue":
        with open_catalog(settings) as found:
            return bool(found.namespace_exists(NAMESPACE))
    with catalog_faults(settings.catalog_uri):
        url = make_url(settings.catalog_uri)
        if (
            url.get_backend_name() == "sqlite"
            and url.database
            and not files.local_path(url.database).exists()
        ):
            return False
        engine = create_engine(url)
        try:
            return inspect(engine).has_table("iceberg_tables")
        finally:
            engine.dispose()


def _again(error: ModerationError, otherwise: str) -> str:
    return "run again later" if isinstance(error, TransientError) else otherwise
