"""``python -m local_aws.rekognition --port N --state DIR``: serve on 127.0.0.1 until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

# Read when NumPy is loaded. The threads it starts for a small product wait for each other longer than they
# compute (of a training's fit, two thirds of its time), and take the cores from those that look at images.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvicorn

from local_aws.rekognition.app import App
from local_aws.rekognition.configuration import from_environment
from local_aws.rekognition.service import Service, StateInUse
from local_aws.rekognition.wire import http

_GRACE_SECONDS = 5


def main() -> int:
    """Run the server; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local_aws.rekognition", description="The offline Rekognition, on 127.0.0.1 only."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder for jobs and ledger")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        configuration = from_environment(os.environ, options.state)
        service = Service(
            options.state,
            secrets=configuration.secrets,
            s3_endpoint_url=configuration.s3_endpoint_url,
            settings=configuration.settings,
        )
    except (ValueError, StateInUse, OSError) as error:
        print(f"rekognition: {error}", file=sys.stderr)
        return 2
    server = uvicorn.Server(
        uvicorn.Config(
            App(service, admin_token=configuration.admin_token),
            host="127.0.0.1",
            port=options.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            lifespan="on",
            http=http.with_deadline(configuration.settings.head_seconds),
            ws="none",
        )
    )
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
