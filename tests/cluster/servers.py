"""What the hosts share: PostgreSQL, Redis, S3 and Rekognition, each a process on loopback."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg

from cluster import composed
from local_aws import ports, process, seaweedfs
from local_aws.rekognition import launch
from local_aws.seaweedfs import Credentials
from moderation.settings import surroundings
from support import postgres_server
from support import rekognition_server as offline

INPUT, WORK, TABLES = "moderation-input", "moderation-work", "moderation-tables"
_OK = b"+OK\r\n+PONG\r\n"


class Redis:
    """A Redis that keeps nothing, as that of the compose file."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.port = ports.find_free()
        self.password = secrets.token_hex(16)

    def start(self) -> None:
        """Start it, empty, on the port that it had."""
        words = ["--save", "", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        self.process = process.start(
            "Redis",
            [str(self._program), *words, "--requirepass", self.password],
            log_path=self._folder / "redis.log",
            env={"PATH": surroundings()["PATH"]},
        )
        self.process.wait_until(self._answers, timeout=60)

    def kill(self) -> None:
        """End it at once."""
        self.process.popen.kill()
        self.process.popen.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while len(answer) < len(_OK) and (part := connection.recv(64)):
                    answer += part
                return answer == _OK
        except OSError:
            return False


@dataclass(frozen=True)
class Servers:
    """All that runs."""

    postgres: postgres_server.Postgres
    redis: Redis
    s3: seaweedfs.SeaweedFS
    rekognition: launch.Rekognition
    key: Credentials
    passwords: dict[str, str]

    def database(self, role: str, name: str) -> str:
        """The URI of a database as one of the two users sees it."""
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.postgres.port}/{name}"

    def environment(self) -> dict[str, str]:
        """What an AWS SDK needs to reach them, and nothing else."""
        return {
            "AWS_ACCESS_KEY_ID": self.key.access_key,
            "AWS_SECRET_ACCESS_KEY": self.key.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.rekognition.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.s3.endpoint_url,
            "AWS_ENDPOINT_URL_REKOGNITION": self.rekognition.endpoint_url,
        }


@contextmanager
def running(folder: Path, redis_server: Path) -> Iterator[Servers]:
    """Start them; the databases are made as the compose file's script makes them."""
    key = Credentials(secrets.token_hex(10), secrets.token_hex(20))
    passwords = {"airflow": secrets.token_hex(16), "moderation": secrets.token_hex(16)}
    with ExitStack() as stack:
        postgres = stack.enter_context(
            postgres_server.running(max_connections=composed.most_connections(), autovacuum="on")
        )
        with psycopg.connect(postgres.uri(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE airflow SUPERUSER LOGIN PASSWORD '{passwords['airflow']}'")
            connection.execute("CREATE DATABASE airflow OWNER airflow")
            for statement in composed.databases(passwords["moderation"]):
                connection.execute(statement.encode())
        redis = Redis(redis_server, folder)
        redis.start()
        stack.callback(redis.kill)
        s3 = seaweedfs.start(folder / "s3", key)
        stack.callback(s3.stop)
        _make_buckets(s3, key)
        rekognition = launch.start(
            folder / "rekognition",
            key,
            s3.endpoint_url,
            settings=offline.quick(),
            python_path=(offline.TESTS,),
        )
        stack.callback(rekognition.stop)
        yield Servers(postgres, redis, s3, rekognition, key, passwords)


def s3_client(servers: Servers) -> boto3.client:
    """A client of the S3 server."""
    return _client(servers.s3, servers.key)


def _client(s3: seaweedfs.SeaweedFS, key: Credentials) -> boto3.client:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=s3.endpoint_url,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        region_name="us-east-1",
    )


def _make_buckets(s3: seaweedfs.SeaweedFS, key: Credentials) -> None:
    client = _client(s3, key)
    try:
        for name in (INPUT, WORK, TABLES):
            client.create_bucket(Bucket=name)
    finally:
        client.close()
