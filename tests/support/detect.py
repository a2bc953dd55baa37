"""Tools for tests of the detect backend: manifests of tiny pictures, runs, and what the server was paid."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.rekognition.launch import Rekognition
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.request import DetectOptions, DetectOutcome, DetectRequest
from moderation.analyse.detect.run import run_manifest
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import pictures
from support.rekognition_server import ledger, put_manifest


@dataclass(frozen=True)
class Workbench:
    """One test's server, bucket and local folder."""

    server: Rekognition
    s3: Any
    bucket: str
    settings: Settings
    spool: Path

    def upload(self, count: int, *, prefix: str = "images") -> list[str]:
        """Store ``count`` tiny pictures that all differ; returns their source-refs."""

        def put(number: int) -> str:
            key = f"{prefix}/{number:05d}.jpg"
            # Bytes behind the end of a JPEG are ignored, and make its hash another one.
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=pictures.jpeg(80, 80) + b"%d" % number)
            return f"s3://{self.bucket}/{key}"

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(put, range(count)))

    def request(
        self, lines: Iterable[str | dict[str, Any]], *, name: str = "manifest", **changes: Any
    ) -> DetectRequest:
        """A request for a manifest of these lines."""
        put_manifest(self.s3, self.bucket, lines, key=f"{name}.jsonl")
        given = {
            "manifest_uri": f"s3://{self.bucket}/{name}.jsonl",
            "output_uri": f"s3://{self.bucket}/out/{name}",
            "min_confidence": 50.0,
        }
        return DetectRequest(**{**given, **changes})

    def options(self, **changes: Any) -> DetectOptions:
        """Options for tests: short waits."""
        return DetectOptions(
            **{
                "spool_dir": self.spool,
                "part_seconds": 1.0,
                "owner_seconds": 3.0,
                "max_in_flight": 16,
                **changes,
            }
        )

    def run(self, request: DetectRequest, *, tps: float = 1000.0, **changes: Any) -> DetectOutcome:
        """Run in this process with a rate of its own."""
        return run_manifest(
            request,
            settings=self.settings,
            s3=self.s3,
            budget=FixedBudget(tps),
            quota=tps,
            options=self.options(**changes),
        )

    def results(self, outcome: DetectOutcome) -> list[dict[str, Any]]:
        """The decoded results file."""
        return [json.loads(line) for line in s3_objects.read(self.s3, outcome.results_uri).body.splitlines()]

    def summary(self, outcome: DetectOutcome) -> dict[str, Any]:
        """The decoded manifest summary."""
        decoded: dict[str, Any] = json.loads(s3_objects.read(self.s3, outcome.summary_uri).body)
        return decoded

    def paid(self) -> Counter[str]:
        """How often each picture of this test's bucket was billed by DetectModerationLabels."""
        return Counter(
            entry["source_ref"]
            for entry in ledger(self.server)
            if entry["event"] == "detect_billed" and entry["source_ref"].startswith(f"s3://{self.bucket}/")
        )
