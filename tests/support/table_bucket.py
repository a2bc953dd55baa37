"""The Iceberg endpoint of a table bucket, on loopback: one table of S3 Metadata, whose files are in S3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
from pyiceberg.catalog import load_catalog

from local_aws.seaweedfs import Credentials
from moderation.settings import Settings
from moderation.variables.machine import MachineSettings
from support import assumed
from support.listening import listening

ARN = "arn:aws:s3tables:us-east-1:111122223333:bucket/aws-s3"
TABLE = "b_photos.inventory"
ROWS = 3

_SCOPE = re.compile(r"Credential=(\w+)/\d+/([\w-]+)/(\w+)/aws4_request")
_PREFIX = quote(ARN, safe="")


@dataclass(frozen=True)
class Signed:
    """Who signed a request."""

    key: str
    region: str
    service: str
    has_token: bool


def make(place: str, folder: Path, settings: Settings, key: Credentials) -> str:
    """Write the table's files; returns where its metadata is."""
    at = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)  # the tables have no zone, and mean UTC
    rows = [
        {
            **{"bucket": "photos", "key": f"{number}.jpg", "version_id": "v", "e_tag": "e", "size": 10},
            **{"sequence_number": f"{number:06x}", "is_delete_marker": False, "last_modified_date": at},
        }
        for number in range(ROWS)
    ]
    properties = {
        **{"type": "sql", "uri": f"sqlite:///{folder / 'told.db'}", "warehouse": place},
        **{"s3.endpoint": MachineSettings.from_env().s3_endpoint or "", "s3.region": settings.region},
        **{"s3.access-key-id": key.access_key, "s3.secret-access-key": key.secret_key},
    }
    found = pa.Table.from_pylist(rows)
    with closing(load_catalog("told", **properties)) as catalog:
        catalog.create_namespace("b_photos")
        made = catalog.create_table(TABLE, schema=found.schema)
        made.append(found)
        return str(catalog.load_table(TABLE).metadata_location)


@contextmanager
def serving(settings: Settings, key: Credentials, location: str) -> Iterator[tuple[str, list[Signed]]]:
    """Serve the table; yields the endpoint, and who signed each request."""
    bucket, _, name = location.removeprefix("s3://").partition("/")
    with closing(assumed.client("s3", MachineSettings.from_env().s3_endpoint or "", key)) as s3:
        metadata = json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
    namespace, _, table = TABLE.rpartition(".")
    answers = {
        "/iceberg/v1/config": {"defaults": {}, "overrides": {"prefix": _PREFIX}},
        f"/iceberg/v1/{_PREFIX}/namespaces/{namespace}/tables/{table}": {
            "metadata-location": location,
            "metadata": metadata,
            "config": {},
        },
    }
    signed: list[Signed] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = _SCOPE.search(self.headers.get("Authorization", ""))
            answer = answers.get(self.path.partition("?")[0])
            if found:
                token = "X-Amz-Security-Token" in self.headers
                signed.append(Signed(found[1], found[2], found[3], token))
            body = json.dumps(answer or {"error": {"message": "no", "type": "no", "code": 404}}).encode()
            self.send_response(200 if found and answer else 403 if not found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as address:
        yield address, signed
