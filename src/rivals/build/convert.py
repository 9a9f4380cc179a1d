"""A fitted scikit-learn pipeline as an ONNX graph of two inputs.

``numbers`` is float32 (rows, n), ``texts`` is string (rows, m), both in the signature's order: a row costs half of what
one input per column costs. Encoders of text become look-up tables asked of the encoder itself, so that rare categories,
unseen values and missing ones come out as scikit-learn has them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.operator_converters.tfidf_vectoriser import convert_sklearn_tfidf_vectoriser
from skl2onnx.shape_calculators.text_vectorizer import calculate_sklearn_text_vectorizer_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from rivals.build.boosters import register
from rivals.build.words import Shortened, Words
from rivals.bundles import NULL, NUMBERS, TEXTS, is_gap
from rivals.values import Column, Signature

OPSET = {"": 19, "ai.onnx.ml": 3}  # 19: the first in which texts can be compared
UNSEEN = "\ufdd0unseen"  # a noncharacter: no encoder has met it

# Where scikit-learn keeps what is fitted inside of something fitted.
ONE = ("estimator", "final_estimator_", "regressor_", "transformer_")
MANY = ("steps", "transformers_", "transformer_list", "estimators_", "calibrated_classifiers_")

ENCODERS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)


def to_onnx(pipeline: Any, signature: Signature, order: Sequence[str]) -> onnx.ModelProto:
    """Convert; ``order`` is the order of the columns the pipeline was fitted on.

    The only output is ``probabilities`` (rows, labels) or ``value`` (rows, 1). Raises whatever the converters raise.
    """
    pipeline = _by_name(pipeline, order)
    register(modules_of(pipeline))
    of_words = _register_words(pipeline)
    kinds = {column.name: column.kind for column in signature.inputs}
    single = {"number": FloatTensorType, "text": StringTensorType}
    classifier = signature.task != "regression"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # converters warn of their own dependencies; parity is what counts
        model = convert_sklearn(
            pipeline,
            initial_types=[(name, single[kinds[name]]([None, 1])) for name in order],
            options={**of_words, **({id(pipeline): {"zipmap": False}} if classifier else {})} or None,
            target_opset=OPSET,
            custom_conversion_functions={
                **dict.fromkeys(ENCODERS, _convert_encoder),
                SimpleImputer: _convert_imputer,
                Shortened: _convert_shortened,
            },
            custom_shape_calculators={
                **dict.fromkeys(ENCODERS, _shape_encoder),
                SimpleImputer: _shape_imputer,
                Shortened: _shape_shortened,
            },
        )
    _keep_output(model, "probabilities" if classifier else "value", classifier)
    _bind(model, signature.inputs, dict(zip(order, [i.name for i in model.graph.input], strict=True)))
    model.graph.name = "pipeline"  # skl2onnx draws one by lot
    declare(model)
    onnx.checker.check_model(model)
    return model


def declare(model: onnx.ModelProto) -> None:
    """Name the sets of operators it was converted for, not the oldest that would do: so graphs of several join."""
    for one in model.opset_import:
        one.version = max(one.version, OPSET.get(one.domain, 0))


def lookup(encoder: Any) -> list[dict[str, NDArray[np.float64]]]:
    """Ask an encoder of texts what each category becomes: by column, with ``NULL`` and ``UNSEEN`` among the keys.

    A row of NaN stands where the encoder raises. Raises ``TypeError`` where a category is not a text.
    """
    ends = np.cumsum([0, *_widths(encoder)])
    usual = [categories[0] for categories in encoder.categories_]
    tables = []
    for index, categories in enumerate(encoder.categories_):
        span = slice(ends[index], ends[index + 1])
        texts = [value for value in categories if isinstance(value, str)]
        if any(not (isinstance(value, str) or is_gap(value)) for value in categories):
            msg = f"{type(encoder).__name__} has categories that are not texts: {categories[:3]}"
            raise TypeError(msg)

        def ask(values: Sequence[Any], index: int = index, span: slice = span) -> NDArray[np.float64]:
            rows = np.array([usual] * len(values), dtype=object)
            rows[:, index] = values
            return _transform(encoder, rows)[:, span]

        table = dict(zip(texts, ask(texts), strict=True)) if texts else {}
        missing = next((value for value in categories if is_gap(value)), None)  # None or NaN, as it was fitted
        for key, value in ((NULL, missing), (UNSEEN, UNSEEN)):
            try:
                table[key] = ask([value])[0]
            except ValueError:  # it refuses such a value: so shall we, by an answer that is not finite
                table[key] = np.full(ends[index + 1] - ends[index], np.nan)
        tables.append(table)
    return tables


def _transform(encoder: Any, rows: NDArray[Any]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of missing feature names and unknown categories: both are the question
        out = encoder.transform(rows)
    return np.asarray(out.toarray() if hasattr(out, "toarray") else out, dtype=np.float64)


def _widths(encoder: Any) -> list[int]:
    if isinstance(encoder, OneHotEncoder):
        dropped = [0] * len(encoder.categories_)
        if encoder.drop_idx_ is not None:
            dropped = [int(index is not None) for index in encoder.drop_idx_]
        rare = [None] * len(encoder.categories_)
        if hasattr(encoder, "infrequent_categories_"):
            rare = encoder.infrequent_categories_
        return [
            len(categories) - (0 if infrequent is None else len(infrequent) - 1) - drop
            for categories, infrequent, drop in zip(encoder.categories_, rare, dropped, strict=True)
        ]
    if isinstance(encoder, TargetEncoder) and encoder.target_type_ == "multiclass":
        return [len(encoder.classes_)] * len(encoder.categories_)
    return [1] * len(encoder.categories_)


# -- converters in skl2onnx's manner ----------------------------------------------------------------


def _is_text(operator: Any) -> bool:
    return any(isinstance(variable.type, StringTensorType) for variable in operator.inputs)


def _shape_encoder(operator: Any) -> None:
    if not _is_text(operator):
        get_shape_calculator(operator.type)(operator)
        return
    operator.outputs[0].type = FloatTensorType([None, sum(_widths(operator.raw_operator))])


def _shape_imputer(operator: Any) -> None:
    if not _is_text(operator):
        get_shape_calculator(operator.type)(operator)
        return
    operator.outputs[0].type = StringTensorType([None, sum(v.type.shape[1] for v in operator.inputs)])


def _convert_encoder(scope: Any, operator: Any, container: Any) -> None:
    """Per column: text -> code -> row of its table; where that is one-hot, in one operator."""
    if not _is_text(operator):
        get_converter(operator.type)(scope, operator, container)
        return
    emit = _emitter(scope, container)
    pieces = []
    for column, table in zip(_single(operator, emit), lookup(operator.raw_operator), strict=True):
        keys = [key for key in table if key != UNSEEN and (key != NULL or (table[NULL] != table[UNSEEN]).any())]
        rows = np.array([table[key] for key in [*keys, UNSEEN]], dtype=np.float32)
        if np.array_equal(rows, np.eye(len(keys) + 1, len(keys))):
            one_hot = {"op_domain": "ai.onnx.ml", "op_version": 1, "cats_strings": keys, "zeros": 1}
            pieces.append(emit("OneHotEncoder", [column], **one_hot))
            continue
        codes = {"keys_strings": keys, "values_int64s": list(range(len(keys))), "default_int64": len(keys)}
        code = emit("LabelEncoder", [column], op_domain="ai.onnx.ml", op_version=2, **codes)
        name = scope.get_unique_variable_name("table")
        container.add_initializer(name, TensorProto.FLOAT, list(rows.shape), rows.ravel().tolist())
        pieces.append(emit("Gather", [name, code], axis=0))
    shape = scope.get_unique_variable_name("shape")
    container.add_initializer(shape, TensorProto.INT64, [2], [-1, sum(_widths(operator.raw_operator))])
    emit("Reshape", [emit("Concat", pieces, axis=2), shape], out=operator.outputs[0].full_name)


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Texts: what is ``NULL`` becomes what the imputer puts there. Numbers: as skl2onnx has it."""
    if not _is_text(operator):
        get_converter(operator.type)(scope, operator, container)
        return
    imputer, emit = operator.raw_operator, _emitter(scope, container)
    columns = list(_single(operator, emit))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of missing feature names
        filled = imputer.transform(np.full((1, len(columns)), imputer.missing_values, dtype=object))
    fills = [NULL if value is None else value for value in np.asarray(filled)[0]]
    if len(fills) != len(columns) or not all(isinstance(value, str) for value in fills):
        msg = f"SimpleImputer turns missing texts into {fills}, which are not texts, one a column"
        raise TypeError(msg)
    null, fill = scope.get_unique_variable_name("null"), scope.get_unique_variable_name("fill")
    container.add_initializer(null, TensorProto.STRING, [1], [NULL.encode()])
    container.add_initializer(fill, TensorProto.STRING, [1, len(fills)], [value.encode() for value in fills])
    block = columns[0] if len(columns) == 1 else emit("Concat", columns, axis=1)
    emit("Where", [emit("Equal", [block, null]), fill, block], out=operator.outputs[0].full_name)


def _single(operator: Any, emit: Callable[..., str]) -> Iterator[str]:
    """Name the operator's columns one by one, each (rows, 1)."""
    for variable in operator.inputs:
        if not isinstance(variable.type, StringTensorType):
            msg = f"{type(operator.raw_operator).__name__} takes numbers and texts at once"
            raise TypeError(msg)
        width = variable.type.shape[1]
        for index in range(width):
            yield variable.full_name if width == 1 else emit("Gather", [variable.full_name], index=index)


def _emitter(scope: Any, container: Any) -> Callable[..., str]:
    def emit(kind: str, inputs: list[str], *, out: str = "", index: int | None = None, **attributes: Any) -> str:
        if index is not None:  # the column of that index
            name = scope.get_unique_variable_name("index")
            container.add_initializer(name, TensorProto.INT64, [1], [index])
            inputs, attributes = [*inputs, name], {"axis": 1}
        out = out or scope.get_unique_variable_name(kind.lower())
        attributes.setdefault("op_version", OPSET[""])
        container.add_node(kind, inputs, out, name=scope.get_unique_operator_name(kind), **attributes)
        return out

    return emit


def _by_name(pipeline: Any, order: Sequence[str]) -> Any:
    """Give what was fitted on a whole frame a first step that picks its columns, as converters want it."""
    first = pipeline
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if isinstance(first, ColumnTransformer):
        return pipeline
    columns = ColumnTransformer([("columns", "passthrough", list(order))])
    columns.fit(pd.DataFrame([[0.0] * len(order)], columns=list(order)))
    return Pipeline([("columns", columns), ("model", pipeline)])


def _register_words(pipeline: Any) -> dict[Any, Any]:
    words = [part for part in parts(pipeline) if isinstance(part, Words)]
    if not words:
        return {}
    known = {"tokenexp": None, "separators": None, "nan": [True, False], "keep_empty_string": [True, False]}
    update_registered_converter(
        Words, "SklearnWords", calculate_sklearn_text_vectorizer_output_shapes, convert_sklearn_tfidf_vectoriser,
        options={**known, "locale": None},
    )  # fmt: skip
    return {id(part): {"locale": "C"} for part in words}  # a slim image has no other, and words here are of ASCII


def _shape_shortened(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, len(operator.raw_operator.components_)])


def _convert_shortened(scope: Any, operator: Any, container: Any) -> None:
    matrix = operator.raw_operator.components_.T.astype(np.float32)
    name = scope.get_unique_variable_name("components")
    container.add_initializer(name, TensorProto.FLOAT, matrix.shape, matrix.ravel())
    ends = [operator.inputs[0].full_name, name], [operator.outputs[0].full_name]
    container.add_node("MatMul", *ends, name=scope.get_unique_operator_name("MatMul"))


def modules_of(pipeline: Any) -> set[str]:
    """The packages that the classes of everything inside a pipeline, and their bases, come from."""
    kinds = (kind for part in parts(pipeline) for kind in type(part).__mro__)
    return {kind.__module__.partition(".")[0] for kind in kinds}


def parts(pipeline: Any) -> Iterator[Any]:
    """Everything fitted inside a pipeline, itself first, depth first."""
    yield pipeline
    inner = [getattr(pipeline, name, None) for name in ONE]
    for name in MANY:
        held = getattr(pipeline, name, None)
        inner += held if isinstance(held, list) else []
    for item in inner:
        part = item[1] if isinstance(item, tuple) else item  # (name, part) or (name, part, columns)
        if hasattr(part, "get_params") and not isinstance(part, type):
            yield from parts(part)


# -- surgery ----------------------------------------------------------------------------------------


def _keep_output(model: onnx.ModelProto, name: str, classifier: bool) -> None:
    kept = model.graph.output[1 if classifier else 0]
    model.graph.node.append(helper.make_node("Identity", [kept.name], [f"{name}/out"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(f"{name}/out", TensorProto.FLOAT, [None, None]))


def _bind(model: onnx.ModelProto, inputs: Sequence[Column], names: dict[str, str]) -> None:
    """Replace an input per column by the two blocks; columns that are only joined again are taken out at once."""
    graph = model.graph
    numbers = [c.name for c in inputs if c.kind == "number"]
    texts = [c.name for c in inputs if c.kind == "text"]
    place = {
        names[name]: (block, index)
        for block, columns in ((NUMBERS, numbers), (TEXTS, texts))
        for index, name in enumerate(columns)
        if name in names
    }
    taken: dict[str, onnx.NodeProto] = {}
    body = []

    def take(block: str, indexes: list[int], out: str) -> onnx.NodeProto:
        graph.initializer.append(helper.make_tensor(f"{out}/at", TensorProto.INT64, [len(indexes)], indexes))
        return helper.make_node("Gather", [block, f"{out}/at"], [out], axis=1)

    for node in graph.node:
        where = [place.get(name) for name in node.input]
        blocks = {spot[0] for spot in where if spot}
        if node.op_type == "Concat" and all(where) and len(blocks) == 1:
            block = blocks.pop()
            indexes = [spot[1] for spot in where if spot]
            whole = indexes == list(range(len(numbers if block == NUMBERS else texts)))
            out = node.output[0]
            body.append(helper.make_node("Identity", [block], [out]) if whole else take(block, indexes, out))
            continue
        for i, spot in enumerate(where):
            if spot:
                name = f"{spot[0]}/{spot[1]}"
                if name not in taken:
                    taken[name] = take(spot[0], [spot[1]], name)
                node.input[i] = name
        body.append(node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*taken.values(), *body])
    for block, kind, width in ((NUMBERS, TensorProto.FLOAT, len(numbers)), (TEXTS, TensorProto.STRING, len(texts))):
        if width:
            graph.input.append(helper.make_tensor_value_info(block, kind, [None, width]))
