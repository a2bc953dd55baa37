"""The standing queues after a publish."""

from __future__ import annotations

from collections.abc import Sequence

from moderation.adapters.after import sample
from moderation.policy.rules import read_policy
from moderation.policy.thresholds import in_use
from moderation.query.published_views import open_published
from moderation.review import mark
from moderation.review.fill import Rules, fill_standing
from moderation.settings import ConsoleSettings, ReviewSettings, Settings


def fill_from(load_ids: Sequence[str]) -> dict[str, int]:
    """Add to the standing queues what these loads brought; returns how many items, by queue.

    Policy and thresholds are those of the console. May be repeated.

    :raises StateLostError: the state has fewer verdicts than it had; the text says what to do.
    :raises StateError: not all were stored; the same again adds the rest.
    """
    if not load_ids:
        return {}
    own = ConsoleSettings.from_env()
    rules = Rules(policy=read_policy(own.policy) if own.policy else None, thresholds=in_use())
    percent = ReviewSettings.from_env().unflagged_percent
    settings = Settings.from_env()
    with mark.opened(settings) as state, open_published(settings) as connection:
        sample.make_for_champion(settings, state.queues)
        return fill_standing(connection, state.queues, rules, load_ids, unflagged_percent=percent)
