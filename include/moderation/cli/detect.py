"""``python -m moderation.cli.detect MANIFEST OUTPUT``: the detect backend without Airflow."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from moderation.analyse.detect.errors import DetectError
from moderation.analyse.detect.request import DetectOptions, DetectRequest
from moderation.analyse.detect.run import run_manifest
from moderation.settings import Settings, SettingsError
from moderation.storage.s3_objects import S3Error


def main(arguments: Sequence[str] | None = None) -> int:
    """Moderate one manifest and print the outcome as JSON; 1 when it could not be finished."""
    parser = argparse.ArgumentParser(prog="python -m moderation.cli.detect", description=__doc__)
    parser.add_argument("manifest", help="s3://bucket/key of the manifest")
    parser.add_argument("output", help="s3://bucket/prefix for results and summary")
    parser.add_argument("--min-confidence", type=float, help="0 to 100; default: AWS's own")
    parser.add_argument("--adapter", help="ARN of the adapter version to use")
    parser.add_argument("--tps", type=float, help="calls a second of all processes together")
    parser.add_argument("--in-flight", type=int, help="calls under way at once")
    parser.add_argument("--spool", type=Path, help="local folder for answers")
    parser.add_argument("--part-seconds", type=float, default=10.0, help="time between copies to S3")
    parser.add_argument(
        "--owner-seconds", type=float, default=30.0, help="when a silent owner counts as dead"
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        outcome = run_manifest(
            DetectRequest(
                manifest_uri=given.manifest,
                output_uri=given.output,
                min_confidence=given.min_confidence,
                project_version=given.adapter,
            ),
            settings=Settings.from_env(),
            quota=given.tps,
            options=DetectOptions(
                max_in_flight=given.in_flight,
                spool_dir=given.spool,
                part_seconds=given.part_seconds,
                owner_seconds=given.owner_seconds,
            ),
        )
    except (DetectError, S3Error, SettingsError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(outcome.to_dict(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
