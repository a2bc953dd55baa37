"""The variables of a process and its machine: read deep below, each time they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.variables import values
from moderation.variables.roles import ROLES, RoleOf
from moderation.variables.row import ALL, WORK, Reader, setting
from moderation.variables.table import Table


@dataclass(frozen=True, kw_only=True)
class MachineSettings(Table):
    """What holds for a process and its machine, whatever a run's settings are."""

    spool_dir: Path | None = setting(
        "MODERATION_SPOOL_DIR",
        value=values.PATH,
        told="a private folder of the temporary one",
        meaning="Where answers of single calls wait to be copied to S3; see [On AWS](aws.md#the-image).",
        read_by=(Reader.TASK,),
    )
    duckdb_memory: str = setting(
        "MODERATION_DUCKDB_MEMORY",
        value=values.MEMORY,
        default="192MB",
        meaning="What DuckDB may take in loads and reports; 2GB is faster over tens of millions of images.",
        read_by=WORK,
    )
    console_memory: str = setting(
        "MODERATION_CONSOLE_MEMORY",
        value=values.MEMORY,
        default="64MB",
        meaning="What DuckDB may take in the console for an index or a queue; other looks get three times.",
        read_by=(Reader.WEB, Reader.CLI),
    )
    native: bool = setting(
        "MODERATION_NATIVE",
        value=values.FLAG,
        default=True,
        told="`1`",
        meaning="0: flatten in Python: the same tables, several times slower. Decided once a process.",
        read_by=WORK,
    )
    transcode: bool = setting(
        "MODERATION_TRANSCODE",
        value=values.FLAG,
        default=False,
        told="`0`",
        meaning="1: WebP, GIF, TIFF, BMP, AVIF and HEIC go as JPEG ([how](operations.md#what-is-an-image)).",
        read_by=WORK,
    )
    s3_endpoint: str | None = setting(
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        value=values.ENDPOINT,
        told="AWS",
        meaning="Another S3 than AWS's, whose buckets are addressed by path.",
        read_by=ALL,
    )
    glue_endpoint: str | None = setting(
        "AWS_ENDPOINT_URL_GLUE",
        value=values.ENDPOINT,
        told="AWS",
        meaning="Another Glue than AWS's.",
        read_by=WORK,
    )
    aws_max_attempts: int | None = setting(
        "AWS_MAX_ATTEMPTS",
        value=values.whole(at_most=1_000),
        told="`5`",
        unit="tries",
        meaning="How often boto3, which reads it, tries a call to S3 or, of a command, to Rekognition.",
        read_by=ALL,
    )
    aws_retry_mode: str | None = setting(
        "AWS_RETRY_MODE",
        value=values.one_of("legacy", "standard", "adaptive"),
        told="`standard`",
        meaning="How boto3, which reads it, repeats these calls.",
        read_by=ALL,
    )
    columns: int | None = setting(
        "COLUMNS",
        value=values.COLUMNS,
        told="the terminal's",
        unit="characters",
        meaning="Width of the tables that `moderation query` prints on a terminal.",
        read_by=(Reader.CLI,),
    )
    compiler: str | None = setting(
        "CXX",
        value=values.TEXT,
        told="the first of `c++`, `g++`, `clang++`",
        meaning="The C++ compiler that builds the fast parser.",
        read_by=WORK,
    )
    cache_dir: Path | None = setting(
        "XDG_CACHE_HOME",
        value=values.PATH,
        told="`~/.cache`",
        meaning="Where the fast parser is kept when the installation is read-only.",
        read_by=WORK,
    )
    thresholds: Path | None = setting(
        "MODERATION_THRESHOLDS",
        value=values.PATH,
        told="what each job was asked",
        meaning="TOML file of the thresholds in use; see [The console](console.md#thresholds).",
        read_by=ALL,
    )
    roles: tuple[RoleOf, ...] = setting(
        "MODERATION_ROLES",
        value=ROLES,
        default=(),
        told="the process's own credentials everywhere",
        meaning="Roles for buckets, Glue and tables of S3 Metadata; "
        "see [A role for each part](aws.md#a-role-for-each-part).",
        read_by=ALL,
    )
    several_hosts: bool | None = setting(
        "MODERATION_SEVERAL_HOSTS",
        value=values.FLAG,
        told="as Airflow's executor says",
        meaning="1: a file of one machine is refused; see [Deploying](deploying.md#no-shared-disk).",
        read_by=ALL,
    )

    def aws_retries(self) -> dict[str, Any] | None:
        """How botocore's ``Config`` has a call repeated: as AWS's own variables say, else five tries."""
        chosen = self.aws_max_attempts or self.aws_retry_mode
        return None if chosen else {"max_attempts": 5, "mode": "standard"}
