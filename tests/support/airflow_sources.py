"""Pictures for runs of a real Airflow, and what Rekognition and the tables say of them."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import datetime
from typing import Any

from chaos.readers import BOUND_TO_LOAD, VOLATILE
from moderation import schema
from moderation.settings import Settings
from moderation.tables import catalog, published
from support import pictures
from support import rekognition_server as offline
from support.airflow_stack import Airflow
from support.airflow_variants import MANIFEST_LINES

IMAGES = 5
MANIFESTS = -(-IMAGES // MANIFEST_LINES)
_numbers = itertools.count(1)


class Source:
    """Pictures of one run's own, the jobs made of them, and what was paid for them."""

    def __init__(self, airflow: Airflow, folder: str = "") -> None:
        self.airflow = airflow
        self.name = f"run{next(_numbers)}"
        self.uri = f"s3://moderation-input/{self.name}"
        with airflow.s3() as s3:
            for number in range(IMAGES):
                body = pictures.jpeg(80, 80, seed=number)
                s3.put_object(Bucket="moderation-input", Key=f"{self.name}{folder}/{number}.jpg", Body=body)

    def trigger(self, dag_id: str, run_id: str | None = None, **conf: Any) -> str:
        params = {"source": self.uri, "job_name": self.name, "backend": "bulk", **conf}
        return self.airflow.trigger(dag_id, run_id or self.name, **params)

    def started(self) -> list[str]:
        """Names of the jobs Rekognition was asked for, which tell manifest and generation."""
        return [
            entry["job_name"]
            for entry in offline.ledger(self.airflow.rekognition)
            if entry["event"] == "job_started" and entry["job_name"].startswith(f"{self.name}-")
        ]

    def paid(self) -> Counter[str]:
        """How often each picture was billed."""
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.airflow.rekognition)
            if entry["event"] == "image_billed" and entry["source_ref"].startswith(f"{self.uri}/")
        )

    def is_paid_once(self) -> bool:
        return len(self.started()) == MANIFESTS and list(self.paid().values()) == [1] * IMAGES

    def rows(self) -> dict[str, list[str]]:
        """What readers find of these pictures in each table, without ids, times and this source's name."""
        found: dict[str, list[str]] = {}
        with catalog.open_catalog(Settings.from_env()) as opened:
            loads = published.loads_in(opened).to_pylist()
            for name in ("images", *(f"labels_l{level}" for level in schema.LABELS)):
                rows = [
                    row
                    for load in loads
                    for batch in published.read_load(opened, schema.TABLES[name], load)
                    for row in batch.to_pylist()
                    if row["source_ref"].startswith(f"{self.uri}/")
                ]
                found[name] = sorted(repr(_lasting(name, row)).replace(self.name, "RUN") for row in rows)
        return found


def _lasting(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """What two runs over the same pictures have in common: all but ids and times."""
    dropped = {*VOLATILE[table], *BOUND_TO_LOAD}
    return {
        key: value for key, value in row.items() if key not in dropped and not isinstance(value, datetime)
    }
