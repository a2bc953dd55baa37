"""Looks at a server on loopback that is stopped, comes back, refuses, or never answers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import pytest

from local_aws import ports
from local_aws.process import ServiceError
from local_aws.stack.watching import NoAnswer, Patience


class Server:
    """Answers with ``status`` as soon as ``answering`` is set."""

    def __init__(self):
        self.answering, self.status = threading.Event(), 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answering.wait(30)
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Whoever looked has gone."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def ask(self) -> bytes:
        with ports.open_local(f"http://127.0.0.1:{self._http.server_port}/", timeout=0.1) as answer:
            return answer.read()

    def close(self):
        self.answering.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    opened = Server()
    yield opened
    opened.close()


def test_a_look_at_a_stopped_server_says_so_and_goes_on_when_it_is_back(server):
    shown = []

    def show(line):
        shown.append(line)
        if len(shown) == 3:
            server.answering.set()

    found = Patience(show=show, check=lambda: None, pause=0).look("Rekognition", server.ask)

    assert found == b"ok"
    assert len(shown) >= 3
    assert shown[0] == "waiting: Rekognition does not answer (timed out); the run goes on"


def test_looking_is_given_up_in_the_end_and_says_for_how_long_nobody_answered(server):
    shown = []
    patience = Patience(show=shown.append, check=lambda: None, patience=0.3, pause=0)

    with pytest.raises(NoAnswer, match="Rekognition has not answered for 0 minutes"):
        patience.look("Rekognition", server.ask)

    assert shown


def test_each_answer_begins_the_patience_anew(server):
    patience = Patience(show=lambda _: server.answering.set(), check=lambda: None, patience=0.4, pause=0)

    for _ in range(5):
        server.answering.clear()
        assert patience.look("Rekognition", server.ask) == b"ok"


@pytest.mark.parametrize(
    "failure", [ConnectionRefusedError(), ConnectionResetError(), ValueError("half a JSON")]
)
def test_a_server_that_is_started_again_or_breaks_off_is_asked_again(failure):
    answers = [failure, None]

    def question():
        if (answer := answers.pop(0)) is not None:
            raise answer
        return "there"

    patience = Patience(show=lambda _: None, check=lambda: None, pause=0)
    assert patience.look("Airflow", question) == "there"


def test_a_refusal_is_an_answer(server):
    server.status = 404
    server.answering.set()

    with pytest.raises(HTTPError, match="404") as refused:
        Patience(show=lambda _: None, check=lambda: None, pause=0).look("Airflow", server.ask)
    refused.value.close()


def test_waiting_ends_when_the_service_has_died(server):
    def check():
        raise ServiceError("rekognition ended unexpectedly")

    with pytest.raises(ServiceError, match="ended unexpectedly"):
        Patience(show=lambda _: None, check=check, pause=0).look("Rekognition", server.ask)
