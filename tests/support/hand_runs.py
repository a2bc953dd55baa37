"""What the tasks of a run do, each by hand, before the offline Rekognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from local_aws.rekognition.launch import Rekognition
from moderation import stages
from moderation.analyse.before_paying import why_not_ours
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.cli.jobs import Rekognition as Client
from moderation.cli.jobs import jobs_since
from moderation.plan.plan import Plan
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.published import read_loads
from support import pictures
from support import rekognition_server as offline

DAG = "moderate_images"
JOURNAL = pa.schema(
    [
        *((name, pa.string()) for name in ("bucket", "key", "version_id", "sequence_number", "e_tag")),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("us")),
        ("record_type", pa.string()),
    ]
)


class Runs:
    """What the tasks of a Dag do, each by hand."""

    def __init__(
        self, settings: Settings, server: Rekognition, rekognition: Any, s3: Any, bucket: str
    ) -> None:
        self.settings, self.server, self.s3, self.bucket = settings, server, s3, bucket
        self.folder = Path(settings.tables_uri).parent
        self.source = f"s3://{bucket}/photos"
        self.rekognition = rekognition
        self.living: set[str] = set()
        self.list_jobs: Callable[[datetime], Any] = lambda since: jobs_since(rekognition, since)

    def put(self, *names: str) -> None:
        for name in names:
            body = pictures.jpeg(seed=ord(name)) + f"{self.bucket}{name}".encode()
            self.s3.put_object(Bucket=self.bucket, Key=f"photos/{name}.jpg", Body=body)

    def discover(self, name: str, **asked: Any) -> Plan:
        uri = stages.discover(
            stages.Run(DAG, name, datetime.now(UTC), lives=lambda _, run_id: run_id in self.living),
            source=self.source,
            settings=self.settings,
            list_jobs=self.list_jobs,
            **asked,
        )
        stages.job_arguments(uri, settings=self.settings)
        return load_plan(uri, s3=self.s3)

    def may_pay(self, plan: Plan, number: int) -> str | None:
        return why_not_ours(plan.uri, plan.manifests[number].uri, settings=self.settings)

    def call(self, plan: Plan, number: int) -> None:
        assert self.may_pay(plan, number) is None
        run_manifest(
            request_of(plan, plan.manifests[number]),
            settings=self.settings,
            s3=self.s3,
            budget=FixedBudget(1000),
            options=DetectOptions(spool_dir=self.folder / "spool"),
        )

    def start_job(self, plan: Plan, number: int) -> dict[str, Any]:
        assert self.may_pay(plan, number) is None
        manifest = plan.manifests[number]
        place = s3_objects.split_uri(manifest.uri)
        started = self.rekognition.start_media_analysis_job(
            OperationsConfig={"DetectModerationLabels": {"MinConfidence": plan.min_confidence}},
            Input={"S3Object": {"Bucket": place.bucket, "Name": place.key}},
            OutputConfig={"S3Bucket": manifest.output_bucket, "S3KeyPrefix": manifest.output_prefix},
        )
        return {"JobId": started["JobId"]}

    def journal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From here on a journal of S3 Metadata is the source."""
        catalog = {
            "type": "sql",
            "uri": f"sqlite:///{self.folder}/journal.db",
            "warehouse": f"file://{self.folder}",
        }
        for name, value in catalog.items():
            monkeypatch.setenv(f"PYICEBERG_CATALOG__TOLD__{name.upper()}", value)
        with closing(load_catalog("told", **catalog)) as opened:
            opened.create_namespace("b")
            self.table = opened.create_table("b.journal", schema=JOURNAL)
        self.source = "table:told/b.journal"

    def tell(self, *names: str) -> None:
        """Append these objects to the journal."""
        rows = []
        for name in names:
            head = self.s3.head_object(Bucket=self.bucket, Key=f"photos/{name}.jpg")
            known = {"size": head["ContentLength"], "e_tag": head["ETag"], "record_type": "CREATE"}
            key = {"bucket": self.bucket, "key": f"photos/{name}.jpg", "sequence_number": f"{ord(name):06x}"}
            rows.append(key | known | {"last_modified_date": datetime(2026, 1, 2)})  # noqa: DTZ001 - as S3 has it
        self.table.append(pa.Table.from_pylist(rows, schema=JOURNAL))

    def publish(self, plan: Plan) -> None:
        ask = self.rekognition.get_media_analysis_job
        stages.publish(
            plan.uri,
            [],
            settings=self.settings,
            describe_job=ask,
            list_jobs=self.list_jobs,
        )

    def loads(self) -> dict[str, tuple[int, int]]:
        rows = read_loads(self.settings).to_pylist()
        return {row["load_id"]: (row["moderated"], row["not_attempted"]) for row in rows}

    def paid(self) -> Counter[str]:
        """How often each image was paid for."""
        return Counter(
            entry["source_ref"].rpartition("/")[2].removesuffix(".jpg")
            for entry in offline.ledger(self.server)
            if entry["event"] in {"detect_billed", "image_billed"}
            and f"/{self.bucket}/" in entry["source_ref"]
        )


@pytest.fixture
def hand_made_runs(
    aws_env: pytest.MonkeyPatch, rekognition_server: Rekognition, s3_client: Any, bucket: str, tmp_path: Path
) -> Iterator[Runs]:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    aws_env.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = replace(
        Settings.from_env({}),
        work_uri=f"s3://{bucket}/work",
        input_uri=f"s3://{bucket}/in",
        tables_uri=str(tmp_path / "tables"),
        catalog_uri=f"sqlite:///{tmp_path}/catalog.db",
        model_version="offline-hash-1",
        manifest_images=2,
        inspect_threads=4,
        claim_hours=0.0,  # every claim has lapsed as soon as it is written
    )
    with Client(settings) as rekognition:
        made = Runs(settings, rekognition_server, rekognition, s3_client, bucket)
        yield made
