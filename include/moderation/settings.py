"""The one table of environment variables: where things are and what the rules are.

A field of a dataclass below is a row: the variable, what it takes, its default, unit and meaning, and which
processes go by it. Nothing else in the package, the plugins or the Dags reads the environment, and a test
holds it so. ``python -m moderation.settings`` prints the rows as ``docs/settings.md``.

Three dataclasses, because they are read at three times: :class:`DagSettings` while a Dag file is parsed,
:class:`Settings` where work begins, :class:`MachineSettings` deep below, each time it is asked for. That is
how botocore reads the variables that it shares with us, it costs microseconds, and so a test sets a variable
with ``monkeypatch.setenv`` and is done. An empty value, or one of white space, counts as unset.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moderation.reference import limits, prices
from moderation.reference.prices import PriceTier
from moderation.variables import misspelt, names, page, values
from moderation.variables.adapters import AdapterSettings
from moderation.variables.machine import MachineSettings
from moderation.variables.row import ALL, WORK, Reader, Value, rows, setting
from moderation.variables.table import Table

_PREFIX = "MODERATION_"
_YEAR_HOURS = 8_784.0

_TIERS = Value(takes="JSON such as `[[1000000, 0.001], [null, 0.0008]]`", parse=prices.parse_tiers)


@dataclass(frozen=True, kw_only=True)
class Settings(Table):
    """All settings of the pipeline; each field says what it is."""

    region: str = setting(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        value=values.REGION,
        default="us-east-1",
        meaning="AWS region of buckets and Rekognition. In Airflow, Rekognition's is that of `aws_default`.",
        read_by=ALL,
    )
    work_uri: str = setting(
        "MODERATION_WORK_URI",
        value=values.S3_URI,
        default="s3://moderation-work",
        meaning="Where plans, manifests, raw answers, locks and report pages are.",
        read_by=ALL,
    )
    input_uri: str = setting(
        "MODERATION_INPUT_URI",
        value=values.S3_URI,
        default="s3://moderation-input",
        meaning="Where local folders are uploaded.",
        read_by=WORK,
    )
    tables_uri: str = setting(
        "MODERATION_TABLES_URI",
        value=values.TABLES_URI,
        default="s3://moderation-tables",
        meaning="Where the Parquet tables are.",
        read_by=WORK,
    )
    catalog_uri: str = setting(
        "MODERATION_CATALOG_URI",
        value=values.CATALOG_URI,
        default_factory=values.default_catalog_uri,
        told="`sqlite:///…/var/catalog.db` in the working directory",
        meaning="The Iceberg catalog of the tables.",
        read_by=WORK,
        secret=True,
    )
    warehouse_path: Path = setting(
        "MODERATION_WAREHOUSE",
        value=values.PATH,
        default=Path("var/warehouse.duckdb"),
        meaning="The DuckDB file.",
        read_by=WORK,
    )
    parquet_mirror: Path | None = setting(
        "MODERATION_PARQUET_DIR",
        value=values.PATH,
        told="no copy",
        meaning="Folder that gets a local copy of published Parquet files, one a load and table.",
        read_by=(Reader.TASK,),
    )
    warehouses: tuple[str, ...] = setting(
        "MODERATION_WAREHOUSES",
        value=values.WAREHOUSES,
        default=(),
        told="`duckdb`, and `folder` when there is one",
        meaning="What the task *load* brings each load into; see [On AWS](aws.md#warehouses).",
        read_by=(Reader.TASK,),
        secret=True,
    )
    report_dir: Path | None = setting(
        "MODERATION_REPORT_DIR",
        value=values.PATH,
        told="in `MODERATION_WORK_URI` only",
        meaning="Folder of this machine that gets the report pages too.",
        read_by=WORK,
    )
    command: str = setting(
        "MODERATION_COMMAND",
        value=values.TEXT,
        default="moderation",
        meaning="How a person calls the `moderation` command, for texts to paste.",
        read_by=WORK,
    )
    redo_command: str | None = setting(
        "MODERATION_REDO_COMMAND",
        value=values.REDO_COMMAND,
        told="`airflow dags trigger …`",
        meaning="How a person starts the redo of a load, for texts to paste; `{permanent}` becomes 1 or 0.",
        read_by=(Reader.CLI,),
    )
    model_version: str = setting(
        "MODERATION_MODEL",
        value=values.MODEL,
        default="7.0",
        meaning="The least model whose answers count as moderated.",
        read_by=WORK,
    )
    min_confidence: float = setting(
        "MODERATION_MIN_CONFIDENCE",
        value=values.number(at_most=100),
        default=50.0,
        unit="percent",
        meaning="MinConfidence of a run that names none; another one makes nothing be paid for again.",
        read_by=WORK,
    )
    price_tiers: tuple[PriceTier, ...] = setting(
        "MODERATION_PRICE_TIERS",
        value=_TIERS,
        default=prices.DEFAULT_TIERS,
        told="AWS's published example",
        unit="USD an image",
        meaning="Price list of the base model: images a month up to which a price holds, and the price.",
        read_by=WORK,
    )
    adapter_price_tiers: tuple[PriceTier, ...] = setting(
        "MODERATION_ADAPTER_PRICE_TIERS",
        value=_TIERS,
        default=prices.DEFAULT_ADAPTER_TIERS,
        told="AWS's published example",
        unit="USD an image",
        meaning="Price list for answers of an adapter.",
        read_by=WORK,
    )
    claim_hours: float = setting(
        "MODERATION_CLAIM_HOURS",
        value=values.number(at_most=_YEAR_HOURS),
        default=24.0,
        unit="hours",
        meaning="How long an unfinished plan keeps its images from other runs when nobody works on it.",
        read_by=WORK,
    )
    share_answers: bool = setting(
        "MODERATION_SHARE_ANSWERS",
        value=values.FLAG,
        default=True,
        told="`1`",
        meaning="Whether images of the same content are paid for once; see [Copies](operations.md#copies).",
        read_by=WORK,
    )
    inspect_threads: int = setting(
        "MODERATION_INSPECT_THREADS",
        value=values.whole(at_most=256),
        default=16,
        unit="threads",
        meaning="Image headers read, and folders listed, at once while planning.",
        read_by=WORK,
    )
    manifest_images: int = setting(
        "MODERATION_MANIFEST_IMAGES",
        value=values.whole(at_most=limits.MANIFEST_MAX_LINES),
        default=limits.MANIFEST_MAX_LINES,
        unit="images",
        meaning="Images of a manifest at most: smaller jobs fill more slots, and are more tasks.",
        read_by=WORK,
    )
    no_image_names: names.NamePatterns = setting(
        "MODERATION_NO_IMAGE_NAMES",
        value=values.NAMES,
        default=names.OTHER_FILES,
        meaning="Names of what is no image, as far as names tell: [rules](operations.md#what-is-an-image).",
        read_by=WORK,
    )
    detect_tps: float | None = setting(
        "MODERATION_DETECT_TPS",
        value=values.number(at_most=100_000),
        told="what Service Quotas says (asked once an hour), else 50 or 5 by region",
        unit="calls a second",
        meaning="Rate of DetectModerationLabels, the same for all tasks of account and region.",
        read_by=WORK,
    )
    bulk_concurrent_jobs: int | None = setting(
        "MODERATION_BULK_CONCURRENT_JOBS",
        value=values.whole(at_most=100_000),
        told="the region's published quota",
        unit="jobs",
        meaning="Bulk jobs of the account at once, for expected times.",
        read_by=WORK,
    )
    bulk_job_images_per_second: float = setting(
        "MODERATION_BULK_JOB_IMAGES_PER_SECOND",
        value=values.number(at_most=1_000_000),
        default=10.0,
        unit="images a second",
        meaning="Assumed speed of one bulk job, for expected times: AWS publishes none.",
        read_by=WORK,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings, and say in the log which variables look like settings and are none.

        Those of :class:`MachineSettings` are looked at too: a bad value stops a run before it has paid for
        something, not when at last it is used.

        :raises SettingsError: values are malformed.
        """
        misspelt.warn(environ, known=known(), prefix=_PREFIX)
        MachineSettings.from_env(environ)
        return super().from_env(environ)


@dataclass(frozen=True, kw_only=True)
class DagSettings(Table):
    """What a Dag file goes by while it is parsed, and who is told of its runs."""

    source: str = setting(
        "MODERATION_SOURCE",
        value=values.SOURCE,
        default="",
        told="none: no nightly run",
        meaning="What is moderated each night; `{ds}` in it is the run's date. `make run` has no schedule.",
        read_by=(Reader.DAG, Reader.STACK),
    )
    backend: str = setting(
        "MODERATION_BACKEND",
        value=values.one_of("auto", "bulk", "detect"),
        default="auto",
        meaning="Default of the param **backend**.",
        read_by=(Reader.DAG,),
    )
    poll_seconds: float = setting(
        "MODERATION_POLL_SECONDS",
        value=values.number(at_most=86_400),
        default=30.0,
        unit="seconds",
        meaning="How long to wait between two looks at a bulk job.",
        read_by=(Reader.DAG,),
    )
    approval_hours: float = setting(
        "MODERATION_APPROVAL_HOURS",
        value=values.number(at_most=_YEAR_HOURS),
        default=24.0,
        unit="hours",
        meaning="How long a person may take to approve a price; nobody answering means no.",
        read_by=(Reader.DAG,),
    )
    job_pool: str = setting(
        "MODERATION_JOB_POOL",
        value=values.TEXT,
        default="default_pool",
        meaning="Airflow pool of bulk jobs, *include deferred* on; [its slots](deploying.md#sizing).",
        read_by=(Reader.DAG,),
    )
    deadline_hours: float = setting(
        "MODERATION_DEADLINE_HOURS",
        value=values.number(at_most=_YEAR_HOURS),
        default=6.0,
        unit="hours",
        meaning="When a nightly run is late.",
        read_by=(Reader.DAG,),
    )
    sns_topic: str | None = setting(
        "MODERATION_SNS_TOPIC_ARN",
        value=values.TOPIC,
        told="nobody is told",
        meaning="Topic that is told of runs that failed, are late, or wait for an approval.",
        read_by=(Reader.DAG, Reader.TASK),
    )
    alert_email: tuple[str, ...] = setting(
        "MODERATION_ALERT_EMAIL",
        value=values.ADDRESSES,
        default=(),
        told="nobody is told",
        meaning="Addresses that are told of the same, by the connection `smtp_default`.",
        read_by=(Reader.DAG, Reader.TASK),
    )
    alert_from: str | None = setting(
        "MODERATION_ALERT_FROM",
        value=values.ADDRESS,
        told="the first of them",
        meaning="Sender of these mails.",
        read_by=(Reader.DAG, Reader.TASK),
    )


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings(Table):
    """What the console goes by."""

    cache_dir: Path | None = setting(
        "MODERATION_CONSOLE_CACHE",
        value=values.PATH,
        told="below `~/.cache`",
        meaning="Where the console keeps small images and what it looks up often.",
        read_by=(Reader.WEB, Reader.CLI),
    )
    cache_gb: float = setting(
        "MODERATION_CONSOLE_CACHE_GB",
        value=values.number(at_most=100_000),
        default=2.0,
        unit="GB",
        meaning="What it keeps there at most.",
        read_by=(Reader.WEB, Reader.CLI),
    )
    prefix: str = setting(
        "MODERATION_CONSOLE_PREFIX",
        value=values.PREFIX,
        default="",
        told="none",
        meaning="Path below which a proxy serves `moderation console`, whether it strips it or not.",
        read_by=(Reader.CLI,),
    )
    policy: Path | None = setting(
        "MODERATION_POLICY",
        value=values.PATH,
        told="none",
        meaning="TOML file of the policy that the console shows; see [Analyst's guide](analyst.md).",
        read_by=(Reader.WEB, Reader.CLI),
    )


@dataclass(frozen=True, kw_only=True)
class ReviewSettings(Table):
    """What verdicts and queues go by."""

    database: str = setting(
        "MODERATION_REVIEW_DB",
        value=values.REVIEW_DB,
        default="var/review.db",
        meaning="The database of verdicts and queues: a SQLite file, or PostgreSQL for several machines.",
        read_by=WORK,
        secret=True,
    )
    daily_cap: int | None = setting(
        "MODERATION_REVIEW_DAILY_CAP",
        value=values.whole(at_most=1_000_000),
        told="none",
        unit="images a day",
        meaning="After how many images a person is offered a break, where the queue says nothing else.",
        read_by=(Reader.WEB, Reader.CLI),
    )
    unflagged_percent: float = setting(
        "MODERATION_REVIEW_UNFLAGGED_PERCENT",
        value=values.number(at_most=100),
        default=1.0,
        unit="%",
        meaning="Share of the unflagged images of each publish that are drawn for people to look at.",
        read_by=(Reader.TASK, Reader.CLI),
    )


TABLES = {
    ReviewSettings: ("Verdicts", "Read by the web server, by tasks that publish, and by `moderation`."),
    ConsoleSettings: ("The console", "Read by the web server, or by `moderation console`."),
    Settings: ("The pipeline", "Read by each task, the web server, `moderation` and a notebook."),
    DagSettings: ("The nightly run", "Read whenever Airflow parses the Dag file."),
    AdapterSettings: ("Adapters", "Read by `moderation adapter` and the Dag *Train adapter*."),
    MachineSettings: ("The machine", "May differ from worker to worker."),
}


def surroundings() -> MutableMapping[str, str]:
    """The whole environment of this process, for what looks at it as a whole; no variable is read so."""
    return os.environ


def known() -> set[str]:
    """The names of all variables."""
    return {name for table in TABLES for variable in rows(table).values() for name in variable.names}


def markdown() -> str:
    """``docs/settings.md`` but for the local stack, ending with a line break."""
    return page.page(*(page.section(*told, rows(table).values()) for table, told in TABLES.items()))


if __name__ == "__main__":
    sys.stdout.write(markdown())
