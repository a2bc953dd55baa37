"""The S3 and the Rekognition of the harness: real processes that may be killed and come back as they were."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import boto3
from botocore.config import Config

from local_aws import ports, seaweedfs
from local_aws.rekognition import launch
from local_aws.seaweedfs import Credentials
from support import rekognition_server as offline

_KEY = Credentials("AKIAMODERATIONCHAOS0", "chaos-secret-key-of-no-value-anywhere")
_TOKEN = "chaos-admin-token-of-no-value"
_GRPC_OFFSET = 10_000


@dataclass
class Servers:
    """Both servers, on ports that a restart keeps, and inside the block the environment to reach them."""

    folder: Path

    def __enter__(self) -> Self:
        self._s3_port = ports.find_free(companion_offset=_GRPC_OFFSET)
        self._rekognition_port = ports.find_free()
        self.restarts = 0
        self._guard = threading.Lock()
        self._s3 = self._start_s3()
        self._rekognition = self._start_rekognition()
        self._environment = mock.patch.dict(os.environ, self.environment())
        self._environment.start()
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._environment.stop()
        self._rekognition.stop()
        self._s3.stop()

    @property
    def s3_group(self) -> int:
        """Process group of the S3 server, for a kill -9."""
        return self._s3.process.pid

    @property
    def rekognition_group(self) -> int:
        """Process group of Rekognition."""
        return self._rekognition.process.pid

    def revive(self) -> None:
        """Start again whatever was killed."""
        with self._guard:
            self._revive()

    def _revive(self) -> None:
        if self._s3.process.popen.poll() is not None:
            self._s3.stop()
            self._s3 = self._start_s3()
            self.restarts += 1
        if self._rekognition.process.popen.poll() is not None:
            self._rekognition.stop()
            self._rekognition = self._start_rekognition()
            self.restarts += 1

    def environment(self) -> dict[str, str]:
        """How a process reaches them."""
        return {
            "AWS_ACCESS_KEY_ID": _KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": _KEY.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._s3_port}",
            "AWS_ENDPOINT_URL_REKOGNITION": f"http://127.0.0.1:{self._rekognition_port}",
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
        }

    def client(self) -> Any:
        """A boto3 S3 client; close it."""
        return boto3.client(
            "s3",
            endpoint_url=self._s3.endpoint_url,
            aws_access_key_id=_KEY.access_key,
            aws_secret_access_key=_KEY.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 8, "mode": "standard"}),
        )

    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        """Replace Rekognition's rules of misbehaviour."""
        status, answer = offline.local(self._rekognition, "/faults", method="PUT", body=rules)
        assert status == 200, answer

    def ledger(self, *, after: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The entries after a position, and the position behind them."""
        entries: list[dict[str, Any]] = []
        place: int | None = after
        while place is not None:
            after = place
            _, answer = offline.local(self._rekognition, f"/ledger?after={place}")
            entries += answer["entries"]
            place = answer["next"]
        return entries, max([after, *(entry["id"] for entry in entries)])

    def jobs(self) -> dict[str, str]:
        """Status of each job by its id."""
        _, answer = offline.local(self._rekognition, "/jobs")
        return {job["job_id"]: job["status"] for job in answer["jobs"]}

    def _start_s3(self) -> seaweedfs.SeaweedFS:
        return seaweedfs.start(self.folder / "s3", _KEY, port=self._s3_port)

    def _start_rekognition(self) -> launch.Rekognition:
        return launch.start(
            self.folder / "rekognition",
            _KEY,
            f"http://127.0.0.1:{self._s3_port}",
            port=self._rekognition_port,
            settings=offline.quick(created_seconds=0.15, queued_seconds=0.1, s3_patience_seconds=20.0),
            admin_token=_TOKEN,
            python_path=[offline.TESTS],
        )
