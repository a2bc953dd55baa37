"""A policy: rules that turn labels into allow, review or block, apart from the scores.

A policy file is TOML::

    name = "strict"
    default = "allow"            # what no rule meets; allow when left out

    [[rules]]
    decision = "block"           # allow, review or block
    label = "Explicit Nudity"    # its name in taxonomy 7.0; left out: any label
    level = 2                    # only labels of this level; left out: any level
    min_confidence = 90          # percent; left out: any confidence
    content_type = ["none"]      # only such images; left out: any

The first rule that a label meets decides about the label; the severest of an image's labels decides about the
image. So an exception (``allow``) stands before the rule it is an exception from.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.reference.taxonomy import taxonomy
from moderation.schema import CONTENT_TYPES

DECISIONS = ("allow", "review", "block")
"""From mild to severe."""

_POLICY_KEYS = {"name", "default", "rules"}
_RULE_KEYS = {"decision", "label", "level", "min_confidence", "content_type"}


class PolicyError(NeedsAPersonError, ValueError):
    """A policy file cannot be used; the message names file, rule, key and what is expected."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; None means any.

    :param label: in the taxonomy's spelling.
    :param min_confidence: percent.
    """

    decision: str
    label: str | None = None
    level: int | None = None
    min_confidence: float | None = None
    content_types: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Rules in their order, and the decision for what none of them meets."""

    name: str
    default: str
    rules: tuple[Rule, ...]


def read_policy(path: Path) -> Policy:
    """Read and check a policy file.

    :raises PolicyError: it is not there, no TOML, or says what cannot be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: is not UTF-8; save it as such") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path}: is not TOML: {error}") from error
    return parse_policy(content, where=str(path))


def decide(
    policy: Policy, labels: Sequence[Mapping[str, Any]], *, content_type: str
) -> tuple[str, int | None]:
    """What the policy makes of one answer: the decision, and the number of the rule; None for the default.

    The same as :func:`moderation.policy.sql.decisions` says of a row of `images`.

    :param labels: ``name``, ``level`` and ``confidence`` (percent) of each label that the answer lists.
    """
    met = [_first_rule(policy, label, content_type) for label in labels]
    decided = [
        (DECISIONS.index(policy.rules[number - 1].decision if number else policy.default), -number, number)
        for number in met
    ]
    if not decided:
        return policy.default, None
    severity, _, number = max(decided, key=lambda one: (one[0], one[1] if one[2] else -math.inf))
    return DECISIONS[severity], number or None


def _first_rule(policy: Policy, label: Mapping[str, Any], content_type: str) -> int:
    """Number of the first rule that the label meets, from 1; 0 for none."""
    node = taxonomy().lookup(label["name"])
    name = node.name if node else label["name"]
    for number, rule in enumerate(policy.rules, start=1):
        if (
            rule.label in {None, name}
            and rule.level in {None, label["level"]}
            and (rule.min_confidence is None or label["confidence"] >= rule.min_confidence)
            and (rule.content_types is None or content_type in rule.content_types)
        ):
            return number
    return 0


def parse_policy(content: Mapping[str, Any], *, where: str) -> Policy:
    """Check the content of a policy file.

    :param where: the file, for messages.
    :raises PolicyError: see `read_policy`.
    """
    _check_keys(content, _POLICY_KEYS, where)
    rules = content.get("rules")
    if not isinstance(rules, list) or not rules or not all(isinstance(rule, dict) for rule in rules):
        raise PolicyError(f"{where}: expected at least one [[rules]]")
    name = content.get("name", Path(where).stem)
    if not isinstance(name, str) or not name.strip():
        raise PolicyError(f"{where}: name: expected a text, not {name!r}")
    return Policy(
        name=name,
        default=_decision(content.get("default", "allow"), f"{where}: default"),
        rules=tuple(_rule(rule, f"{where}: rule {number}") for number, rule in enumerate(rules, start=1)),
    )


def _rule(content: Mapping[str, Any], where: str) -> Rule:
    _check_keys(content, _RULE_KEYS, where)
    if "decision" not in content:
        raise PolicyError(f"{where}: decision is missing; expected one of {', '.join(DECISIONS)}")
    level = content.get("level")
    if level is not None and (type(level) is not int or level not in {1, 2, 3}):
        raise PolicyError(f"{where}: level: expected 1, 2 or 3, not {level!r}")
    return Rule(
        decision=_decision(content["decision"], f"{where}: decision"),
        label=_label(content.get("label"), level, where),
        level=level,
        min_confidence=_confidence(content.get("min_confidence"), where),
        content_types=_content_types(content.get("content_type"), where),
    )


def _check_keys(content: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise PolicyError(f"{where}: unknown key {key!r}{_meant(key, known)}")


def _decision(value: Any, where: str) -> str:
    if value not in DECISIONS:
        raise PolicyError(f"{where}: expected one of {', '.join(DECISIONS)}, not {value!r}")
    return str(value)


def _label(value: Any, level: int | None, where: str) -> str | None:
    if value is None:
        return None
    node = taxonomy().lookup(value) if isinstance(value, str) else None
    if node is None:
        names = {node.name for node in taxonomy()}
        raise PolicyError(f"{where}: label: {value!r} is not in taxonomy 7.0{_meant(str(value), names)}")
    if level is not None and level != node.level:
        raise PolicyError(f"{where}: {node.name} is at level {node.level}, so level = {level} meets nothing")
    return node.name


def _confidence(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if type(value) not in {int, float} or not 0 <= value <= 100:
        raise PolicyError(f"{where}: min_confidence: expected a number from 0 to 100, not {value!r}")
    return float(value)


def _content_types(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    listed = value if isinstance(value, list) else [value]
    for entry in listed:
        if entry not in CONTENT_TYPES:
            raise PolicyError(
                f"{where}: content_type: expected some of {', '.join(CONTENT_TYPES)}, not {entry!r}"
            )
    if not listed:
        raise PolicyError(f"{where}: content_type: an empty list meets nothing; leave the key out for any")
    return tuple(listed)


def _meant(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected some of {', '.join(sorted(known))}"
