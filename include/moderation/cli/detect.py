"""``python -m moderation.cli.detect MANIFEST OUTPUT``: the detect backend without Airflow."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from moderation.analyse.detect.request import DetectOptions, DetectRequest
from moderation.analyse.detect.run import run_manifest
from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED, ended, settled
from moderation.cli.output import print_json
from moderation.variables.adapters import AdapterSettings

_NAME = "python -m moderation.cli.detect"


def main(words: Sequence[str] | None = None) -> int:
    """Moderate one manifest and print the outcome as JSON; returns an exit code of `boundary`."""
    return ended(_NAME, lambda: _run(words))


def _run(words: Sequence[str] | None) -> int:
    given = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with settled(_NAME) as settings:
        outcome = run_manifest(
            DetectRequest(
                manifest_uri=given.manifest.uri,
                output_uri=given.output.uri,
                min_confidence=given.min_confidence,
                project_version=given.adapter,
            ),
            settings=settings,
            quota=given.tps,
            options=DetectOptions(
                max_in_flight=given.in_flight,
                spool_dir=given.spool,
                part_seconds=given.part_seconds,
                owner_seconds=given.owner_seconds,
                stops_without_adapter=AdapterSettings.from_env().when_expired == "wait",
            ),
        )
    print_json(outcome.to_dict())
    return SOMETHING_FAILED if outcome.failed else DONE


def _parser() -> arguments.Parser:
    parser = arguments.Parser(prog=_NAME, description=__doc__)
    parser.add_argument("manifest", type=arguments.location, help="s3://bucket/key of the manifest")
    parser.add_argument("output", type=arguments.location, help="s3://bucket/prefix for results and summary")
    parser.add_argument("--min-confidence", type=arguments.percentage, help="0 to 100; default: AWS's own")
    parser.add_argument("--adapter", help="ARN of the adapter version to use")
    parser.add_argument("--tps", type=arguments.rate, help="calls a second of all processes together")
    parser.add_argument("--in-flight", type=arguments.count, help="calls under way at once")
    parser.add_argument("--spool", type=Path, help="local folder for answers")
    parser.add_argument("--part-seconds", type=arguments.rate, default=10.0, help="time between copies to S3")
    parser.add_argument(
        "--owner-seconds", type=arguments.rate, default=30.0, help="when a silent owner counts as dead"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
