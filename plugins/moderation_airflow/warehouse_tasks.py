"""Wiring of Redshift, Athena and PostgreSQL connections for DAGs, through the Amazon provider's operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.providers.amazon.aws.operators.redshift_data import RedshiftDataOperator
from airflow.sdk import TaskGroup, chain, task
from airflow.sdk.exceptions import AirflowSkipException

from moderation.policy.thresholds import in_use
from moderation.warehouses import athena
from moderation.warehouses.redshift import MAX_BATCH, RedshiftSql, write_manifests, write_standing_manifests

__all__ = ["RedshiftTarget", "athena_setup", "redshift_load"]


@dataclass(frozen=True, kw_only=True)
class RedshiftTarget:
    """Where a load goes. Either a workgroup (serverless) or a cluster.

    :param schema: schema of the tables.
    :param iam_role: role by which Redshift reads the bucket, an ARN or ``default``.
    :param secret_arn: secret with the login; without it and ``db_user``, the task's own IAM identity.
    """

    database: str
    workgroup_name: str | None = None
    cluster_identifier: str | None = None
    db_user: str | None = None
    secret_arn: str | None = None
    schema: str = "moderation"
    iam_role: str = "default"
    aws_conn_id: str | None = "aws_default"
    region_name: str | None = None

    def __post_init__(self) -> None:
        if bool(self.workgroup_name) == bool(self.cluster_identifier):
            raise ValueError("name either workgroup_name or cluster_identifier")

    @property
    def sql(self) -> RedshiftSql:
        """The builder of its statements."""
        return RedshiftSql(schema=self.schema, iam_role=self.iam_role)

    def login(self) -> dict[str, Any]:
        """Arguments of the Data API that say where and as whom."""
        names = ("database", "workgroup_name", "cluster_identifier", "db_user", "secret_arn")
        return {name: getattr(self, name) for name in names}

    def connection(self) -> dict[str, Any]:
        """Arguments of the provider's operators and hooks."""
        return {"aws_conn_id": self.aws_conn_id, "region_name": self.region_name}


def redshift_load(
    load_id: Any, *, target: RedshiftTarget, group_id: str = "redshift", poll_interval: int = 5
) -> TaskGroup:
    """Tasks that bring a published load into Redshift, and what else it lacks; any may be cleared.

    `setup` makes missing tables, `statements` adds what a later release brought and writes the COPY
    manifests, `merge` runs one transaction. `lacking` brings in, a transaction each, every other published
    load that is not there: one that failed for good, or was published before Redshift was used. `standing`
    replaces what belongs to no load, such as verdicts, in one transaction. The operators are not durable: a
    durable one that is cleared finds its finished statement and sends nothing.
    Two statements at once, after a lost worker, wait for each other and leave the same rows.

    :param load_id: a load's id or a task's output; with None, after a run with nothing new, only what is
        lacking is brought in.
    """
    with TaskGroup(group_id, tooltip="Brings the load into Redshift in one transaction") as group:
        setup = RedshiftDataOperator(
            task_id="setup",
            sql=target.sql.setup(),
            poll_interval=poll_interval,
            durable=False,
            **target.login(),
            **target.connection(),
        )

        @task(task_id="statements")
        def statements(load_id: str | None) -> list[str]:
            if load_id is None:
                raise AirflowSkipException("nothing was published")
            return _statements(load_id, target)

        built = statements(load_id)
        merge = RedshiftDataOperator(
            task_id="merge",
            sql=built,
            poll_interval=poll_interval,
            durable=False,
            **target.login(),
            **target.connection(),
        )

        @task(task_id="lacking", trigger_rule="none_failed")
        def lacking() -> list[str]:
            return _bring_in_lacking(target, poll_interval)

        @task(task_id="standing", trigger_rule="none_failed")
        def standing() -> list[str]:
            return _bring_in_standing(target, poll_interval)

        chain(setup, built, merge, lacking(), standing())
    return group


def _statements(load_id: str, target: RedshiftTarget) -> list[str]:
    # Both open AWS clients when imported, which parsing a DAG file must not pay for.
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook  # noqa: PLC0415

    from moderation.settings import Settings  # noqa: PLC0415

    hook = RedshiftDataHook(**target.connection())
    _widen(hook, target)
    day, copies = write_manifests(Settings.from_env(), load_id)
    return target.sql.load(load_id, day, copies)


def _bring_in_lacking(target: RedshiftTarget, poll_interval: int) -> list[str]:
    """Bring in every published load that Redshift lacks, oldest first; returns their ids."""
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook  # noqa: PLC0415 - as above

    from moderation.settings import Settings  # noqa: PLC0415
    from moderation.tables.published import read_loads  # noqa: PLC0415

    hook = RedshiftDataHook(**target.connection())
    settings = Settings.from_env()
    there = {load_id for (load_id,) in _rows(hook, target, target.sql.held())}
    wanted = [
        load_id for load_id in read_loads(settings).column("load_id").to_pylist() if load_id not in there
    ]
    _widen(hook, target)
    for load_id in wanted:
        day, copies = write_manifests(settings, load_id)
        statements = target.sql.load(load_id, day, copies)
        hook.execute_query(sql=statements, poll_interval=poll_interval, **target.login())
    return wanted


def _bring_in_standing(target: RedshiftTarget, poll_interval: int) -> list[str]:
    """Replace the tables that belong to no load by what is published; returns those that have rows."""
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook  # noqa: PLC0415 - as above

    from moderation.settings import Settings  # noqa: PLC0415

    hook = RedshiftDataHook(**target.connection())
    _widen(hook, target)
    copies = write_standing_manifests(Settings.from_env())
    hook.execute_query(sql=target.sql.load_standing(copies), poll_interval=poll_interval, **target.login())
    return [copy.table for copy in copies]


def _widen(hook: Any, target: RedshiftTarget) -> None:
    """Add what a later release brought to tables and view."""
    known = _known_columns(hook, target)
    missing = target.sql.add_columns(known)
    view = [*target.sql.view(known), *target.sql.in_use(in_use())]
    for batch in (*(missing[start : start + MAX_BATCH] for start in range(0, len(missing), MAX_BATCH)), view):
        if batch:
            hook.execute_query(sql=batch, poll_interval=2, **target.login())


def _known_columns(hook: Any, target: RedshiftTarget) -> Mapping[str, set[str]]:
    """Columns by table as Redshift's catalog has them."""
    known: dict[str, set[str]] = {}
    for table, column in _rows(hook, target, target.sql.known_columns()):
        known.setdefault(table, set()).add(column)
    return known


def _rows(hook: Any, target: RedshiftTarget, sql: str) -> Iterator[list[str]]:
    """The answer to a query whose columns are texts."""
    query = hook.execute_query(sql=sql, poll_interval=2, **target.login())
    page: dict[str, Any] = {"NextToken": ""}
    while "NextToken" in page:
        token = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
        page = hook.conn.get_statement_result(Id=query.statement_id, **token)
        for row in page["Records"]:
            yield [cell["stringValue"] for cell in row]


def athena_setup(
    *,
    output_location: str | None = None,
    workgroup: str = "primary",
    aws_conn_id: str | None = "aws_default",
    region_name: str | None = None,
    group_id: str = "athena",
    poll_interval: int = 5,
) -> TaskGroup:
    """Tasks that make the views in Athena, over the Iceberg tables of the Glue catalog.

    Loads need no task: what is published is there. Run it once, and after a release that adds columns.

    :param output_location: ``s3://…`` for query results; None when the workgroup has one.
    :param poll_interval: seconds between two looks at a statement; the operator's own would be 30.
    """
    common: dict[str, Any] = {
        "database": "default",
        "output_location": output_location,
        "workgroup": workgroup,
        "aws_conn_id": aws_conn_id,
        "region_name": region_name,
        "sleep_time": poll_interval,
    }
    database, *views = athena.views_over_iceberg()
    with TaskGroup(group_id, tooltip="Shows the published tables in Athena") as group:
        chain(
            AthenaOperator(task_id="views_database", query=database, **common),
            AthenaOperator.partial(task_id="views", **common).expand(query=views),
        )
    return group
