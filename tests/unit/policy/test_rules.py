from __future__ import annotations

from typing import Any

import duckdb
import pytest

from moderation.policy.rules import Policy, decide, parse_policy
from moderation.query.replay import replay
from support import small_warehouse

POLICIES: list[dict[str, Any]] = [
    {"name": "one rule", "rules": [{"decision": "review"}]},
    {"name": "default block", "default": "block", "rules": [{"decision": "allow", "label": "Weapons"}]},
    {
        "name": "exception first",
        "rules": [
            {"decision": "allow", "label": "Weapon Violence"},
            {"decision": "block", "label": "Violence", "min_confidence": 90},
            {"decision": "review", "level": 2},
        ],
    },
    {
        "name": "by content type",
        "default": "review",
        "rules": [
            {"decision": "allow", "content_type": ["animated", "illustrated"]},
            {"decision": "block", "label": "explicit nudity", "min_confidence": 95},
        ],
    },
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A warehouse with the story of two loads."""
    path = small_warehouse.small(tmp_path_factory.mktemp("policy") / "warehouse.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


def by_hand(policy: Policy) -> dict[tuple[str, str], tuple[str, int | None]]:
    """Every moderated image of the story that 7.0 answered, decided one by one."""
    return {
        (row["load_id"], row["source_ref"]): decide(policy, labels, content_type=row["content_type"])
        for row, labels in small_warehouse.STORY
        if row["status"] == "moderated" and row["model_version"] == "7.0"
    }


@pytest.mark.parametrize("content", POLICIES, ids=lambda content: content["name"])
def test_one_image_is_decided_as_the_whole_history_is(answers, content):
    policy = parse_policy(content, where="test")
    rows = replay(answers, min_confidence=50, policy=policy).fetchall()
    names = replay(answers, min_confidence=50, policy=policy).columns
    told = {
        (row["load_id"], row["source_ref"]): (row["decision"], row["rule"])
        for row in (dict(zip(names, values, strict=True)) for values in rows)
    }
    expected = by_hand(policy)
    assert {key: told[key] for key in expected} == expected
    assert len(expected) > 5
