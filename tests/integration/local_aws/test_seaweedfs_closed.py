"""Who has no key gets nothing out of the S3 server and nothing into it, by whatever port or socket."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import stat
import sys
from contextlib import suppress
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.config import Config

from local_aws import certificates, ports, process, seaweedfs
from local_aws.seaweedfs import SeaweedFS

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
# Under these names master, volume server and filer would read, write and delete.
PATHS = (
    "/", "/buckets/{bucket}/kept", "/buckets/{bucket}?recursive=true", "/col/delete?collection={bucket}",
    "/dir/assign", "/dir/status", "/vol/grow?count=1", "/submit", "/1,01637037d6", "/status",
    "/ui/index.html", "/{bucket}/kept", "/{bucket}?list-type=2", "/debug/pprof/", "/cluster/status",
    "/metrics",
)  # fmt: skip


def endpoints(server: SeaweedFS) -> tuple[set[int], set[str]]:
    """Ports and sockets on which the processes of the server accept connections."""
    listening, sockets = set(), set()
    for member in process.members(server.process.pid):
        listening |= {
            entry.laddr.port for entry in member.net_connections("inet") if entry.status == psutil.CONN_LISTEN
        }
        sockets |= {entry.laddr for entry in member.net_connections("unix") if entry.laddr}
    return listening, sockets


def data_dir(server: SeaweedFS) -> Path:
    return server.process.log_path.parent


def connect(server: SeaweedFS, where: int | str) -> socket.socket:
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where), timeout=10)
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(10)
    # From inside the folder its relative name is short enough for any folder.
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(data_dir(server))
        opened.connect(where)
    finally:
        os.fchdir(before)
        os.close(before)
    return opened


def ask(connection: socket.socket, method: str, path: str, headers: dict[str, str]) -> int | None:
    """Status of an HTTP request, or None when the peer speaks no HTTP with us."""
    client = http.client.HTTPConnection("127.0.0.1")
    client.sock = connection
    try:
        client.request(method, path, body=b"x" if method in {"PUT", "POST"} else None, headers=headers)
        return client.getresponse().status
    except (http.client.HTTPException, OSError):
        return None
    finally:
        client.close()
        connection.close()


def tls(connection: socket.socket, *, pair: tuple[Path, Path] | None = None) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    try:
        return context.wrap_socket(connection)
    except BaseException:
        connection.close()
        raise


def accepted(server: SeaweedFS, where: int | str, pair: tuple[Path, Path] | None) -> bool:
    """Whether the peer goes on after a TLS handshake with this certificate, or without one."""
    try:
        with tls(connect(server, where), pair=pair) as encrypted:
            encrypted.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return bool(encrypted.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False


def s3_port(server: SeaweedFS) -> int:
    return int(server.endpoint_url.rpartition(":")[2])


def keyless(server: SeaweedFS) -> list[int | str]:
    """Everything that listens and is not S3."""
    listening, sockets = endpoints(server)
    return [*sorted(listening - {s3_port(server)}), *sorted(sockets - {"s3.sock"})]


def test_what_listens_is_known_and_of_this_machine_only(s3_server):
    listening, sockets = endpoints(s3_server)

    assert len(listening) == 8  # master, volume server, filer and S3, each with its gRPC port
    assert len(sockets) == 6
    for member in process.members(s3_server.process.pid):
        for entry in member.net_connections("inet"):
            if entry.status == psutil.CONN_LISTEN:
                assert entry.laddr.ip == "127.0.0.1"


def test_every_port_and_socket_but_s3_asks_for_the_servers_own_certificate(s3_server, tmp_path):
    own = (data_dir(s3_server) / "tls/certificate.pem", data_dir(s3_server) / "tls/key.pem")
    made = certificates.make("local S3")
    forged = (tmp_path / "certificate", tmp_path / "key")
    forged[0].write_bytes(made.certificate)
    forged[1].write_bytes(made.key)

    for where in keyless(s3_server):
        if where != "filer.sock":
            assert not accepted(s3_server, where, None), where
            assert not accepted(s3_server, where, forged), where
            assert accepted(s3_server, where, own), where


def test_no_gRPC_is_spoken_in_plain_text(s3_server):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    settings_frame = b"\x04"
    for where in keyless(s3_server):
        with connect(s3_server, where) as connection:
            connection.sendall(preface)
            with suppress(ConnectionError):
                assert connection.recv(9)[3:4] != settings_frame, where


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", "localhost:80"])
def test_unsigned_requests_read_write_and_delete_nothing_anywhere(s3_server, s3_client, bucket, host):
    s3_client.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    headers = {"Host": host, "Origin": "http://evil.example", "Content-Type": "text/plain"}
    refused = {400, 401, 403, 404, 405, 411, 501, None}
    harmless = {("GET", "/status"), ("HEAD", "/status")}  # S3 answers its monitor with an empty 200

    for where in [*keyless(s3_server), s3_port(s3_server), "s3.sock"]:
        for path in PATHS:
            for method in METHODS:
                asked = path.format(bucket=bucket)
                status = ask(connect(s3_server, where), method, asked, headers)
                at_s3 = where in {"s3.sock", s3_port(s3_server)}
                assert status in refused or (at_s3 and (method, path) in harmless), (where, method, asked)

    assert s3_client.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"
    assert [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]


def test_files_and_sockets_are_for_this_user_alone(s3_server, s3_client, bucket):
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"x" * 100)
    folder = data_dir(s3_server)
    _, sockets = endpoints(s3_server)

    for path in [folder, *folder.rglob("*"), *(folder / name for name in sockets)]:
        # SeaweedFS gives these a mode of its own; the folder around them is closed.
        assert path.suffix == ".vif" or not path.lstat().st_mode & 0o077, path
    assert stat.S_IMODE((folder / "tls/key.pem").stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_no_socket_is_left_in_the_temporary_folder(tmp_path, credentials, killed):
    server = seaweedfs.start(tmp_path, credentials)
    _, sockets = endpoints(server)
    left = [Path(name) for name in sockets if name.startswith("/")]
    assert len(left) == 4
    assert all(path.exists() for path in left)

    if killed:
        server.process.popen.kill()
        server.process.popen.wait()
    server.stop()

    assert not [path for path in left if path.exists()]


EARLIER = (
    "server -dir={0} -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port={1} -master.electionTimeout=1s "
    "-master.telemetry=false -master.volumeSizeLimitMB=1024 -volume.port={2} -volume.preStopSeconds=0 "
    "-volume.max=4096 -filer -filer.port={3} -s3 -s3.port={4} -s3.port.iceberg=0 -s3.port.lance=0 "
    "-s3.config={0}/s3.json"
)
"""The command line of the version whose parts answered everybody."""


def client(endpoint: str, credentials: seaweedfs.Credentials):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 8, "mode": "standard"}),
    )


def answering(url: str) -> bool:
    try:
        with ports.open_local(url, timeout=2):
            return True
    except OSError as error:
        return getattr(error, "code", None) == 403


@pytest.mark.slow
def test_what_an_earlier_version_stored_is_there_after_the_upgrade(tmp_path, credentials):
    folder = tmp_path / "s3"
    folder.mkdir(mode=0o755)
    numbers = [ports.find_free(companion_offset=10_000) for _ in range(4)]
    seaweedfs._write_identity(folder / "s3.json", credentials)
    (folder / "ports.json").write_text(f"[{numbers[0]}, {numbers[1]}, {numbers[2]}]")
    earlier = process.start(
        "earlier",
        [str(Path(sys.executable).with_name("weed")), *EARLIER.format(folder, *numbers).split()],
        log_path=tmp_path / "log",
        env={"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
    )
    try:
        endpoint = f"http://127.0.0.1:{numbers[3]}"
        earlier.wait_until(lambda: answering(endpoint), timeout=60)
        s3 = client(endpoint, credentials)
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="small", Body=b"small")
        s3.put_object(Bucket="kept", Key="large", Body=b"large" * (1 << 20))
        s3.close()
    finally:
        earlier.stop(grace=SeaweedFS.STOP_GRACE_SECONDS)

    server = seaweedfs.start(folder, credentials)
    try:
        s3 = client(server.endpoint_url, credentials)
        assert s3.get_object(Bucket="kept", Key="small")["Body"].read() == b"small"
        assert s3.get_object(Bucket="kept", Key="large")["Body"].read() == b"large" * (1 << 20)
        s3.put_object(Bucket="kept", Key="new", Body=b"new")
        assert len(s3.list_objects_v2(Bucket="kept")["Contents"]) == 3
        s3.close()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not list(Path("/tmp").glob(f"seaweedfs-*-{numbers[2]}.sock"))
    finally:
        server.stop()


@pytest.mark.slow
def test_neither_shell_nor_home_nor_an_odd_folder_changes_the_server(tmp_path, credentials, monkeypatch):
    home = tmp_path / "home" / ".seaweedfs"
    home.mkdir(parents=True)
    (home / "filer.toml").write_text('[redis2]\nenabled = true\naddress = "127.0.0.1:1"\n')
    (home / "security.toml").write_text('[grpc.filer]\ncert = ""\nkey = ""\n')
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("WEED_GRPC_FILER_CERT", "/nonexistent")
    monkeypatch.setenv("WEED_HTTPS_CLIENT_ENABLED", "false")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    server = seaweedfs.start(tmp_path / 'it\'s, $HOME %20 #1 "ü" ; \\n', credentials)
    try:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        s3 = client(server.endpoint_url, credentials)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="k", Body=b"x" * 100_000)
        assert s3.get_object(Bucket="bucket", Key="k")["ContentLength"] == 100_000
        s3.close()
    finally:
        server.stop()


@pytest.mark.slow
def test_a_server_that_would_serve_anybody_is_stopped(tmp_path, credentials, monkeypatch):
    monkeypatch.setattr(seaweedfs, "_security", lambda: "")

    with pytest.raises(process.ServiceError, match=r"serves port \d+ to anybody"):
        seaweedfs.start(tmp_path, credentials)

    assert not [found for found in psutil.process_iter(["cwd"]) if found.info["cwd"] == str(tmp_path)]
