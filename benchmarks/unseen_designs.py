"""What the offline endpoint's trainer finds of a design of playing cards that it was not trained on.

``python benchmarks/unseen_designs.py [VIEWS…]`` prints a row for each design left out of
``include/local_aws/adapter_images``, and each number of changed copies (default: what the endpoint makes).
The harmless drawings that are judged were not trained on either: whole folders of them are left out in turn,
since neighbours in a folder resemble each other. ``white`` and ``ornamental`` are one design on two grounds.

``--judge FOLDER``: instead, train on the whole folder and judge on other images, ``FOLDER/<design>/*`` that
show cards and ``FOLDER/harmless/*`` that do not, brought to 320 pixels on white as those of the folder are.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "include"))

from local_aws.inference.adapters.learned import base_score, logit  # noqa: E402
from local_aws.inference.errors import ImageRejected  # noqa: E402
from local_aws.inference.moderator import Moderator  # noqa: E402
from local_aws.rekognition.settings import ServerSettings  # noqa: E402
from local_aws.rekognition.training.learning import Sample, fit, learn  # noqa: E402

IMAGES = REPOSITORY / "include" / "local_aws" / "adapter_images"
LABEL = "Gambling"
LEFT_OUT = (("her",), ("white", "ornamental"), ("white",), ("ornamental",))
FOLDS = 3
Image.MAX_IMAGE_PIXELS = None  # what is judged is the caller's own

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Model = Callable[[Numbers], Flags]
"""Which images of the folder it flags."""


@dataclass(frozen=True)
class Drawings:
    """All images of the folder, as the networks see them.

    :param families: of each image, the folder that it was drawn for; of a card, its design.
    :param features: images × (1 + changed copies) × features.
    """

    families: NDArray[np.str_]
    is_card: Flags
    is_harmless: Flags
    base_logits: NDArray[np.float64]
    features: NDArray[np.float16]

    def harmless_folds(self) -> Iterator[Flags]:
        """The harmless drawings in parts of about one size, each folder in one part."""
        names, sizes = np.unique(self.families[self.is_harmless], return_counts=True)
        parts: list[list[str]] = [[] for _ in range(FOLDS)]
        held = [0] * FOLDS
        for place in np.argsort(-sizes, kind="stable"):
            least = int(np.argmin(held))
            parts[least].append(names[place])
            held[least] += int(sizes[place])
        for part in parts:
            yield self.is_harmless & np.isin(self.families, part)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", metavar="VIEWS")
    parser.add_argument("--judge", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    counts = given.counts or [ServerSettings().training_views]
    own = look(max(counts))
    seen = with_others(own, given.judge, max(counts)) if given.judge else own
    ways = {"plain logistic regression": plain_regression(seen)} | {
        f"the trainer, {count} changed copies": adapter(seen, count) for count in counts
    }
    if given.judge:
        for name, train in ways.items():
            print(f"{name}: {judge_others(seen, len(own.families), train)}", flush=True)
        return 0
    print("| left out | learnt by | of it found | harmless flagged |")
    print("|---|---|---|---|")
    for designs in LEFT_OUT:
        for name, train in ways.items():
            row = [" and ".join(designs), name, *judge(seen, designs, train)]
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


def look(views: int) -> Drawings:
    """Look at every image once."""
    with (IMAGES / "truth.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    moderator = Moderator()
    seen = [moderator.examine((IMAGES / "images" / row["file"]).read_bytes(), views=views) for row in rows]
    return Drawings(
        families=np.array([row["file"].split("-")[0] for row in rows]),
        is_card=np.array([row["label"] == LABEL for row in rows]),
        is_harmless=np.array([not row["label"] for row in rows]),
        base_logits=np.array([logit(base_score(one.scores, LABEL)) for one in seen]),
        features=np.stack([one.features for one in seen]).astype(np.float16),
    )


def with_others(own: Drawings, folder: Path, views: int) -> Drawings:
    """The images of the folder, and behind them others that were not trained on."""
    moderator, families, seen = Moderator(), [], []
    for path in sorted(folder.glob("*/*.*")):
        try:
            seen.append(moderator.examine(brought_alike(path)))
        except ImageRejected:  # too narrow for Rekognition
            continue
        families.append(path.parent.name)
    features = np.stack([one.features for one in seen]).astype(np.float16).repeat(views + 1, axis=1)
    is_harmless = np.array(families) == "harmless"
    return Drawings(
        families=np.concatenate([own.families, families]),
        is_card=np.concatenate([own.is_card, ~is_harmless]),
        is_harmless=np.concatenate([own.is_harmless, is_harmless]),
        base_logits=np.concatenate([own.base_logits, [logit(base_score(one.scores, LABEL)) for one in seen]]),
        features=np.concatenate([own.features, features]),
    )


def brought_alike(path: Path) -> bytes:
    """An image as those of the folder are: 320 pixels at most, on white, with a palette."""
    with Image.open(path) as opened, io.BytesIO() as out:
        image = opened.convert("RGBA")
        image.thumbnail((320, 320))
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        ground.quantize(256).save(out, "PNG")
        return out.getvalue()


def judge_others(seen: Drawings, own: int, train: Callable[[Numbers], Model]) -> str:
    """Train on the first ``own`` images; what is found of each design behind them, and flagged else."""
    flags = train(np.arange(own))
    told = []
    for name in sorted(set(seen.families[own:])):
        flagged = flags(own + np.flatnonzero(seen.families[own:] == name))
        told.append(f"{name} {flagged.mean():.{3 if name == 'harmless' else 2}f} of {len(flagged)}")
    cards = flags(own + np.flatnonzero(seen.is_card[own:]))
    return f"{', '.join(told)}; all cards {cards.mean():.3f} of {len(cards)}"


def judge(seen: Drawings, designs: Sequence[str], train: Callable[[Numbers], Model]) -> tuple[str, str]:
    """Train without some designs and each part of the harmless drawings in turn, and judge on both."""
    unseen_cards = seen.is_card & np.isin(seen.families, designs)
    found, flagged = [], 0
    for unseen_harmless in seen.harmless_folds():
        flags = train(np.flatnonzero(~unseen_cards & ~unseen_harmless))
        found.append(flags(np.flatnonzero(unseen_cards)).mean())
        flagged += int(flags(np.flatnonzero(unseen_harmless)).sum())
    harmless = int(seen.is_harmless.sum())
    return (
        f"{np.mean(found):.2f} ({min(found):.2f}…{max(found):.2f}) of {unseen_cards.sum()}",
        f"{flagged} of {harmless} ({flagged / harmless:.1%})",
    )


def adapter(seen: Drawings, views: int) -> Callable[[Numbers], Model]:
    """The endpoint's own trainer."""

    def train(places: Numbers) -> Model:
        learned = learn(
            Sample(
                seen.features[places, : views + 1],
                {LABEL: seen.base_logits[places]},
                {LABEL: seen.is_card[places]},
            )
        )
        head = learned.heads[LABEL]

        def flags(judged: Numbers) -> Flags:
            z = (seen.features[judged, 0].astype(np.float64) - learned.mean) / learned.scale
            return z @ head.weights + head.base_weight * seen.base_logits[judged] + head.bias >= 0

        return flags

    return train


def plain_regression(seen: Drawings) -> Callable[[Numbers], Model]:
    """Logistic regression on the standardised features: class-balanced, L2 (C = 1), from 0.5 on."""

    def train(places: Numbers) -> Model:
        rows = seen.features[places, 0].astype(np.float32)
        mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-3)
        nothing = np.zeros(len(places))
        weights = fit((rows - mean) / scale, nothing, seen.is_card[places], penalty=1 / len(places))

        def flags(judged: Numbers) -> Flags:
            z = (seen.features[judged, 0].astype(np.float32) - mean) / scale
            return z @ weights[2:] + weights[0] >= 0

        return flags

    return train


if __name__ == "__main__":
    sys.exit(main())
