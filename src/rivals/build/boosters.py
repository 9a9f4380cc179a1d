"""Converters of other libraries' models, made known to skl2onnx where a pipeline holds such a model."""

from __future__ import annotations

import sys
from typing import Any

import onnx
from onnx import helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)


def register(modules: set[str]) -> None:
    """Make known what these packages have; others are left alone."""
    for name, known in (("lightgbm", _lightgbm), ("xgboost", _xgboost), ("catboost", _catboost)):
        if name in modules:
            known()
    if "rivals.build.families.torch" in sys.modules:  # else no pipeline here can hold a network
        from rivals.build import networks  # noqa: PLC0415 -- torch takes seconds to import

        networks.register()


def _lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor  # noqa: PLC0415 -- only where a pipeline holds one
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415 -- as above

    from rivals.build.families.lightgbm import Ranked  # noqa: PLC0415 -- as above

    update_registered_converter(
        LGBMClassifier, "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes, convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )  # fmt: skip
    for kind in (LGBMRegressor, Ranked):
        update_registered_converter(
            kind, f"LightGbm{kind.__name__}", calculate_linear_regressor_output_shapes, convert_lightgbm,
            options={"split": None},
        )  # fmt: skip


def _xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415 -- as above
    from xgboost import XGBClassifier, XGBRegressor  # noqa: PLC0415 -- as above

    from rivals.build.families.xgboost import Labelled, Ranked  # noqa: PLC0415 -- as above

    for number, kind in enumerate((XGBClassifier, Labelled)):
        update_registered_converter(
            kind, f"XGBoostXGBClassifier{number or ''}", calculate_linear_classifier_output_shapes, convert_xgboost,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )  # fmt: skip
    for kind in (XGBRegressor, Ranked):
        update_registered_converter(
            kind, f"XGBoost{kind.__name__}", calculate_linear_regressor_output_shapes, convert_xgboost
        )


def _catboost() -> None:
    from catboost import CatBoostClassifier, CatBoostRegressor  # noqa: PLC0415 -- as above

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(
        CatBoostClassifier, "CatBoostClassifier", calculate_linear_classifier_output_shapes, _convert_catboost,
        parser=_two_outputs, options=options,
    )  # fmt: skip
    update_registered_converter(
        CatBoostRegressor, "CatBoostRegressor", calculate_linear_regressor_output_shapes, _convert_catboost
    )


def _two_outputs(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:  # noqa: ARG001 -- skl2onnx's signature
    operator = scope.declare_local_operator("CatBoostClassifier", model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    return operator.outputs


def _convert_catboost(scope: Any, operator: Any, container: Any) -> None:  # noqa: ARG001 -- skl2onnx's signature
    """CatBoost writes its own graph, of one node; its attributes are taken over."""
    from catboost.utils import convert_to_onnx_object  # noqa: PLC0415 -- as above

    graph = convert_to_onnx_object(operator.raw_operator).graph
    trees = next(node for node in graph.node if node.op_type.startswith("TreeEnsemble"))
    attributes = {one.name: helper.get_attribute_value(one) for one in trees.attribute}
    classes = attributes.get("classlabels_strings")
    if classes:  # our labels are numbered: whoever asks names them
        del attributes["classlabels_strings"]
        attributes["classlabels_int64s"] = list(range(len(classes)))
    container.add_node(
        trees.op_type, [operator.inputs[0].full_name], [one.full_name for one in operator.outputs],
        op_domain="ai.onnx.ml", op_version=1, name=operator.full_name, **attributes,
    )  # fmt: skip
    assert isinstance(graph, onnx.GraphProto)
