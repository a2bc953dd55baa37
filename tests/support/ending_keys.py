"""Services of AWS on loopback that take keys of a role alone, each for a few seconds; work outlasts the key.

What was begun with one key is not over before another one asks for it: whoever keeps what it was given first
is refused with ExpiredTokenException, as by AWS.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.listening import listening

ROLE = "arn:aws:iam::123456789012:role/moderation"
SECONDS = 3.0
"""How long a key lasts."""

RENEWED_BEFORE = 1
"""How long before its end a test lets botocore renew it; it is fifteen minutes of an hour."""

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_ASSUMED = (
    '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
    "<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
    "<Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
)
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Services:
    """What was asked of them.

    :param answers: what a call answers by its name, instead of what this class does.
    :ivar signed: keys by call, in the order of the calls.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.signed: list[tuple[str, str]] = []
        self._ends: dict[str, float] = {}
        self._began: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def keys_of(self, call: str) -> set[str]:
        """Keys that signed a call."""
        return {key for name, key in self.signed if name == call}

    def assumed(self) -> str:
        """The answer to AssumeRole."""
        key = f"ASIA{next(self._numbers):012d}"
        ends = time.time() + SECONDS
        self._ends[key] = ends
        return _ASSUMED.format(key=key, until=datetime.fromtimestamp(ends, UTC).isoformat())

    def is_over(self, key: str) -> bool:
        """Whether a key has ended, or is none of a role."""
        return self._ends.get(key, 0.0) < time.time()

    def outlasts(self, work: str, key: str) -> bool:
        """Whether nobody but the key that is the first to name a piece of work has asked for it."""
        return self._began.setdefault(work, key) == key

    def call(self, name: str, asked: dict[str, Any], key: str) -> dict[str, Any]:
        """The answer to a call."""
        self.signed.append((name, key))
        if name == "StartQueryExecution":
            return {"QueryExecutionId": f"query-{next(self._numbers)}"}
        if name == "GetQueryExecution":
            state = "RUNNING" if self.outlasts(asked["QueryExecutionId"], key) else "SUCCEEDED"
            return {"QueryExecution": {"Status": {"State": state}, "Statistics": {}}}
        if name == "GetMediaAnalysisJob":
            state = "IN_PROGRESS" if self.outlasts(asked["JobId"], key) else "SUCCEEDED"
            return {"JobId": asked["JobId"], "Status": state}
        if name == "DescribeStatement" and self.outlasts(asked["Id"], key):
            return {"Id": asked["Id"], "Status": "STARTED"}
        return self.answers[name](asked)


@contextmanager
def serving(**answers: Answer) -> Iterator[tuple[str, Services]]:
    """Serve on loopback; yields the endpoint and what was asked."""
    services = Services(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, _, name = self.headers.get("X-Amz-Target", "").rpartition(".")
            if not name:
                self._send(200, services.assumed(), "text/xml")
                return
            found = _CREDENTIAL.search(self.headers.get("Authorization", ""))
            key = found[1] if found else ""
            if services.is_over(key):
                refusal = {"__type": "ExpiredTokenException", "message": "The security token is expired"}
                self._send(400, json.dumps(refusal))
                return
            self._send(200, json.dumps(services.call(name, json.loads(body), key), default=str))

        def _send(self, status: int, text: str, kind: str = "application/x-amz-json-1.1") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as address:
        yield address, services
