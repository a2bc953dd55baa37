"""The client of Airflow's REST API against a server on loopback that answers as Airflow was seen to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError, URLError

import pytest

from local_aws import ports
from local_aws.stack.airflow_api import AirflowApi, refusal
from local_aws.stack.layout import StackError


@pytest.fixture
def airflow():
    """Answers by method and path; anything else is 404 with a detail."""
    answers = {"POST /auth/token": {"access_token": "t"}}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answers.get(f"{self.command} {self.path}")
            body = json.dumps({"detail": "The Dag was not found"} if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield AirflowApi(f"http://127.0.0.1:{server.server_port}", user="a", password="b"), answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("stale", [True, False])
def test_a_dag_that_no_longer_imports_is_told_with_its_error(airflow, stale):
    api, answers = airflow
    answers["GET /api/v2/importErrors"] = {
        "import_errors": [{"filename": "dags/d.py", "stack_trace": "ImportError: no"}]
    }
    if stale:  # it was there before; triggering it would be answered 404
        answers["GET /api/v2/dags/d"] = {"is_stale": True}

    with pytest.raises(StackError, match=r"dags/d\.py: ImportError: no"):
        api.wait_for_dag("d", lambda: None, timeout=1)


def test_what_airflow_refuses_is_one_line_with_its_own_words(airflow):
    api, _ = airflow
    with pytest.raises(HTTPError) as caught:
        api.trigger("d", run_id="r", conf={})

    text = refusal(caught.value)

    assert "404" in text
    assert "The Dag was not found" in text
    assert "\n" not in text


def test_an_airflow_that_is_away_is_said_with_what_helps():
    api = AirflowApi(f"http://127.0.0.1:{ports.find_free()}", user="a", password="b")
    with pytest.raises(URLError) as caught:
        api.run_state("d", "r")
    assert "make up" in refusal(caught.value)
