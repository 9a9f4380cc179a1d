"""Members and what combines them as one graph: one call answers, and what members share is computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from rivals.build.convert import OPSET
from rivals.bundles import NUMBERS, TEXTS
from rivals.errors import BuildError
from rivals.protocols import Combiner, Compiled
from rivals.values import Signature

GREW = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}  # newer ones take more, and the same by what is old

Key = tuple[Any, ...]


def one_graph(members: Mapping[str, tuple[bytes, Signature]], combiner: Combiner, signature: Signature) -> bytes:
    """Join the members' graphs under their combiner; ``signature`` is the ensemble's.

    Operators that take the same and do the same become one, so steps that members share are computed once. Raises
    ``BuildError`` where they cannot be joined, and whatever the checker of ONNX raises.
    """
    if not isinstance(combiner, Compiled):
        raise BuildError("its combiner does not say how it answers as a graph")
    graph = _Growing()
    answers = {}
    for name, (raw, own) in members.items():
        model = onnx.load_from_string(raw)
        blocks = {node.name: _block(graph, node.name, own, signature) for node in model.graph.input}
        answers[name] = graph.include(model, blocks)
    said = combiner.emit(graph, answers, len(signature.labels) or 1)
    if not said:
        raise BuildError("its combiner does not say how it answers as a graph")
    return graph.finished(said, signature)


def _block(graph: _Growing, block: str, own: Signature, whole: Signature) -> str:
    """The member's columns, in its order, of the ensemble's block."""
    kind = {NUMBERS: "number", TEXTS: "text"}[block]
    wanted = [column.name for column in own.inputs if column.kind == kind]
    given = [column.name for column in whole.inputs if column.kind == kind]
    if wanted == given:
        return block
    places = graph.constant(np.array([given.index(name) for name in wanted], np.int64))
    return graph.node("Gather", [block, places], axis=1)


class _Growing:
    """A ``Graph``: what is there already is not added again."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[Key, Sequence[str]] = {}
        self._used: set[tuple[str, str, int]] = set()  # domain, operator, version
        self._version = 0

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One operator of the default set; its output."""
        return self._add(helper.make_node(kind, list(inputs), ["out"], **attributes), OPSET[""])[0]

    def constant(self, values: NDArray[Any]) -> str:
        """Values that are always the same."""
        return self._constant(numpy_helper.from_array(values))

    def model(self, raw: bytes, inputs: Sequence[str]) -> str:
        """A whole graph, asked for ``inputs``; its one output."""
        model = onnx.load_from_string(raw)
        return self.include(model, dict(zip((one.name for one in model.graph.input), inputs, strict=True)))

    def include(self, model: onnx.ModelProto, inputs: Mapping[str, str]) -> str:
        """Take over a graph whose inputs are known here by these names; its one output."""
        if model.functions:
            raise BuildError("a member's graph has functions of its own, which are not joined")
        self._version = max(self._version, model.ir_version)
        opsets = {one.domain: one.version for one in model.opset_import}
        names = {"": "", **inputs}
        for tensor in model.graph.initializer:
            names[tensor.name] = self._constant(tensor)
        for node in model.graph.node:
            if any(one.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for one in node.attribute):
                raise BuildError(f"it has a loop or a branch ({node.op_type}), which is not joined")
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [names[name] for name in node.input]
            names |= dict(zip(node.output, self._add(copy, opsets[node.domain]), strict=True))
        return names[model.graph.output[0].name]

    def finished(self, said: str, signature: Signature) -> bytes:
        """The model, checked."""
        name = "value" if signature.task == "regression" else "probabilities"
        kinds = {column.kind: 0 for column in signature.inputs}
        for column in signature.inputs:
            kinds[column.kind] += 1
        types = {"number": (NUMBERS, TensorProto.FLOAT), "text": (TEXTS, TensorProto.STRING)}
        inputs = [helper.make_tensor_value_info(*types[kind], [None, many]) for kind, many in kinds.items()]
        end = helper.make_node("Identity", [said], [name])
        output = helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, None])
        graph = helper.make_graph([*self._nodes, end], "ensemble", inputs, [output], self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(self._agreed().items())]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self._version, producer_name="rivals")
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _agreed(self) -> dict[str, int]:
        """The newest set of operators by domain, where none means something else by it than its own graph does."""
        newest = dict[str, int]()
        for domain, _, version in self._used:
            newest[domain] = max(version, newest.get(domain, 0))
        for domain, kind, version in self._used:
            then, now = (onnx.defs.get_schema(kind, at, domain).since_version for at in (version, newest[domain]))
            if then != now and kind not in GREW:
                raise BuildError(f"its graphs mean two things by {kind}: of versions {then} and {now}")
        return newest

    def _constant(self, tensor: onnx.TensorProto) -> str:
        values = numpy_helper.to_array(tensor)
        content = tuple(values.ravel().tolist()) if values.dtype == object else values.tobytes()
        key = ("constant", tensor.data_type, values.shape, content)
        if key not in self._known:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = f"c{len(self._constants)}"
            self._constants.append(copy)
            self._known[key] = [copy.name]
        return self._known[key][0]

    def _add(self, node: onnx.NodeProto, version: int) -> Sequence[str]:
        """The names of the node's outputs: those of one that does the same, where there is one."""
        self._used.add((node.domain, node.op_type, version))
        said = tuple(sorted(one.SerializeToString(deterministic=True) for one in node.attribute))
        used = tuple(bool(name) for name in node.output)
        key = (node.domain, node.op_type, tuple(node.input), said, used)
        if key not in self._known:
            number = len(self._nodes)
            node.name = f"n{number}"
            node.output[:] = [f"t{number}.{place}" if name else "" for place, name in enumerate(node.output)]
            self._nodes.append(node)
            self._known[key] = list(node.output)
        return self._known[key]
