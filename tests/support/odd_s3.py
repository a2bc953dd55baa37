"""A server of HTTP in S3's place, whose answers S3 never gives: what a proxy or another store may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

MODIFIED = b"Last-Modified: Sun, 29 Nov 2026 10:00:00 GMT\r\n"


def whole(status: str, headers: bytes = b"", body: bytes = b"") -> bytes:
    """An answer with the right length."""
    return b"HTTP/1.1 %s\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s" % (
        status.encode(),
        headers,
        len(body),
        body,
    )


def refusal(status: str, code: str) -> bytes:
    """S3's own form of an error."""
    return whole(status, b"", f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


@contextmanager
def serving(answers: Mapping[str, bytes]) -> Iterator[str]:
    """Answer what is asked for the key with these bytes, then hang up; yields the server's address.

    Nothing is told of buckets.

    :param answers: by key.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            self.wfile.write(answers[unquote(self.path).partition("?")[0].rpartition("/")[2]])

        def do_HEAD(self) -> None:
            self.close_connection = True
            self.wfile.write(whole("403 No"))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
