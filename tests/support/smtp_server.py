"""A mail server on loopback that keeps what it is given; the part of RFC 5321 that a client needs."""

from __future__ import annotations

import email
import email.policy
import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage


@dataclass
class Mailbox:
    """What a server has received.

    :param port: where it listens on 127.0.0.1.
    """

    port: int = 0
    _received: queue.Queue[EmailMessage] = field(default_factory=queue.Queue)

    @property
    def connection(self) -> str:
        """The Airflow connection that sends here."""
        extra = {"disable_ssl": True, "disable_tls": True}
        return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra})

    def put(self, message: EmailMessage) -> None:
        """Keep a message."""
        self._received.put(message)

    def next(self, *, timeout: float = 240) -> EmailMessage:
        """Take the oldest message, waiting for one.

        :raises queue.Empty: none came within ``timeout`` seconds.
        """
        return self._received.get(timeout=timeout)

    def is_empty(self) -> bool:
        """Whether every message was taken."""
        return self._received.empty()


def text_of(message: EmailMessage) -> str:
    """The text of a message's first part."""
    part = message.get_body(("html", "plain")) or next(iter(message.iter_parts()), message)
    return str(part.get_content())


@contextmanager
def serving() -> Iterator[Mailbox]:
    """Listen on a free port for the length of a block."""
    mailbox = Mailbox()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 loopback")
            for line in self.rfile:
                verb = line.split(None, 1)[0].upper().decode()
                if verb == "DATA":
                    self._say("354 go on")
                    mailbox.put(self._read_message())
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                self._say("250 ok" if verb != "AUTH" else "504 no")

        def _read_message(self) -> EmailMessage:
            lines = []
            for line in self.rfile:
                if line == b".\r\n":
                    break
                lines.append(line[1:] if line.startswith(b"..") else line)
            message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            return message

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        mailbox.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield mailbox
        finally:
            server.shutdown()
            thread.join()
