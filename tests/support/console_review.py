"""The console asked by people of several roles over one state of verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request

from moderation.console import gate
from moderation.console.gate import Person

ROLES = {"viewer": gate.VIEWER, "user": gate.USER, "op": gate.OP}


@contextmanager
def asked_by(client: Any, name: str, role: str) -> Iterator[Any]:
    """The same server as another person asks it: a header of this client's says who."""
    other = type(client)(client.app, base_url=str(client.base_url), follow_redirects=False)
    other.headers.update({**client.headers, "X-Test-Person": f"{name}:{role}"})
    yield other


def by_header(request: Request) -> Person:
    """A gate that lets in whoever the test names."""
    name, _, role = request.headers.get("X-Test-Person", "you:op").partition(":")
    return Person(name=name, rights=ROLES[role])


def make_queue(client: Any, load_id: str, kind: str, **options: Any) -> dict[str, Any]:
    """A new queue over the load."""
    answer = client.post("/verify/new", json={"kind": kind, "load_id": load_id} | options)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made
