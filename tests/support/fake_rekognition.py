"""
Media analysis jobs over HTTP with the faults of a bad day, each told to happen by the test.

It knows no quota and reads no image: what a job finds is the business of the offline Rekognition
(`local_aws.rekognition`). Here every answer can be made to be lost, late, refused or forgotten.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support.fake_projects import FakeProjects

LOST = "answer lost"


@dataclass
class FakeRekognition(FakeProjects):
    """The state of the service; the test sets faults and reads what happened."""

    # Next answers of an operation: an error code, LOST (the work is done, the connection closed) or None.
    faults: dict[str, deque[str | None]] = field(default_factory=dict)
    # The error code every call of an operation gets, without end.
    always: dict[str, str] = field(default_factory=dict)
    # The statuses a job goes through, one for each look; the last one stays.
    lives: deque[list[str]] = field(default_factory=deque)
    failure: dict[str, str] = field(default_factory=lambda: {"Code": "INTERNAL_ERROR", "Message": "oops"})
    remembers_tokens: bool = True
    calls: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoint_url: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail_next(self, operation: str, *codes: str | None) -> None:
        self.faults.setdefault(operation, deque()).extend(codes)

    def answer(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        with self._lock:
            self.calls[operation] += 1
            faults = self.faults.get(operation)
            fault = self.always.get(operation) or (faults.popleft() if faults else None)
            if fault and fault != LOST:
                status = 500 if fault in ("InternalServerError", "ThrottlingException") else 400
                return status, {"__type": fault, "message": f"{operation} refused by the test"}
            answer = getattr(self, operation)(request)
            return None if fault == LOST else answer

    def StartMediaAnalysisJob(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        token = request["ClientRequestToken"]
        job_id = self._tokens.get(token) if self.remembers_tokens else None
        if job_id is None:
            job_id = uuid.uuid4().hex
            self._tokens[token] = job_id
            life = self.lives.popleft() if self.lives else ["CREATED", "IN_PROGRESS", "SUCCEEDED"]
            kept = {k: v for k, v in request.items() if k != "ClientRequestToken"}
            self.jobs[job_id] = {**kept, "JobId": job_id, "CreationTimestamp": time.time(), "_life": life}
        return 200, {"JobId": job_id}

    def GetMediaAnalysisJob(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        job = self.jobs.get(request["JobId"])
        if job is None:
            return 400, {"__type": "ResourceNotFoundException", "message": "no such job"}
        described = self._described(job)
        if len(job["_life"]) > 1:
            job["_life"].pop(0)
        return 200, described

    def ListMediaAnalysisJobs(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        newest_first = list(self.jobs.values())[::-1]
        start = int(request.get("NextToken") or 0)
        page = [self._described(job) for job in newest_first[start : start + request["MaxResults"]]]
        end = start + len(page)
        more = {"NextToken": str(end)} if end < len(newest_first) else {}
        return 200, {"MediaAnalysisJobs": page, **more}

    def _described(self, job: dict[str, Any]) -> dict[str, Any]:
        shown = {k: v for k, v in job.items() if k != "_life"} | {"Status": job["_life"][0]}
        return shown | ({"FailureDetails": self.failure} if shown["Status"] == "FAILED" else {})


class RunningFake:
    """The fake on a free loopback port."""

    def __init__(self) -> None:
        self.fake = fake = FakeRekognition()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].partition(".")[2]
                answer = fake.answer(operation, json.loads(body))
                self.close_connection = True
                if answer is None:
                    return
                payload = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(payload)))
                self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                """Keep the test output to what the test says."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that has given up waiting is part of a test."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        fake.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def fake_rekognition(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRekognition]:
    """A fresh service that boto clients find through the environment; botocore does not retry by itself."""
    running = RunningFake()
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", running.fake.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFAKEFAKEFAKEFAKE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no-value-anywhere")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws"}')
    yield running.fake
    running.stop()
