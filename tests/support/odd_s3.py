"""A server of HTTP in S3's place, whose answers S3 never gives: what a proxy or another store may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from support.listening import listening

MODIFIED = b"Last-Modified: Sun, 29 Nov 2026 10:00:00 GMT\r\n"


def whole(status: str, headers: bytes = b"", body: bytes = b"", length: str | None = None) -> bytes:
    """An answer that tells how long its body is, or would be."""
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length or len(body)}\r\n"
    return head.encode() + headers + b"\r\n" + body


def refusal(status: str, code: str) -> bytes:
    """S3's own form of an error."""
    return whole(status, b"", f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


@contextmanager
def serving(answers: Mapping[str, bytes], before: str | None = None) -> Iterator[str]:
    """Answer what is asked for the key with these bytes, then hang up; yields the server's address.

    :param answers: by what follows the last slash of a key.
    :param before: the address of an S3 that answers everything else; without it nothing is told of buckets.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            odd = answers.get(unquote(self.path).partition("?")[0].rpartition("/")[2])
            self.wfile.write(self._passed_on() if odd is None or self.command == "PUT" else odd)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def _passed_on(self) -> bytes:
            if before is None:
                return whole("403 No")
            link = HTTPConnection(urlsplit(before).netloc, timeout=60)
            try:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                link.request(self.command, self.path, body, dict(self.headers))
                answer = link.getresponse()
                kept = [
                    f"{name}: {value}\r\n"
                    for name, value in answer.getheaders()
                    if name.lower() not in {"connection", "transfer-encoding", "content-length"}
                ]
                told = answer.headers.get("Content-Length") if self.command == "HEAD" else None
                return whole(str(answer.status), "".join(kept).encode("latin-1"), answer.read(), told)
            finally:
                link.close()

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as address:
        yield address
