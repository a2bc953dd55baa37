"""How often the 95 % intervals of the numbers cover the truth, and how wide they are, beside other methods.

``PYTHONPATH=include python benchmarks/coverage.py [--populations 2000] [--only simple] [--markdown FILE]``

Each cell is one design, sample size and pattern of rates: that many seeded populations are made, a sample is
drawn from each without replacement, and every method gives its interval. The rates are chosen by how many
misses a sample is expected to find, for few misses are where methods fail: at n x miss rate = 0.15
Wilson's fails whatever the n.

- **simple**: precision, one draw from what was flagged.
- **strata**: the number of missed images, by bands of the highest confidence (900,000, 60,000 and 10,000
images);
  drawn in proportion, equally, 5:3:2 (as Neyman allocation would be), or nightly from 28 loads.
- **recall**: of both together.

The misses lie everywhere alike, mostly in the sparse bands, or all in the largest: nobody knows beforehand.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from interval_methods import FLAGGED, METHODS, OURS, Sample

BANDS = np.array([900_000, 60_000, 10_000])
PATTERNS = {"alike": (1, 1, 1), "sparse bands": (0, 0.2, 1), "largest": (1, 0, 0)}
SHARES = {"proportional": BANDS / BANDS.sum(), "equal": np.ones(3) / 3, "5:3:2": np.array([0.5, 0.3, 0.2])}
NIGHTS = 28
PRECISION = 0.9


@dataclass(frozen=True)
class Cell:
    design: str
    n: int
    pattern: str
    expected: float
    size: np.ndarray
    drawn: np.ndarray
    rates: np.ndarray
    flagged: int = 0


@dataclass
class Result:
    covered: dict[str, float] = field(default_factory=dict)
    width: dict[str, float] = field(default_factory=dict)
    by_found: dict[int, tuple[int, int]] = field(default_factory=dict)


def cells() -> Iterator[tuple[str, Cell]]:  # noqa: PLR0912 - a grid is loops in loops
    """Every cell, with the name of what it measures."""
    for n in (20, 50, 100, 300, 1000):
        for size, about in ((FLAGGED, "of 30,000"), (2 * n, "of 2n")):
            for rate in (0.5, 0.9, 0.99):
                yield "simple", _simple(n, size, 1 - rate, f"{rate:.0%} right, {about}")
            for expected in (0, 0.15, 1, 3):
                yield "simple", _simple(n, size, expected / n, f"few wrong, {about}")
    for n in (100, 300, 1000):
        for design in SHARES:
            for pattern in PATTERNS:
                for expected in (0, 0.2, 1, 2, 3, 10):
                    yield from _strata("strata", design, n, pattern, expected)
    for pattern in PATTERNS:
        for expected in (0, 1, 3, 10):
            yield from _strata("strata", "nightly", 300, pattern, expected)
    for n, flagged in ((300, 50), (1000, 100), (1000, 3000)):
        for design in SHARES:
            for pattern in PATTERNS:
                for expected in (0, 1, 3):
                    yield from _strata("recall", design, n, pattern, expected, flagged=flagged)


def _simple(n: int, size: int, wrong: float, pattern: str) -> Cell:
    # Misses are the rare side, so what is estimated is how many are wrong; precision is the rest.
    return Cell("simple", n, pattern, wrong * n, np.array([size]), np.array([n]), np.array([wrong]))


def _strata(
    about: str, design: str, n: int, pattern: str, expected: float, *, flagged: int = 0
) -> Iterator[tuple[str, Cell]]:
    size, within = BANDS, np.array(PATTERNS[pattern], float)
    if design == "nightly":
        size, within = np.repeat(BANDS // NIGHTS, NIGHTS), np.repeat(within, NIGHTS)
        drawn = np.full(len(size), max(1, round(n / len(size))))
    else:
        drawn = np.maximum(np.round(n * SHARES[design]), 2).astype(int)
    rates = within * expected / (drawn * within).sum()
    if rates.max() <= 0.6:
        yield about, Cell(design, n, pattern, expected, size, drawn, rates, flagged)


def run(about: str, cell: Cell, populations: int, seed: int, spent: dict[tuple[str, str], float]) -> Result:
    """Make the populations, sample each, and hold every method's interval against the truth."""
    draw = np.random.default_rng([20261128, seed])
    have = draw.binomial(cell.size, cell.rates, size=(populations, len(cell.size)))
    found = draw.hypergeometric(have, cell.size - have, cell.drawn)
    truth = have.sum(-1).astype(float)
    rows = found
    if cell.flagged:
        right = draw.binomial(FLAGGED, PRECISION, size=populations)
        seen = draw.hypergeometric(right, FLAGGED - right, cell.flagged)
        truth = right / (right + truth)
        rows = np.column_stack([found, seen])
    unique, back = np.unique(rows, axis=0, return_inverse=True)
    flagged = (cell.flagged, unique[:, -1].astype(float)) if cell.flagged else None
    sample = Sample(
        cell.size.astype(float), cell.drawn.astype(float), unique[:, : len(cell.size)].astype(float), flagged
    )
    whole = 1 if cell.flagged else cell.size.sum()
    result = Result()
    for name, method in METHODS[about].items():
        start = time.perf_counter()
        low, high = (end[back.ravel()] / whole for end in method(sample))
        spent[about, name] += time.perf_counter() - start
        covers = (low <= truth / whole + 1e-9) & (high >= truth / whole - 1e-9)
        result.covered[name], result.width[name] = covers.mean(), (high - low).mean()
        if name == OURS[about]:
            misses = found.sum(-1)
            result.by_found = {
                k: (int(covers[misses == k].sum()), int((misses == k).sum())) for k in (0, 1, 3)
            }
    return result


def methods_table(about: str, results: list[tuple[Cell, Result]]) -> Iterator[str]:
    names = list(METHODS[about])
    covered = {name: np.array([result.covered[name] for _, result in results]) for name in names}
    width = {name: np.array([result.width[name] for _, result in results]) for name in names}
    holds = [name for name in names if covered[name].min() >= 0.9]
    best = np.min([width[name] for name in holds], axis=0)
    some = best > 1e-12
    heads = "least | mean | cells below 90 % | width to best that holds | at most"
    yield f"| {about}, {len(results)} cells | {heads} |"
    yield "|---|---|---|---|---|---|"
    for name in names:
        ratio = (width[name][some] / best[some]) if name in holds else None
        told = f"{ratio.mean():.2f} | {ratio.max():.2f}" if ratio is not None else "does not hold | –"
        bold = "**" if name == OURS[about] else ""
        yield (
            f"| {bold}{name}{bold} | {covered[name].min():.1%} | {covered[name].mean():.1%} "
            f"| {(covered[name] < 0.9).sum()} | {told} |"
        )


def cells_table(about: str, results: list[tuple[Cell, Result]]) -> Iterator[str]:
    """Our method by design and sample size: the least coverage of its cells, mean coverage, mean width."""
    ours_name = OURS[about]
    groups: dict[tuple[str, ...], list[tuple[Cell, Result]]] = defaultdict(list)
    for cell, result in results:
        sample = f"{cell.n:,}" + (f" and {cell.flagged:,} flagged" if cell.flagged else "")
        groups[cell.design, sample].append((cell, result))
    yield f"| {about} | n | cells | least | mean | mean width |"
    yield "|---|---|---|---|---|---|"
    for (design, sample), group in groups.items():
        covered = [result.covered[ours_name] for _, result in group]
        width = np.mean([result.width[ours_name] for _, result in group])
        yield (
            f"| {design} | {sample} | {len(group)} | {min(covered):.1%} | {np.mean(covered):.1%} "
            f"| {width:.2%} |"
        )


def found_table(all_results: dict[str, list[tuple[Cell, Result]]]) -> Iterator[str]:
    """Our methods among the samples that found no, one and three misses."""
    yield "| of the samples that found | 0 misses | 1 | 3 |"
    yield "|---|---|---|---|"
    for about, results in all_results.items():
        told = []
        for k in (0, 1, 3):
            covered, samples = np.sum([result.by_found[k] for _, result in results], axis=0)
            told.append(f"{covered / samples:.1%} of {samples:,}")
        yield f"| {about} | {' | '.join(told)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--populations", type=int, default=2000)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--only", choices=METHODS, help="of these cells alone")
    args = parser.parse_args()
    start, spent = time.perf_counter(), defaultdict[tuple[str, str], float](float)
    results: dict[str, list[tuple[Cell, Result]]] = defaultdict(list)
    for seed, (about, cell) in enumerate(cells()):
        if args.only not in {None, about}:
            continue
        results[about].append((cell, run(about, cell, args.populations, seed, spent)))
        sys.stderr.write(f"\r{about} {len(results[about])}    ")
    lines = []
    for about, told in results.items():
        lines += [*methods_table(about, told), "", *cells_table(about, told), ""]
    lines += found_table(results)
    text = "\n".join(lines) + "\n"
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    sys.stderr.write(f"\n{time.perf_counter() - start:.0f} s\n")
    for (about, name), seconds in sorted(spent.items(), key=lambda entry: -entry[1])[:5]:
        sys.stderr.write(f"  {about}, {name}: {seconds:.0f} s\n")
    missed = [
        (about, cell, result)
        for about, told in results.items()
        for cell, result in told
        if result.covered[OURS[about]] < 0.9
    ]
    for about, cell, result in missed:
        place = f"{about} {cell.design} n={cell.n} {cell.pattern} {cell.expected:g}"
        sys.stderr.write(f"below 90 %: {place}: {result.covered[OURS[about]]:.3f}\n")
    means = {
        about: np.mean([result.covered[OURS[about]] for _, result in told]) for about, told in results.items()
    }
    sys.exit(1 if missed or min(means.values()) < 0.94 else 0)


if __name__ == "__main__":
    main()
