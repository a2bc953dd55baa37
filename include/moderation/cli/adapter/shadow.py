"""``moderation adapter shadow``: an adapter beside the one in use, on a sample."""

from __future__ import annotations

import argparse
import sys

from moderation.adapters.shadow import answers, comparison, sample
from moderation.adapters.status import check_adapter
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.jobs import Rekognition
from moderation.cli.output import one_line, print_json
from moderation.publish.shadow_answers import publish_shadow
from moderation.review import mark
from moderation.settings import Settings


def shadow(settings: Settings, options: argparse.Namespace) -> int:
    """Ask about a sample within a budget, tell where the two differ; ends with 1 where some is not asked."""
    with Rekognition(settings) as rekognition:
        check_adapter(rekognition, options.arn)
    drawn = sample.prepare(
        settings, options.arn, images=options.images, max_cost_usd=options.max_cost_usd, name=options.name
    )
    is_whole = True
    if not options.dry_run:
        if not options.json:
            sys.stdout.write(f"{one_line(drawn.text())}\n")
        is_whole = answers.ask(settings, drawn)
        publish_shadow(settings, drawn.shadow_id)
        with mark.opened(settings) as state:
            queue, _ = comparison.differing_queue(settings, state.queues, drawn.shadow_id)
    found = [
        one for one in comparison.of_challenger(settings, options.arn) if one.shadow_id == drawn.shadow_id
    ]
    if options.json:
        print_json(
            {
                "shadow_id": drawn.shadow_id,
                "images": len(drawn.images),
                "expected_cost_usd": drawn.cost_usd,
                "max_cost_usd": drawn.max_cost_usd,
                "is_whole": is_whole and bool(found),
                "comparison": found[0].record() if found else None,
            }
        )
    else:
        lines = [line for one in found for line in one.lines()]
        lines += (
            [f"images that they tell apart: queue {queue.queue_id}"] if found and not options.dry_run else []
        )
        lines += [] if is_whole else ["the budget bears no more: the rest is not asked"]
        for line in lines or [drawn.text()]:
            sys.stdout.write(f"{one_line(line)}\n")
    return DONE if is_whole else SOMETHING_FAILED
