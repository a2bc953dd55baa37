from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import MISSING, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import local_aws.variables
from moderation import settings
from moderation.reference.prices import PriceTier
from moderation.settings import DagSettings, Settings
from moderation.variables.machine import MachineSettings
from moderation.variables.names import NamePatterns
from moderation.variables.roles import RoleOf
from moderation.variables.row import Setting, rows
from moderation.variables.table import SettingsError
from support.airflow_home import REPOSITORY

EXAMPLES: dict[str, tuple[str, Any]] = {
    "MODERATION_MANIFEST_IMAGES": ("500", 500),
    "AWS_REGION": ("eu-west-1", "eu-west-1"),
    "AWS_DEFAULT_REGION": ("eu-central-1", "eu-central-1"),
    "MODERATION_ROLES": (
        "s3://images=arn:aws:iam::111122223333:role/reads",
        (RoleOf("images", "arn:aws:iam::111122223333:role/reads"),),
    ),
    "MODERATION_WORK_URI": ("s3://work/area/", "s3://work/area"),
    "MODERATION_INPUT_URI": ("s3://inbox", "s3://inbox"),
    "MODERATION_TABLES_URI": ("/data/tables/", "/data/tables"),
    "MODERATION_CATALOG_URI": ("glue", "glue"),
    "MODERATION_WAREHOUSE": ("/data/w.duckdb", Path("/data/w.duckdb")),
    "MODERATION_PARQUET_DIR": ("/data/mirror", Path("/data/mirror")),
    "MODERATION_WAREHOUSES": (
        "folder, postgresql://u:p,w@one,two:5432/db , airflow:pg.main,duckdb",
        ("folder", "postgresql://u:p,w@one,two:5432/db", "airflow:pg.main", "duckdb"),
    ),
    "MODERATION_REPORT_DIR": ("/data/pages", Path("/data/pages")),
    "MODERATION_COMMAND": (".venv/bin/moderation", ".venv/bin/moderation"),
    "MODERATION_REDO_COMMAND": ("redo {load_id} {permanent}", "redo {load_id} {permanent}"),
    "MODERATION_MODEL": ("offline-1.0", "offline-1.0"),
    "MODERATION_MIN_CONFIDENCE": ("5", 5.0),
    "MODERATION_PRICE_TIERS": (
        "[[10, 0.5], [null, 0.25]]",
        (PriceTier(10, Decimal("0.5")), PriceTier(None, Decimal("0.25"))),
    ),
    "MODERATION_ADAPTER_PRICE_TIERS": ("[[null, 0.25]]", (PriceTier(None, Decimal("0.25")),)),
    "MODERATION_ADAPTER_MIN_FALSE_POSITIVES": ("7", 7),
    "MODERATION_ADAPTER_MIN_FALSE_NEGATIVES": ("8", 8),
    "MODERATION_ADAPTER_MINIMUM": ("both", "both"),
    "MODERATION_ADAPTER_ANCESTORS": ("0", False),
    "MODERATION_ADAPTER_NEGATIVES_PER_POSITIVE": ("1.5", 1.5),
    "MODERATION_ADAPTER_NEAR_BITS": ("31", 31),
    "MODERATION_ADAPTER_TEST_POSITIVES": ("30", 30),
    "MODERATION_ADAPTER_TEST_NEGATIVES": ("300", 300),
    "MODERATION_ADAPTER_COPY_DAYS": ("7", 7.0),
    "MODERATION_ADAPTER_UNSHOWN": ("ask", "ask"),
    "MODERATION_ADAPTER_CONFIDENCE": ("99", 99.0),
    "MODERATION_ADAPTER_REMIND_AFTER": ("50", 50),
    "MODERATION_ADAPTER_WHEN_EXPIRED": ("base", "base"),
    "MODERATION_ADAPTER_SAMPLE": ("0", 0),
    "MODERATION_ADAPTER_SAMPLE_VERDICTS": ("40", 40),
    "MODERATION_ADAPTER_TRAINING_USD_PER_HOUR": ("4", 4.0),
    "MODERATION_ADAPTER_TRAINING_HOURS": ("2.5", 2.5),
    "MODERATION_ADAPTER_WAIT_HOURS": ("0.5", 0.5),
    "MODERATION_CLAIM_HOURS": ("1.5", 1.5),
    "MODERATION_SHARE_ANSWERS": ("0", False),
    "MODERATION_INSPECT_THREADS": ("4", 4),
    "MODERATION_NO_IMAGE_NAMES": ("*.Txt, cover.*", NamePatterns(("*.txt", "cover.*"))),
    "MODERATION_DETECT_TPS": ("2.5", 2.5),
    "MODERATION_BULK_CONCURRENT_JOBS": ("7", 7),
    "MODERATION_BULK_JOB_IMAGES_PER_SECOND": ("20", 20.0),
    "MODERATION_SOURCE": ("s3://archive/{ds}", "s3://archive/{ds}"),
    "MODERATION_BACKEND": ("detect", "detect"),
    "MODERATION_POLL_SECONDS": ("0.05", 0.05),
    "MODERATION_APPROVAL_HOURS": ("48", 48.0),
    "MODERATION_JOB_POOL": ("rekognition jobs", "rekognition jobs"),
    "MODERATION_DEADLINE_HOURS": ("1.5", 1.5),
    "MODERATION_SNS_TOPIC_ARN": (
        "arn:aws-cn:sns:cn-north-1:123456789012:t",
        "arn:aws-cn:sns:cn-north-1:123456789012:t",
    ),
    "MODERATION_ALERT_EMAIL": ("a@example.com, b@example.com,", ("a@example.com", "b@example.com")),
    "MODERATION_ALERT_FROM": ("Moderation <a@example.com>", "Moderation <a@example.com>"),
    "MODERATION_SEVERAL_HOSTS": ("0", False),
    "MODERATION_SPOOL_DIR": ("/data/spool", Path("/data/spool")),
    "MODERATION_DUCKDB_MEMORY": ("1.5 gib", "1.5 gib"),
    "MODERATION_CONSOLE_MEMORY": ("96MB", "96MB"),
    "MODERATION_NATIVE": ("0", False),
    "MODERATION_TRANSCODE": ("1", True),
    "AWS_ENDPOINT_URL_S3": ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
    "AWS_ENDPOINT_URL": ("https://aws.example.com/all", "https://aws.example.com/all"),
    "AWS_ENDPOINT_URL_GLUE": ("http://glue", "http://glue"),
    "AWS_MAX_ATTEMPTS": ("3", 3),
    "AWS_RETRY_MODE": ("adaptive", "adaptive"),
    "COLUMNS": ("120", 120),
    "MODERATION_CONSOLE_CACHE": ("/data/console", Path("/data/console")),
    "MODERATION_CONSOLE_CACHE_GB": ("1.5", 1.5),
    "MODERATION_CONSOLE_PREFIX": ("/below/it", "/below/it"),
    "MODERATION_REVIEW_DB": ("postgresql://me:s@db/review", "postgresql://me:s@db/review"),
    "MODERATION_REVIEW_DAILY_CAP": ("500", 500),
    "MODERATION_REVIEW_UNFLAGGED_PERCENT": ("0.5", 0.5),
    "MODERATION_THRESHOLDS": ("/etc/thresholds.toml", Path("/etc/thresholds.toml")),
    "MODERATION_POLICY": ("/etc/policy.toml", Path("/etc/policy.toml")),
    "CXX": ("clang++-18", "clang++-18"),
    "XDG_CACHE_HOME": ("/data/cache", Path("/data/cache")),
}
READ = [
    (read_into, name, field)
    for read_into in settings.TABLES
    for field, variable in rows(read_into).items()
    for name in variable.names
]
NUMBERS = [(read_into, name) for read_into, name, _ in READ if type(EXAMPLES[name][1]) in (int, float)]
NO_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "-0.0",
    "1e9",
    "1e300",
    "1e999",
    "9" * 5000,
    "1_0",
    "٣",
    "four",
)
SECRETS = ("MODERATION_CATALOG_URI", "MODERATION_REVIEW_DB", "MODERATION_WAREHOUSES")


def row_of(name: str) -> Setting:
    return next(
        variable
        for read_into in settings.TABLES
        for variable in rows(read_into).values()
        if name in variable.names
    )


def test_an_empty_environment_gives_the_embedded_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    found = Settings.from_env({})

    assert found.region == "us-east-1"
    assert found.catalog_uri == f"sqlite:///{tmp_path}/var/catalog.db"
    assert found.warehouse_path == Path("var/warehouse.duckdb")
    assert found.parquet_mirror is None
    assert (found.model_version, found.claim_hours) == ("7.0", 24.0)


@pytest.mark.parametrize(("read_into", "name", "field"), READ)
def test_every_setting_is_read_from_its_variable(read_into, name, field):
    text, value = EXAMPLES[name]
    assert getattr(read_into.from_env({name: f" {text}\n"}), field) == value
    assert getattr(read_into.from_env({}), field) != value


@pytest.mark.parametrize(
    ("first", "second", "field", "read_into"),
    [
        ("AWS_REGION", "AWS_DEFAULT_REGION", "region", Settings),
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "s3_endpoint", MachineSettings),
    ],
)
def test_of_two_variables_for_one_setting_the_first_that_is_not_empty_counts(first, second, field, read_into):
    both = {first: EXAMPLES[first][0], second: EXAMPLES[second][0]}
    assert getattr(read_into.from_env(both), field) == EXAMPLES[first][1]
    assert getattr(read_into.from_env({**both, first: " "}), field) == EXAMPLES[second][1]


@pytest.mark.parametrize("nothing", ["", " ", "\t \n"])
@pytest.mark.parametrize(("read_into", "name", "field"), READ)
def test_a_variable_that_is_empty_or_white_space_is_as_if_it_were_unset(read_into, name, field, nothing):
    assert read_into.from_env({name: nothing}) == read_into.from_env({})


@pytest.mark.parametrize(
    ("read_into", "name", "value"),
    [
        (read_into, name, value)
        for read_into, name in NUMBERS
        for value in NO_NUMBERS
        if name != "COLUMNS" and (name, value) != ("MODERATION_ADAPTER_SAMPLE", "0")  # 0: none is drawn
    ],
)
def test_what_is_no_sensible_number_is_refused_with_the_variable_and_what_it_takes(read_into, name, value):
    with pytest.raises(SettingsError, match=rf"^{name}='.*'?: expected a (whole )?number") as caught:
        read_into.from_env({name: value})
    assert row_of(name).takes in str(caught.value)


@pytest.mark.parametrize("value", ["0", "-1", "wide", "²", "9" * 5000])
def test_a_width_that_a_shell_got_wrong_stops_nobody(value):
    assert MachineSettings.from_env({"COLUMNS": value}).columns is None


@pytest.mark.parametrize(
    ("read_into", "variable", "value"),
    [
        (Settings, "AWS_REGION", "eu west"),
        (Settings, "MODERATION_WORK_URI", "work"),
        (Settings, "MODERATION_WORK_URI", "s3://"),
        (Settings, "MODERATION_WORK_URI", "s3://bucket/with space"),
        (Settings, "MODERATION_WORK_URI", "s3://bucket/" + "x" * 400),
        (Settings, "MODERATION_TABLES_URI", "gs://bucket"),
        (Settings, "MODERATION_CATALOG_URI", "catalog.db"),
        (Settings, "MODERATION_MODEL", "latest"),
        (Settings, "MODERATION_REDO_COMMAND", "make run"),
        (Settings, "MODERATION_COMMAND", "moderation\nrm"),
        (Settings, "MODERATION_PRICE_TIERS", "0.001"),
        (Settings, "MODERATION_PRICE_TIERS", "[[10, 0.5]]"),
        (Settings, "MODERATION_PRICE_TIERS", "[[10, 0.5], [5, 0.4], [null, 0.1]]"),
        (Settings, "MODERATION_PRICE_TIERS", "[[null, -1]]"),
        (Settings, "MODERATION_PRICE_TIERS", '[[null, "NaN"]]'),
        (Settings, "MODERATION_INSPECT_THREADS", "1000"),
        (Settings, "MODERATION_BULK_CONCURRENT_JOBS", "2.5"),
        (Settings, "MODERATION_NO_IMAGE_NAMES", "archive/*.txt"),
        (DagSettings, "MODERATION_BACKEND", "Bulk"),
        (DagSettings, "MODERATION_SNS_TOPIC_ARN", "moderation"),
        (DagSettings, "MODERATION_ALERT_EMAIL", "a@example.com, ops"),
        (DagSettings, "MODERATION_ALERT_EMAIL", ","),
        (DagSettings, "MODERATION_ALERT_FROM", "a@example.com, b@example.com"),
        (MachineSettings, "MODERATION_NATIVE", "no"),
        (MachineSettings, "MODERATION_DUCKDB_MEMORY", "2"),
        (MachineSettings, "MODERATION_DUCKDB_MEMORY", "1MB"),
        (MachineSettings, "MODERATION_DUCKDB_MEMORY", "2'; SELECT 1; --"),
        (MachineSettings, "AWS_ENDPOINT_URL", "127.0.0.1:8333"),
        (MachineSettings, "AWS_RETRY_MODE", "never"),
    ],
)
def test_a_malformed_value_is_an_error_that_names_the_variable(read_into, variable, value):
    with pytest.raises(SettingsError, match=rf"^{variable}.*: "):
        read_into.from_env({variable: value})


def test_one_error_tells_all_values_that_are_wrong():
    with pytest.raises(SettingsError) as caught:
        DagSettings.from_env({"MODERATION_BACKEND": "fast", "MODERATION_POLL_SECONDS": "soon"})
    assert str(caught.value) == (
        "MODERATION_BACKEND='fast': expected auto, bulk or detect; "
        "MODERATION_POLL_SECONDS='soon': expected a number above 0, at most 86,400"
    )


def test_a_long_value_does_not_hide_what_is_expected():
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"MODERATION_MODEL": "x" * 100_000})
    assert len(str(caught.value)) < 200


def test_a_bad_value_that_is_used_deep_below_is_refused_where_work_begins():
    with pytest.raises(SettingsError, match="MODERATION_DUCKDB_MEMORY"):
        Settings.from_env({"MODERATION_DUCKDB_MEMORY": "much"})


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


def test_what_may_hold_a_password_is_neither_in_the_representation_nor_in_an_error():
    assert {name for name in settings.known() if row_of(name).secret} == set(SECRETS)
    uri = "postgresql://user:s3cret@host/db"
    assert "s3cret" not in repr(Settings.from_env(dict.fromkeys(SECRETS, uri)))
    with pytest.raises(SettingsError, match=r"^MODERATION_CATALOG_URI: ") as caught:
        Settings.from_env({"MODERATION_CATALOG_URI": "user:s3cret@host"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MODERATION_WORKURI", "did you mean MODERATION_WORK_URI?"),
        ("MODERATION_deadline_hour", "did you mean MODERATION_DEADLINE_HOURS?"),
        ("MODERATION_QQQQQQQQQQQQ", "docs/settings.md lists them."),
    ],
)
def test_a_misspelt_variable_is_told_once_with_the_name_that_is_meant(name, hint, caplog):
    for _ in range(2):
        Settings.from_env({name: "1", "MODERATE": "1", "MODERATION_WORK_URI": "s3://work"})
    assert caplog.messages == [f"{name} is set, and there is no such setting: {hint}"]
    assert caplog.records[0].levelno == logging.WARNING


def test_reading_a_dag_file_says_nothing_of_a_misspelt_variable(caplog):
    DagSettings.from_env({"MODERATION_SOURSE": "s3://archive"})
    assert caplog.messages == []


def test_a_person_at_the_command_line_sees_a_misspelt_variable_and_the_answer():
    done = subprocess.run(
        [sys.executable, "-m", "moderation.cli", "query", "--sql", "cooccurring_labels"],
        env={
            "PYTHONPATH": str(REPOSITORY / "include"),
            "MODERATION_WAREHOUS": "w.duckdb",
            "AWS_PROFILE": "p",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == (
        "MODERATION_WAREHOUS is set, and there is no such setting: did you mean MODERATION_WAREHOUSE?\n"
    )
    assert "SELECT" in done.stdout


def test_the_committed_page_of_settings_is_the_generated_one():
    generated = f"{settings.markdown()}\n{local_aws.variables.markdown()}"
    assert (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8") == generated, "run: make docs"


@pytest.mark.parametrize("read_into", settings.TABLES)
def test_a_default_that_the_page_shows_as_a_value_is_the_one_that_holds(read_into):
    shown = 0
    for field in fields(read_into):
        variable = rows(read_into)[field.name]
        text = variable.default.strip("`")
        if field.default not in (None, (), "", MISSING) and variable.default == f"`{text}`":
            assert variable.parse(text) == field.default
            shown += 1
    assert shown
