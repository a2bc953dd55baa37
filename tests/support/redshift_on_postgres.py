"""Redshift's Data API for tests: checks what is sent against AWS's model, runs it on a real PostgreSQL.

What PostgreSQL does not know of Redshift (dist and sort keys) is taken out by sqlglot's tree; COPY is done as
Redshift documents it for Parquet: by manifest with sizes, columns by position, short files filled, all or
nothing.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from typing import Any

import botocore.session
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from botocore.validate import validate_parameters
from pyarrow import csv
from sqlglot import exp

COPY = re.compile(
    r'COPY (?P<table>"[a-z0-9_]+") FROM \'(?P<uri>s3://[^\']+)\' '
    r"IAM_ROLE (?:DEFAULT|'arn:aws[a-z-]*:iam::\d{12}:role/[^']+') FORMAT AS PARQUET MANIFEST FILLRECORD"
)
"""All that we emit of Redshift's COPY. Columnar COPY takes no other option of ours, MAXERROR least of all."""

LOCK = re.compile(r'LOCK "[^"]+"\."load_lock"')

_FUNCTIONS = {
    "to_varbyte(varchar, varchar)": "SELECT convert_to($1, ''UTF8'')",
    "from_hex(varchar)": "SELECT decode($1, ''hex'')",
    "unhex(varchar)": "SELECT decode($1, ''hex'')",
}
"""What PostgreSQL calls otherwise."""

_ONLY_REDSHIFT = (exp.DistStyleProperty, exp.DistKeyProperty, exp.SortKeyProperty)


class RedshiftOnPostgres:
    """A client with the calls of ``redshift-data`` that the provider's hook makes.

    :param dies_before: a text; the first statement that has it fails instead of running, once.
    """

    def __init__(self, uri: str, s3_client: Any, *, dies_before: str | None = None) -> None:
        self._uri = uri
        self._s3 = s3_client
        self._model = botocore.session.get_session().get_service_model("redshift-data")
        self._statements: dict[str, dict[str, Any]] = {}
        self._results: dict[str, list[Any]] = {}
        self.dies_before = dies_before
        self.batches: list[list[str]] = []
        with psycopg.connect(uri) as connection:
            connection.execute(
                "CREATE OR REPLACE VIEW svv_columns AS SELECT table_schema::text, table_name::text, "
                "column_name::text FROM information_schema.columns"
            )
            for signature, body in _FUNCTIONS.items():
                connection.execute(
                    f"CREATE OR REPLACE FUNCTION {signature} RETURNS bytea LANGUAGE sql IMMUTABLE AS '{body}'"
                )

    def batch_execute_statement(self, **parameters: Any) -> dict[str, Any]:
        shape = self._check("BatchExecuteStatement", parameters)
        assert len(parameters["Sqls"]) <= shape.members["Sqls"].metadata["max"]
        return self._run(parameters["Sqls"])

    def execute_statement(self, **parameters: Any) -> dict[str, Any]:
        self._check("ExecuteStatement", parameters)
        return self._run([parameters["Sql"]])

    def describe_statement(self, *, Id: str) -> dict[str, Any]:
        return self._statements[Id]

    def get_statement_result(self, *, Id: str) -> dict[str, Any]:
        return {"Records": [[{"stringValue": value} for value in row] for row in self._results[Id]]}

    def cancel_statement(self, *, Id: str) -> dict[str, Any]:
        return {"Status": True}

    def _check(self, operation: str, parameters: dict[str, Any]) -> Any:
        shape = self._model.operation_model(operation).input_shape
        validate_parameters(parameters, shape)
        return shape

    def _run(self, statements: list[str]) -> dict[str, Any]:
        number = str(uuid.uuid4())
        self.batches.append(statements)
        described = {"Id": number, "Status": "FINISHED", "HasResultSet": False, "ResultRows": -1}
        try:
            with psycopg.connect(self._uri) as connection:
                for statement in statements:
                    self._one(connection, statement, number)
        except (psycopg.Error, OSError) as error:
            described |= {"Status": "FAILED", "Error": str(error), "QueryString": statement}
        self._statements[number] = described
        return {"Id": number}

    def _one(self, connection: psycopg.Connection[Any], statement: str, number: str) -> None:
        if self.dies_before and self.dies_before in statement:
            self.dies_before = None
            raise OSError("the cluster restarted")
        if found := COPY.fullmatch(statement):
            self._copy(connection, found["table"], found["uri"])
        elif LOCK.fullmatch(statement):
            connection.execute(statement)
        else:
            cursor = connection.execute(in_postgres(statement))
            if cursor.description:
                self._results[number] = cursor.fetchall()

    def _copy(self, connection: psycopg.Connection[Any], table: str, manifest_uri: str) -> None:
        columns = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []
        for entry in json.loads(self._get(manifest_uri))["entries"]:
            assert entry["mandatory"] is True
            body = self._get(entry["url"])
            assert len(body) == entry["meta"]["content_length"]
            rows = pq.read_table(io.BytesIO(body))
            assert rows.num_columns <= len(columns)
            for column in columns[rows.num_columns :]:
                rows = rows.append_column(column.name, pa.nulls(rows.num_rows))
            assert rows.schema.names == [column.name for column in columns], "columns by position"
            text = io.BytesIO()
            csv.write_csv(rows, text, csv.WriteOptions(include_header=False))
            with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as target:
                target.write(text.getvalue())

    def _get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def in_postgres(statement: str) -> str:
    """Redshift's statement without what only Redshift has."""
    tree = sqlglot.parse_one(statement, read="redshift")
    assert not list(tree.find_all(exp.Command))
    for kind in _ONLY_REDSHIFT:
        for found in list(tree.find_all(kind)):
            found.pop()
    return tree.sql("postgres")
