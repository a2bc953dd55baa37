"""Makes the networks of ``include/local_aws/models`` faster without changing a bit of what they say.

    python benchmarks/fold_padding.py OLD.onnx NEW.onnx [OUTPUT ...]

ONNX Runtime keeps pictures in blocks of channels from one convolution to the next. A padding between two of
them is a step of its own that knows no blocks, so all is put in order before it and into blocks behind it.
A convolution pads by itself for nothing, and so does a maximum. Outputs that are not named are left out with
what leads to them alone; all stay where none is named.

It needs ``onnx``, which nothing else here does: ``pip install onnx==1.23.2`` into an environment of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_LOWEST = -1e38
"""What lies below every number a network has counts as nothing for a maximum."""


class Graph:
    """A network's graph, changed in place."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._values = {one.name: one for one in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}

    def keep_outputs(self, names: list[str]) -> None:
        """Leave out all other outputs."""
        kept = [one for one in self._graph.output if one.name in names]
        del self._graph.output[:]
        self._graph.output.extend(kept)

    def fold(self) -> int:
        """Let each convolution and maximum pad by itself; returns how many do now that did not."""
        return sum(self._fold_into(node) for node in list(self._graph.node))

    def prune(self) -> None:
        """Remove what leads to no output."""
        while unused := self._unused():
            for node in unused:
                self._graph.node.remove(node)
        used = {name for node in self._graph.node for name in node.input}
        for value in list(self._graph.initializer):
            if value.name not in used:
                self._graph.initializer.remove(value)

    def _fold_into(self, node: Any) -> bool:
        if node.op_type not in {"Conv", "MaxPool"} or attribute(node, "ceil_mode", 0):
            return False
        if attribute(node, "auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
            return False
        turns = list(self._turns(node.input[0]))
        padding = self._makers.get(turns[-1].input[0] if turns else node.input[0])
        if padding is None or padding.op_type != "Pad" or not self._adds_nothing(padding, node.op_type):
            return False
        before, after = np.array_split(numpy_helper.to_array(self._values[padding.input[1]]), 2)
        for turn in reversed(turns):
            order = attribute(turn, "perm")
            before, after = before[order], after[order]
        if before[:2].any() or after[:2].any():
            return False
        here = np.array(attribute(node, "pads", [0] * 2 * (len(before) - 2)))
        replace(node, "pads", [int(one) for one in here + np.concatenate([before[2:], after[2:]])])
        node.input[0] = self._turned(padding.input[0], turns, ahead_of=node)
        return True

    def _adds_nothing(self, padding: Any, to: str) -> bool:
        """Whether it pads with what the step takes for nothing when it pads by itself."""
        if attribute(padding, "mode", b"constant") != b"constant":
            return False
        given = padding.input[2] if len(padding.input) > 2 else ""
        value = float(numpy_helper.to_array(self._values[given]).flat[0]) if given else 0.0
        return value == 0.0 if to == "Conv" else value <= _LOWEST

    def _turns(self, name: str) -> Iterator[Any]:
        """The transpositions that lead to a value, the last one first."""
        while (maker := self._makers.get(name)) is not None and maker.op_type == "Transpose":
            yield maker
            name = maker.input[0]

    def _turned(self, name: str, turns: list[Any], *, ahead_of: Any) -> str:
        """The name of a value after the same transpositions."""
        place = list(self._graph.node).index(ahead_of)
        for turn in reversed(turns):
            after = f"{turn.output[0]}_unpadded_for_{ahead_of.output[0]}"
            self._graph.node.insert(
                place, helper.make_node("Transpose", [name], [after], perm=attribute(turn, "perm"))
            )
            name, place = after, place + 1
        return name

    def _unused(self) -> list[Any]:
        used = {name for node in self._graph.node for name in node.input}
        used |= {one.name for one in self._graph.output}
        return [node for node in self._graph.node if not used.intersection(node.output)]


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """The value of an attribute of a node."""
    found = [helper.get_attribute_value(one) for one in node.attribute if one.name == name]
    return found[0] if found else default


def replace(node: Any, name: str, value: Any) -> None:
    """Give a node an attribute instead of the one it has; with paddings, how to find them by itself goes."""
    for one in list(node.attribute):
        if one.name in {name, "auto_pad"}:
            node.attribute.remove(one)
    node.attribute.append(helper.make_attribute(name, value))


def main() -> int:
    """Write the new file."""
    old, new, *outputs = sys.argv[1:]
    model = onnx.load(old)
    graph = Graph(model.graph)
    if outputs:
        graph.keep_outputs(outputs)
    folded = graph.fold()
    graph.prune()
    onnx.save(model, new)
    print(f"{new}: {folded} paddings folded, {len(model.graph.node)} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
