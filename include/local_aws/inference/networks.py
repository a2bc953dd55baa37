"""Loads the networks after checking that their files are the right ones, and runs them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from local_aws.inference.errors import ModelFileError
from local_aws.inference.tensors import Floats, Tensors

MODELS: Final = Path(__file__).parents[1] / "models"
CHECKSUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Classes:
    """The names of the networks' outputs, in order. ImageNet has names that stand for several classes."""

    imagenet: tuple[str, ...]
    coco: tuple[str, ...]
    nsfwjs: tuple[str, ...]
    content_head: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signals:
    """What the networks say of one picture, all 0..1 but EfficientNet's 1280 `features`."""

    classes: Classes
    imagenet: Floats
    coco: Floats
    nsfwjs: Floats
    content_head: Floats
    open_nsfw: float
    features: Floats

    def imagenet_sum(self, *names: str) -> float:
        """The probability that the picture shows any of the named ImageNet classes."""
        return float(sum(self.imagenet[place] for place in _places(self.classes.imagenet, names)))

    def coco_best(self, name: str) -> float:
        """The score of the most certain object of this COCO class."""
        return float(self.coco[self.classes.coco.index(name)])

    def nsfwjs_sum(self, *names: str) -> float:
        """The summed probability of the named nsfwjs classes."""
        return float(sum(self.nsfwjs[self.classes.nsfwjs.index(name)] for name in names))


class Networks:
    """The four networks and the content-type head, checked and ready. Safe to share between threads.

    Every session uses one thread and batches of one: on two cores this is as fast as batching (measured), and
    an answer can depend on nothing but the picture.

    Raises:
        ModelFileError: a file is missing or has another sha256 than this release's.
    """

    def __init__(self, models: Path = MODELS) -> None:
        sums = _read_checksums(models)
        self._efficientnet = _session(_checked(models / "efficientnet-lite0.onnx", sums))
        self._nsfwjs = _session(_checked(models / "nsfwjs-mobilenetv2.onnx", sums))
        self._nanodet = _session(_checked(models / "nanodet-g416.onnx", sums))
        self._open_nsfw = _session(_checked(models / "open-nsfw.onnx", sums))
        names = json.loads(_checked(models / "classes.json", sums))
        self.classes = Classes(**{key: tuple(value) for key, value in names.items()})
        with np.load(
            io.BytesIO(_checked(models / "content-type-head.npz", sums)), allow_pickle=False
        ) as head:
            # Standardising and the linear layer are one linear map.
            self._head_weights: Floats = (head["W"] / head["sd"]).T.copy()
            self._head_bias: Floats = head["b"] - (head["mu"] / head["sd"]) @ head["W"].T

    def run(self, tensors: Tensors) -> Signals:
        """Ask all networks about one picture."""
        imagenet, content_head, features = self.run_efficientnet(tensors.efficientnet)
        return Signals(
            classes=self.classes,
            imagenet=imagenet,
            coco=self.run_nanodet(tensors.nanodet),
            nsfwjs=self.run_nsfwjs(tensors.nsfwjs),
            content_head=content_head,
            open_nsfw=self.run_open_nsfw(tensors.open_nsfw),
            features=features,
        )

    def run_efficientnet(self, tensor: Floats) -> tuple[Floats, Floats, Floats]:
        """ImageNet probabilities (1000), content types (3) and the features (1280) behind both."""
        logits, features = self._efficientnet.run(["logits", "features"], {"input": tensor})
        content = _softmax(features[0] @ self._head_weights + self._head_bias)
        return _softmax(logits[0]), content, features[0]

    def run_features(self, tensor: Floats) -> Floats:
        """EfficientNet's features (1280) alone."""
        features: Floats = self._efficientnet.run(["features"], {"input": tensor})[0][0]
        return features

    def run_nanodet(self, tensor: Floats) -> Floats:
        """The best score of each COCO class (80) over all places; where the object stands is not needed."""
        strides = self._nanodet.run(["o0", "o1", "o2"], {"input": tensor})
        best: Floats = np.max([scores[0].max(axis=0) for scores in strides], axis=0)
        return best

    def run_nsfwjs(self, tensor: Floats) -> Floats:
        """Probabilities of Drawing, Hentai, Neutral, Porn, Sexy."""
        probabilities: Floats = self._nsfwjs.run(["probs"], {"input": tensor})[0][0]
        return probabilities

    def run_open_nsfw(self, tensor: Floats) -> float:
        """The probability that the picture is not safe for work."""
        return float(self._open_nsfw.run(["outputs"], {"input:0": tensor})[0][0, 1])


@lru_cache(maxsize=64)
def _places(classes: tuple[str, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    """Where the named classes stand, in order."""
    return tuple(place for place, name in enumerate(classes) if name in names)


def _read_checksums(models: Path) -> dict[str, str]:
    try:
        lines = (models / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        return {name.strip(): digest for digest, name in (line.split(maxsplit=1) for line in lines if line)}
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{models / CHECKSUMS}: cannot be read ({error}); restore it from the release"
        ) from error


def _checked(file: Path, sums: dict[str, str]) -> bytes:
    """The bytes of a model file of the expected sha256; to be used instead of reading the file again."""
    remedy = "restore it from the release"
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read ({error}); {remedy}") from error
    expected, found = sums.get(file.name), hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ModelFileError(
            f"{file}: sha256 is {found}, expected {expected or 'one, but none is listed'}; {remedy}"
        )
    return data


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # No pool: what a run frees can then be given back before a large picture is decoded. As fast (measured).
    options.enable_cpu_mem_arena = False
    providers: Sequence[str] = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model, options, providers=providers)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    probabilities: Floats = powers / powers.sum()
    return probabilities
