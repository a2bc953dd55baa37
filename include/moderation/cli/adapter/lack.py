"""``moderation adapter queue``: what people have to decide before a training can be, or can be better."""

from __future__ import annotations

import argparse
import sys

from moderation.adapters import stages
from moderation.adapters.sets import to_decide
from moderation.adapters.sets.to_decide import Lack
from moderation.cli.boundary import DONE
from moderation.cli.output import one_line, print_json
from moderation.review import mark
from moderation.settings import Settings


def queue(settings: Settings, options: argparse.Namespace) -> int:
    """Make the queue, or add to it what is new."""
    used, default = stages.thresholds_in_use()
    with mark.opened(settings) as state:
        made = to_decide.make(
            settings,
            state,
            options.labels,
            Lack(options.lack),
            thresholds=used,
            default_threshold=default,
            most=options.images,
        )
    if options.json:
        print_json(made.record())
        return DONE
    for line in made.lines():
        sys.stdout.write(f"{one_line(line)}\n")
    return DONE
