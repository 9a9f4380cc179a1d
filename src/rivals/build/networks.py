"""The converter of the family torch: PyTorch writes the network's own graph, which becomes a part of the pipeline's."""

from __future__ import annotations

import io
import warnings
from typing import Any

import onnx
import torch
from onnx import TensorProto, compose
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

from rivals.build.families.torch import Labels, Values
from rivals.errors import BuildError

OPSET = 19  # of the pipeline's graph: parts of one graph speak one version


def register() -> None:
    """Make networks known to skl2onnx."""
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(
        Labels, "TorchLabels", _shape_labels, _convert_labels, parser=_two_outputs, options=options
    )
    update_registered_converter(Values, "TorchValues", _shape_values, _convert_values)


def _two_outputs(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:  # noqa: ARG001 -- skl2onnx's signature
    operator = scope.declare_local_operator("TorchLabels", model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    return operator.outputs


def _shape_labels(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = Int64TensorType([rows])
    operator.outputs[1].type = FloatTensorType([rows, operator.raw_operator.outputs_])


def _shape_values(operator: Any) -> None:
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), 1])


def _convert_labels(scope: Any, operator: Any, container: Any) -> None:
    label, chances = (one.full_name for one in operator.outputs)
    _put(scope, operator, container, chances)
    name = scope.get_unique_operator_name("ArgMax")
    container.add_node("ArgMax", [chances], [label], name=name, op_version=13, axis=1, keepdims=0)


def _convert_values(scope: Any, operator: Any, container: Any) -> None:
    _put(scope, operator, container, operator.outputs[0].full_name)


def _put(scope: Any, operator: Any, container: Any, out: str) -> None:
    """The network's nodes and weights, under names of their own, between the operator's input and ``out``."""
    prefix = scope.get_unique_operator_name("network") + "/"
    graph = compose.add_prefix(_exported(operator.raw_operator), prefix).graph
    # What comes before may be float64 by its type: the network was fitted on float32.
    container.add_node(
        "Cast", [operator.inputs[0].full_name], [graph.input[0].name], name=f"{prefix}cast", op_version=OPSET,
        to=TensorProto.FLOAT,
    )  # fmt: skip
    container.initializers.extend(graph.initializer)
    container.nodes.extend(graph.node)
    container.node_domain_version_pair_sets.update({(node.domain, OPSET) for node in graph.node})
    container.add_node("Identity", [graph.output[0].name], [out], name=f"{prefix}out", op_version=OPSET)


def _exported(fitted: Any) -> onnx.ModelProto:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own age; parity is what counts
        torch.onnx.export(
            fitted.network(), (torch.zeros(2, fitted.n_features_in_),), file, input_names=["rows"],
            output_names=["said"], dynamic_axes={"rows": {0: "n"}, "said": {0: "n"}}, opset_version=OPSET,
            dynamo=False,
        )  # fmt: skip
    model = onnx.load_from_string(file.getvalue())
    if strange := sorted({node.domain for node in model.graph.node} - {""}):
        raise BuildError(f"The network needs operators of {', '.join(strange)}, which ONNX Runtime has not.")
    return model
