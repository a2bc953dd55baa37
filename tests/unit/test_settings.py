from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from moderation.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_embedded_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = Settings.from_env({})

    assert settings.region == "us-east-1"
    assert settings.catalog_uri == f"sqlite:///{tmp_path}/var/catalog.db"
    assert settings.warehouse_path == Path("var/warehouse.duckdb")
    assert settings.parquet_mirror is None
    assert (settings.model_version, settings.claim_hours) == ("7.0", 24.0)


def test_every_setting_is_read_from_its_variable():
    settings = Settings.from_env(
        {
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_REGION": "eu-west-1",
            "MODERATION_WORK_URI": "s3://work/area/",
            "MODERATION_INPUT_URI": "s3://inbox",
            "MODERATION_TABLES_URI": "/data/tables/",
            "MODERATION_CATALOG_URI": "glue",
            "MODERATION_WAREHOUSE": "/data/w.duckdb",
            "MODERATION_PARQUET_DIR": "/data/mirror",
            "MODERATION_WAREHOUSES": "folder, postgresql://u:p,w@one,two:5432/db , airflow:pg.main,duckdb",
            "MODERATION_MODEL": "offline-1.0",
            "MODERATION_PRICE_TIERS": "[[10, 0.5], [null, 0.25]]",
            "MODERATION_CLAIM_HOURS": "1.5",
            "MODERATION_INSPECT_THREADS": "4",
            "MODERATION_DETECT_TPS": "2.5",
            "MODERATION_BULK_CONCURRENT_JOBS": "7",
        }
    )

    assert settings.region == "eu-west-1"
    assert settings.work_uri == "s3://work/area"
    assert settings.tables_uri == "/data/tables"
    assert settings.catalog_uri == "glue"
    assert settings.parquet_mirror == Path("/data/mirror")
    assert settings.warehouses == (
        "folder",
        "postgresql://u:p,w@one,two:5432/db",
        "airflow:pg.main",
        "duckdb",
    )
    assert settings.model_version == "offline-1.0"
    assert [tier.usd_per_image for tier in settings.price_tiers] == [Decimal("0.5"), Decimal("0.25")]
    assert (settings.claim_hours, settings.inspect_threads) == (1.5, 4)
    assert (settings.detect_tps, settings.bulk_concurrent_jobs) == (2.5, 7)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODERATION_WORK_URI", "work"),
        ("MODERATION_WORK_URI", "s3://"),
        ("MODERATION_WORK_URI", "s3://bucket/with space"),
        ("MODERATION_WORK_URI", "s3://bucket/" + "x" * 400),
        ("MODERATION_TABLES_URI", "gs://bucket"),
        ("MODERATION_CATALOG_URI", "catalog.db"),
        ("MODERATION_MODEL", "latest"),
        ("MODERATION_PRICE_TIERS", "0.001"),
        ("MODERATION_PRICE_TIERS", "[[10, 0.5]]"),
        ("MODERATION_PRICE_TIERS", "[[10, 0.5], [5, 0.4], [null, 0.1]]"),
        ("MODERATION_PRICE_TIERS", "[[null, -1]]"),
        ("MODERATION_PRICE_TIERS", '[[null, "NaN"]]'),
        ("MODERATION_CLAIM_HOURS", "0"),
        ("MODERATION_CLAIM_HOURS", "nan"),
        ("MODERATION_INSPECT_THREADS", "1000"),
        ("MODERATION_INSPECT_THREADS", "four"),
        ("MODERATION_DETECT_TPS", "-1"),
        ("MODERATION_BULK_CONCURRENT_JOBS", "2.5"),
    ],
)
def test_a_malformed_value_is_an_error_that_names_the_variable(variable, value):
    with pytest.raises(SettingsError, match=variable):
        Settings.from_env({variable: value})


@pytest.mark.parametrize(
    "value",
    [
        "s3cret",
        "mysql://user:s3cret@host/db",
        "duckdb,",
        "duckdb,,folder",
        "duckdb,duckdb",
        "airflow:",
        "postgresql://user:s3 cret@host/db",
        "postgresql://user:s3cret@host/db, x",
    ],
)
def test_a_malformed_list_of_warehouses_is_an_error_that_tells_no_password(value):
    with pytest.raises(SettingsError, match=r"^MODERATION_WAREHOUSES: ") as caught:
        Settings.from_env({"MODERATION_WAREHOUSES": value})
    assert "cret" not in str(caught.value)


def test_passwords_of_warehouses_are_not_in_the_representation():
    settings = Settings.from_env({"MODERATION_WAREHOUSES": "postgresql://user:s3cret@host/db"})
    assert "s3cret" not in repr(settings)
