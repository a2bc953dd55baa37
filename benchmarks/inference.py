"""Where the offline model's time goes, how fast it is, how far from its networks' own limit, and its memory.

    PYTHONPATH=include:tests .venv/bin/python benchmarks/inference.py [--images 48] [--rounds 3]

Pictures are the demo photos with a longer side of 1,024 px, as JPEG of quality 85. The limit is the four
networks alone on prepared tensors, in the same run with the same threads, alternating with the pipeline, so
that other load on the machine touches both. Figures are medians of the rounds, the ratio too.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

import local_aws
from local_aws.inference import rules, tensors
from local_aws.inference.decode import ImageLimits, check, decode
from local_aws.inference.moderator import Moderator
from support import pictures

PHOTOS = sorted((Path(local_aws.__file__).parent / "demo_images" / "photos").glob("*.jpg"))


def write_pictures(folder: Path, count: int) -> list[Path]:
    paths = []
    for index in range(count):
        with Image.open(PHOTOS[index % len(PHOTOS)]) as photo:
            scale = 1024 / max(photo.size)
            resized = photo.convert("RGB").resize((round(photo.width * scale), round(photo.height * scale)))
        path = folder / f"{index:04d}.jpg"
        resized.save(path, "JPEG", quality=85)
        paths.append(path)
    return paths


def stages(moderator: Moderator, paths: Sequence[Path]) -> dict[str, list[float]]:
    """Milliseconds of each stage for each picture, one thread."""
    networks = moderator.load()
    took: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., Any], *args: Any) -> Any:
        start = time.perf_counter()
        result = work(*args)
        took.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        return result

    for path in paths:
        data = timed("read", path.read_bytes)
        container = timed("check header", check, data, ImageLimits())
        picture = timed("decode", decode, container)
        inputs = timed("normalise", tensors.normalise, timed("resize", tensors.resize, picture))
        timed("network efficientnet", networks.run_efficientnet, inputs.efficientnet)
        timed("network nsfwjs", networks.run_nsfwjs, inputs.nsfwjs)
        timed("network nanodet", networks.run_nanodet, inputs.nanodet)
        timed("network open_nsfw", networks.run_open_nsfw, inputs.open_nsfw)
        signals = networks.run(inputs)
        timed("post", lambda: (rules.labels(rules.scores(signals), 50), rules.content_types(signals)))  # noqa: B023 - called at once
    return took


def rate(work: Callable[[Any], Any], items: Sequence[Any], threads: int) -> float:
    """Items a second."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(work, items):
            pass
        return len(items) / (time.perf_counter() - start)


def throughput(
    moderator: Moderator, paths: Sequence[Path], threads: int, rounds: int
) -> tuple[float, float, float]:
    """Medians of images a second from file to labels, for the networks alone, and of their ratio."""
    networks = moderator.load()
    prepared = [
        tensors.normalise(tensors.resize(decode(check(p.read_bytes(), ImageLimits())))) for p in paths[:12]
    ]
    inputs = [prepared[index % len(prepared)] for index in range(len(paths))]
    whole, alone = [], []
    for _ in range(rounds):
        whole.append(rate(lambda path: moderator.moderate(path.read_bytes()), paths, threads))
        alone.append(rate(networks.run, inputs, threads))
    ratios = [ours / limit for ours, limit in zip(whole, alone, strict=True)]
    return statistics.median(whole), statistics.median(alone), statistics.median(ratios)


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB (10^6 bytes)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f},"
        f" Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), options.images)
        moderator = Moderator(threads=2)
        start = time.perf_counter()
        moderator.load()
        print(f"load and check the networks: {time.perf_counter() - start:.2f} s\n")
        moderator.moderate(paths[0].read_bytes())

        took = stages(moderator, paths)
        medians = {name: statistics.median(times) for name, times in took.items()}
        total = sum(medians.values())
        print(f"{'stage, 1 thread':24}{'ms, median':>12}{'share':>8}")
        for name, milliseconds in medians.items():
            print(f"{name:24}{milliseconds:12.2f}{milliseconds / total:8.1%}")
        print(f"{'total':24}{total:12.2f}\n")

        print(f"{'threads':>7}{'images/s':>10}{'networks alone/s':>18}{'ratio':>7}")
        for threads in (1, 2):
            whole, alone, ratio = throughput(moderator, paths, threads, options.rounds)
            print(f"{threads:7}{whole:10.1f}{alone:18.1f}{ratio:7.2f}")

        print(f"\npeak memory, 1,024 px JPEGs:            {peak_mb():6.0f} MB")
        contents = [path.read_bytes() for path in paths[:12]]
    for name, make in (("JPEG", pictures.hundred_megapixels), ("PNG", pictures.hundred_megapixel_png)):
        large = make()
        rate(moderator.moderate, [*contents, large, *contents, large, *contents], 2)
        print(
            f"with 10,000×10,000 {name} among them:{'':5}{'' if name == 'JPEG' else ' '}{peak_mb():6.0f} MB"
        )


if __name__ == "__main__":
    main()
