"""What must be true once all runs are over, however they were disturbed; nothing here asks the pipeline."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from pyiceberg.catalog import load_catalog

from cluster.hosts import Host
from cluster.images import Images, digest, fact
from cluster.servers import TABLES, WORK, Servers, s3_client
from cluster.watching import Watch
from support import rekognition_server as offline

_LEVELS = (1, 2, 3)
_LABELS = "SELECT source_ref, name, level, confidence FROM moderation.labels"
_STATE = (".db", ".duckdb", ".sqlite", ".parquet", ".jsonl")
"""Ends of files that hold state: on a host's disk they would be lost with it."""


class Found:
    """The tables as Iceberg's own library reads them by the catalog in PostgreSQL."""

    def __init__(self, servers: Servers) -> None:
        uri = servers.database("moderation", "catalog").replace("postgresql://", "postgresql+psycopg://")
        self._catalog = load_catalog(
            "moderation",
            type="sql",
            uri=uri,
            warehouse=f"s3://{TABLES}",
            **{
                "s3.endpoint": servers.s3.endpoint_url,
                "s3.access-key-id": servers.key.access_key,
                "s3.secret-access-key": servers.key.secret_key,
                "s3.region": "us-east-1",
            },
        )

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        found: list[dict[str, Any]] = (
            self._catalog.load_table(("moderation", table)).scan().to_arrow().to_pylist()
        )
        return found

    def close(self) -> None:
        """Give its connections back."""
        self._catalog.close()


def paid(servers: Servers) -> Counter[str]:
    """How often each image was billed, by the endpoint's own books."""
    events = offline.ledger(servers.rekognition)
    return Counter(entry["source_ref"] for entry in events if entry["event"].endswith("billed"))


def problems(servers: Servers, runs: Iterable[Images], said: dict[str, str]) -> Iterator[str]:
    """Sentences about what is not exact.

    :param runs: the images of all runs.
    :param said: verdicts by id that the console has confirmed.
    """
    expected = {ref: labels for images in runs for ref, labels in images.facts.items()}
    bill = paid(servers)
    if bill != dict.fromkeys(expected, 1):
        often = {ref: count for ref, count in bill.items() if count != 1}
        some = dict(list(often.items())[:5])
        yield f"{sum(bill.values())} paid for {len(expected)} images; not once: {some}"
    found = Found(servers)
    try:
        yield from _tables(found, expected)
        told = {row["verdict_id"]: row["verdict"] for row in found.rows("verdicts")}
        if told != said:
            yield f"table verdicts: {len(told)} rows, {len(said)} were confirmed"
    finally:
        found.close()
    yield from _warehouse(servers, expected)
    yield from _review_database(servers, said)


def _tables(found: Found, expected: dict[str, str]) -> Iterator[str]:
    images = found.rows("images")
    if Counter(row["source_ref"] for row in images) != dict.fromkeys(expected, 1):
        yield f"table images: {len(images)} rows for {len(expected)} images"
    if states := Counter(row["status"] for row in images if row["status"] != "moderated"):
        yield f"table images: {dict(states)}"
    labels = [
        (row["source_ref"], row["name"], level, row["confidence"])
        for level in _LEVELS
        for row in found.rows(f"labels_l{level}")
    ]
    yield from _compared("Iceberg", labels, expected)
    jobs = found.rows("jobs")
    if len({row["manifest_uri"] for row in jobs}) != len(jobs):
        yield f"table jobs: {len(jobs)} rows, a manifest twice"


def _warehouse(servers: Servers, expected: dict[str, str]) -> Iterator[str]:
    with psycopg.connect(servers.database("moderation", "warehouse")) as connection:
        rows = connection.execute(
            "SELECT count(*), count(DISTINCT source_ref) FROM moderation.images"
        ).fetchone()
        if rows != (len(expected), len(expected)):
            yield f"warehouse: {rows} for {len(expected)} images"
        yield from _compared("warehouse", connection.execute(_LABELS).fetchall(), expected)


def _compared(
    where: str, labels: Iterable[tuple[str, str, int, float]], expected: dict[str, str]
) -> Iterator[str]:
    by_image: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    for source_ref, *label in labels:
        by_image[source_ref].append((label[0], label[1], label[2]))
    facts = {ref: fact(by_image.pop(ref, [])) for ref in expected}
    if by_image or digest(facts) != digest(expected):
        wrong = [(ref, facts[ref], expected[ref]) for ref in expected if facts[ref] != expected[ref]]
        yield f"{where}: {len(wrong)} images with other labels, such as {wrong[:2]}; unknown: {len(by_image)}"


def _review_database(servers: Servers, said: dict[str, str]) -> Iterator[str]:
    with psycopg.connect(servers.database("moderation", "review")) as connection:
        rows = connection.execute("SELECT verdict_id FROM verdicts").fetchall()
    if {row[0] for row in rows} != said.keys():
        yield f"review database: {len(rows)} verdicts, {len(said)} were confirmed"


def logs_missing(servers: Servers, watch: Watch, run_ids: Iterable[str]) -> Iterator[str]:
    """Tasks that ended well and whose log is not in S3, where the page reads it."""
    client = s3_client(servers)
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=WORK, Prefix="airflow-logs/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    finally:
        client.close()
    for run_id in run_ids:
        logged = "\n".join(key for key in keys if f"run_id={run_id}/" in key)
        for one in watch.instances(run_id):
            index = f"map_index={one.index}/" if one.index >= 0 else ""
            if (
                one.state == "success"
                and f"task_id={one.task}/{index}attempt={one.attempt}.log" not in logged
            ):
                yield f"no log in S3: {run_id} {one}"


def left_on_disks(hosts: Iterable[Host]) -> Iterator[str]:
    """State that lies on a host's disk."""
    for host in hosts:
        for path in host.files():
            if path.name.endswith(_STATE):
                yield f"{host.name} keeps state of its own: {path.relative_to(host.folder)}"
