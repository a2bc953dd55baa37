"""A person who verifies images in the console of the cluster's web server."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from moderation.console.application import WRITE_HEADER

_AT_ONCE = 20


class Reviewer:
    """Logged in at the API server.

    :param url: its address.
    """

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=120)
        token = self._client.post("/auth/token", json={"username": user, "password": password})
        token.raise_for_status()
        self._client.headers.update(
            {"Authorization": f"Bearer {token.json()['access_token']}", WRITE_HEADER: "1"}
        )
        self.said: dict[str, str] = {}

    def begin(self, load_id: str) -> None:
        """Make a queue of what was found in a load."""
        made = self._asked("/moderation/verify/new", kind="filter", load_id=load_id, query="show=flagged")
        self._queue = made["address"].split("/queues/")[1].split("?")[0]

    def verify(self, most: int) -> int:
        """Answer up to so many images; returns how many were there."""
        items = self._asked(
            f"/moderation/verify/queues/{self._queue}/next", n=min(most, _AT_ONCE), holding=[]
        )
        answers = [self._answer(item) for item in items["items"]]
        if answers:
            told = self._asked("/moderation/verify/answers", answers=answers)
            assert not told["refused"], told
            assert len(told["taken"]) == len(answers)
        return len(answers)

    def close(self) -> None:
        """Log out."""
        self._client.close()

    def _answer(self, item: dict[str, Any]) -> dict[str, Any]:
        labels = [found["name"] for found in item["labels"]]
        rows = [
            {"id": uuid.uuid4().hex, "subject": "label", "label": name, "verdict": "present"}
            for name in labels
        ]
        self.said |= {row["id"]: row["verdict"] for row in rows}
        known = {name: item[name] for name in ("item", "queue", "load", "n")}
        return {"id": uuid.uuid4().hex, **known, "state": "done", "at": 0, "rows": rows}

    def _asked(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        return answer.json()
