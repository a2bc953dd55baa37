"""Credentials of a role end while a catalog is open: a publish and a compaction go on with the next ones."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation import schema
from moderation.settings import Settings
from moderation.tables import catalog
from support.airflow_stack import until

BUCKET = "tables"


@dataclass(frozen=True)
class Role:
    """A server whose key changes, and a provider that hands out the one of now, soon to end."""

    folder: Path
    server: SeaweedFS

    def key(self, name: str) -> Credentials:
        return Credentials(f"KEY{name}", f"secret-of-{name}")

    def hand_out(self, name: str) -> None:
        """What the provider gives from now on; botocore asks it anew at each use, so near is the end."""
        given = {
            "Version": 1,
            "AccessKeyId": self.key(name).access_key,
            "SecretAccessKey": self.key(name).secret_key,
            "Expiration": (datetime.now(UTC) + timedelta(seconds=60)).isoformat(),
        }
        (self.folder / "given.json").write_text(json.dumps(given))

    def end(self, old: str, new: str) -> None:
        """The server knows the new key alone, and the provider hands it out."""
        seaweedfs._write_identity(self.folder / "s3" / "s3.json", self.key(new))
        self.server.process.popen.send_signal(signal.SIGHUP)
        until(lambda: not self.knows(old) and self.knows(new), what="the end of the old key")
        self.hand_out(new)

    def knows(self, name: str) -> bool:
        client = self.client(name)
        try:
            client.list_buckets()
        except ClientError:
            return False
        finally:
            client.close()
        return True

    def client(self, name: str) -> boto3.client:
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint_url,
            aws_access_key_id=self.key(name).access_key,
            aws_secret_access_key=self.key(name).secret_key,
            region_name="us-east-1",
        )


@pytest.fixture
def role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    server = seaweedfs.start(tmp_path / "s3", Credentials("KEYfirst", "secret-of-first"))
    made = Role(tmp_path, server)
    made.hand_out("first")
    client = made.client("first")
    client.create_bucket(Bucket=BUCKET)
    client.close()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'given.json'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint_url)
    yield made
    server.stop()


@pytest.fixture
def row() -> Callable[[str], pa.Table]:
    """A row of the table `loads`, of a load's id."""
    table = schema.LOADS.schema

    def made(load_id: str) -> pa.Table:
        values = {"load_id": load_id, "dt": datetime(2026, 1, 1, tzinfo=UTC).date()}
        columns = [
            pa.array([values.get(entry.name)], entry.type)
            if entry.nullable or entry.name in values
            else pa.array([_ANY[entry.type]], entry.type)
            for entry in table
        ]
        return pa.Table.from_arrays(columns, schema=table)

    return made


_ANY = {
    pa.string(): "",
    pa.int32(): 0,
    pa.int64(): 0,
    pa.float64(): 0.0,
    pa.bool_(): False,
    pa.date32(): datetime(2026, 1, 1, tzinfo=UTC).date(),
    pa.timestamp("us", tz="UTC"): datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.mark.slow
def test_a_catalog_that_is_open_goes_on_when_its_credentials_end(role, row, tmp_path):
    settings = replace(
        Settings.from_env({}), tables_uri=f"s3://{BUCKET}", catalog_uri=f"sqlite:///{tmp_path / 'catalog.db'}"
    )
    with catalog.open_catalog(settings) as opened:
        table = catalog.ensure_table(opened, schema.LOADS, settings)
        table.append(row("first"))
        role.end("first", "second")
        table.append(row("second"))
        assert sorted(table.scan().to_arrow().column("load_id").to_pylist()) == ["first", "second"]
        again = catalog.load_table(opened, schema.LOADS)
        assert again is not None
        assert again.scan().count() == 2
