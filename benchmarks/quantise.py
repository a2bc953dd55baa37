"""Makes networks of ``include/local_aws/models`` that count in 8-bit integers of such that count in floats.

    PYTHONPATH=include python benchmarks/quantise.py nanodet OLD.onnx NEW.onnx

``nanodet`` or ``open_nsfw`` is the input that the network takes (``inference/tensors.py``). The ranges of its
numbers are measured on the demo images and every sixth of the adapter images.

Weights have 7 bits of the 8: a processor without VNNI sums pairs of products in 16 bits, and with 7 none of
these sums overflows, so that integers are the same on every processor. What sees pixels stays in floats where
it is named below: its three channels make poor use of integers, and with 8 bits of contrast it loses most.

It needs ``onnx``, which nothing else here does: ``pip install onnx==1.23.2`` into an environment of its own,
beside ``numpy``, ``pillow`` and ``onnxruntime`` as they are in ``requirements.txt``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import local_aws
from local_aws.inference import tensors
from local_aws.inference.decode import decode, inspect

_OPSET: Final = 17
_IR_VERSION: Final = 9
_FLOAT_STEPS: Final = {"nanodet": 3, "open_nsfw": 0}
"""How many steps at the beginning stay in floats, by network."""


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """The input of a network, made of one image after the other."""

    def __init__(self, network: str, name: str) -> None:
        self._inputs = self._all(network, name)

    def get_next(self) -> dict[str, Any] | None:
        """The next one; None behind the last."""
        return next(self._inputs, None)

    @staticmethod
    def _all(network: str, name: str) -> Iterator[dict[str, Any]]:
        package = Path(local_aws.__file__).parent
        demo = sorted(p for p in (package / "demo_images").rglob("*") if p.suffix in {".jpg", ".png"})
        drawings = sorted((package / "adapter_images" / "images").glob("*.png"))
        for path in [*demo, *drawings[::6]]:
            picture = decode(inspect(path.read_bytes()))
            yield {name: getattr(tensors.normalise(tensors.resize(picture)), network)}


def simplified(network: str, old: Path, folder: Path) -> Path:
    """The same network with its weights in floats and its batch norms folded, of a version that has QDQ."""
    model = onnx.load(old)
    if next(one.version for one in model.opset_import if not one.domain) < _OPSET:
        model = version_converter.convert_version(model, _OPSET)
        model.ir_version = _IR_VERSION
    current, folded = folder / "current.onnx", folder / "folded.onnx"
    onnx.save(model, current)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(current), options, providers=["CPUExecutionProvider"])
    model = onnx.load(folded)
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    if _FLOAT_STEPS[network]:
        take_maximum_first(model.graph)
    onnx.save(model, folded)
    return folded


def take_maximum_first(graph: Any) -> None:
    """Let the first maximum go ahead of the rising function before it, which gives the same numbers.

    ONNX Runtime moves what makes integers ahead of a maximum, and finds the maximum of integers in no block.
    """
    rising, maximum = graph.node[1], graph.node[2]
    if (rising.op_type, maximum.op_type) != ("LeakyRelu", "MaxPool"):
        raise SystemExit(f"the steps are {rising.op_type} and {maximum.op_type}, which are not known")
    before, between, after = rising.input[0], rising.output[0], maximum.output[0]
    maximum.input[0], maximum.output[0] = before, between
    rising.input[0], rising.output[0] = between, after
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(maximum)
    second.CopyFrom(rising)
    rising.CopyFrom(first)
    maximum.CopyFrom(second)


def main() -> int:
    """Write the new file."""
    network, old, new = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        folded = simplified(network, Path(old), Path(folder))
        graph = onnx.load(folded).graph
        quantize_static(
            str(folded),
            new,
            Pictures(network, graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=[node.name for node in graph.node[: _FLOAT_STEPS[network]]],
        )
    print(f"{new}: {Path(new).stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
