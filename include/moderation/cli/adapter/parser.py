"""``moderation adapter``."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

from moderation.adapters.sets.to_decide import MOST, Lack
from moderation.cli import arguments
from moderation.cli.adapter import lack, learn, shadow, use

_USUAL = ", ".join(f"{most:,} {lack}" for lack, most in MOST.items())


def add_parsers(commands: Any) -> None:
    """Add ``adapter`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    adapter = commands.add_parser("adapter", help="train adapters from verdicts, compare and promote them")
    words = adapter.add_subparsers(required=True, metavar="WHAT")

    eligibility = _word(
        words, "eligibility", "which labels have enough errors to be trained", learn.eligibility
    )
    eligibility.add_argument("labels", nargs="*", metavar="LABEL", help="default: all that were verified")

    queue = _word(words, "queue", "make the queue of what a training of labels lacks", lack.queue)
    queue.add_argument("labels", nargs="+", metavar="LABEL")
    queue.add_argument(
        "--for",
        dest="lack",
        choices=[str(one) for one in Lack],
        default=str(Lack.DECISIONS),
        help="decisions that would make its set complete (default), or images that are likely errors",
    )
    queue.add_argument("--images", type=arguments.count, metavar="N", help=f"at once; default: {_USUAL}")

    train = _person(_word(words, "train", "make a training set of labels and train on it", learn.train))
    train.add_argument("labels", nargs="+", metavar="LABEL")
    train.add_argument("--project", default="moderation", help="default: moderation")
    train.add_argument("--dry-run", action="store_true", help="make the set, tell the price, stop")
    train.add_argument(
        "--max-cost-usd", type=arguments.rate, required=True, metavar="USD", help="what a training may cost"
    )
    train.add_argument("--wait", action="store_true", help="wait for the end, compare and judge")

    evaluate = _word(words, "evaluate", "compare a trained adapter with the base model", learn.evaluate)
    evaluate.add_argument("arn", metavar="ARN")

    _word(words, "list", "the adapters that were trained here, and which one is in use", use.list_all)
    show = _word(words, "show", "what is known of an adapter", use.show)
    show.add_argument("arn", metavar="ARN")

    beside = _word(words, "shadow", "ask an adapter about a sample, beside the one in use", shadow.shadow)
    beside.add_argument("arn", metavar="ARN")
    beside.add_argument("--images", type=arguments.count, default=500, metavar="N", help="default: 500")
    beside.add_argument(
        "--max-cost-usd", type=arguments.rate, required=True, metavar="USD", help="what it may cost in all"
    )
    beside.add_argument("--name", default="first", help="another one for another sample; default: first")
    beside.add_argument("--dry-run", action="store_true", help="draw the sample, tell the price, ask nothing")

    promote = _person(_word(words, "promote", "use an adapter from now on", use.promote))
    promote.add_argument("arn", metavar="ARN")
    promote.add_argument("--knowingly", action="store_true", help="what the gate asks about was seen")
    promote.add_argument(
        "--older-share",
        type=arguments.percentage,
        default=0.0,
        metavar="PERCENT",
        help="of the images answered before, asked for and paid anew each night; default: none",
    )
    promote.add_argument("--dry-run", action="store_true", help="tell what it would cost; promote nothing")
    rollback = _person(_word(words, "rollback", "use again what was used before", use.roll_back))
    rollback.add_argument("--reason", default="")
    retire = _person(_word(words, "retire", "never use an adapter again", use.retire))
    retire.add_argument("arn", metavar="ARN")
    retire.add_argument("--reason", default="")
    _word(words, "publish", "bring the table adapters and the warehouses up to date", use.publish)


def _word(words: Any, name: str, told: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = words.add_parser(name, help=told)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _person(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--person", default=getpass.getuser(), help="who does it; default: who is logged in")
    return parser
