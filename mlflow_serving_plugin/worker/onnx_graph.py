"""Whether an ONNX graph scores each row by itself, told from its operators.

Rows are on the first axis. An operator is row-wise when the operator works on single elements, or along another axis;
two computed operands have to be of one rank, or one's rows would be spread along the other's columns.
"""

from __future__ import annotations

from typing import Any

_OF_ELEMENTS = (
    "Abs Acos Add And Asin Atan Binarizer Cast Ceil Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater "
    "GreaterOrEqual HardSigmoid Identity IsInf IsNaN LabelEncoder LeakyRelu Less LessOrEqual Log Max Min Mod Mul Neg "
    "Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh "
    "ThresholdedRelu Where Xor"
)
_OF_ROWS = (
    "FeatureVectorizer Flatten Imputer LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier "
    "SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap"
)
"""Their definitions speak of rows. Flatten keeps the first axis unless told otherwise."""

_ELEMENTS, _ROWS = frozenset(_OF_ELEMENTS.split()), frozenset(_OF_ROWS.split())
_ALONG_AN_AXIS = frozenset(("ArgMax", "ArgMin", "Concat", "LogSoftmax", "Softmax"))
_DEFAULT_AXES = {"LogSoftmax": -1, "Softmax": -1}
_PRODUCTS = frozenset(("Gemm", "MatMul"))


def why_not_row_wise(path: Any) -> str | None:
    """None when the graph in a file scores each row by itself, else what stands against that."""
    try:
        import onnx

        model = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False))
    except Exception:
        return "the operators of the ONNX graph cannot be read"
    graph = _Graph(model.graph)
    return next((why for why in map(graph.against, model.graph.node) if why), None)


class _Graph:
    """What is known of the tensors before a node: which are constant, and how many axes each has."""

    def __init__(self, graph: Any) -> None:
        self._constant = {tensor.name for tensor in graph.initializer}
        self._axes = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        self._first = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
        for info in (*graph.input, *graph.value_info, *graph.output):
            if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape"):
                self._axes[info.name] = len(info.type.tensor_type.shape.dim)

    def against(self, node: Any) -> str | None:
        """What stands against a node; None for a node that works row by row."""
        if node.op_type == "Constant":
            self._constant.update(node.output)
            return None
        computed = [name for name in node.input if name and name not in self._constant]
        attributes = {attribute.name: attribute for attribute in node.attribute}
        standard = node.domain in ("", "ai.onnx", "ai.onnx.ml")
        if standard and computed and self._is_row_wise(node, computed, attributes):
            return None
        return f"the ONNX operator {node.op_type} may look at several rows"

    def _is_row_wise(self, node: Any, computed: list[str], attributes: dict[str, Any]) -> bool:
        kind = node.op_type
        ranks = {self._axes.get(name, 0) for name in computed}
        rank = ranks.pop() if len(ranks) == 1 else 0
        axis = attributes["axis"].i if "axis" in attributes else _DEFAULT_AXES.get(kind, 0)
        if kind in _ROWS:
            return len(computed) == 1 and ("axis" not in attributes or axis == 1)
        if kind in _PRODUCTS:
            transposed = "transA" in attributes and attributes["transA"].i
            return computed == [node.input[0]] and rank == 2 and not transposed
        if kind in _ALONG_AN_AXIS:
            return rank == 2 and axis in (1, -1)
        return kind in _ELEMENTS and (len(node.input) == 1 or self._is_by_element(node, rank))

    def _is_by_element(self, node: Any, rank: int) -> bool:
        constants = [name for name in node.input if name in self._constant]
        return rank > 0 and all(self._is_spread_over_rows(name, rank) for name in constants)

    def _is_spread_over_rows(self, name: str, rank: int) -> bool:
        """Whether a constant is the same for every row."""
        axes = self._axes.get(name)
        return axes is not None and (axes < rank or (axes == rank and self._first.get(name, 1) == 1))
