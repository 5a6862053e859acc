"""An ONNX graph is batched when each of its operators works row by row."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    onnx = pytest.importorskip("onnx")

from mlflow_serving_plugin.worker.onnx_graph import why_not_row_wise


def node(kind: str, *inputs: str, out: str = "y", domain: str = "", **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, list(inputs), [out], domain=domain, **attributes)


def graph(path: Path, nodes: list[Any]) -> Path:
    """Of an input x with two columns, and the constants w (2 x 1), row (2) and five (5 x 2)."""
    constants = [
        onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, shape, [1.0] * size)
        for name, shape, size in (("w", [2, 1], 2), ("row", [2], 2), ("five", [5, 2], 10))
    ]
    given = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])]
    made = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    opsets = [
        onnx.helper.make_opsetid(domain, version) for domain, version in (("", 17), ("ai.onnx.ml", 3), ("own", 1))
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", given, made, constants), opset_imports=opsets)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    return path / "model.onnx"


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Gemm", "x", "w", out="a"), node("Relu", "a")],
        [node("Sub", "x", "row", out="a"), node("MatMul", "a", "w")],
        [node("Sigmoid", "x", out="a"), node("Mul", "a", "x")],
        [node("Softmax", "x", axis=1)],
        [node("Concat", "x", "x", axis=1)],
        [node("Scaler", "x", domain="ai.onnx.ml", offset=[0.0], scale=[1.0])],
    ],
    ids=lambda nodes: " ".join(one.op_type for one in nodes),
)
def test_a_graph_of_row_wise_operators_is_row_wise(tmp_path, nodes):
    assert why_not_row_wise(graph(tmp_path, nodes)) is None


@pytest.mark.parametrize(
    ("nodes", "operator"),
    [
        ([node("ReduceMean", "x", axes=[0], out="m"), node("Sub", "x", "m")], "ReduceMean"),
        ([node("Softmax", "x", axis=0)], "Softmax"),
        ([node("Concat", "x", "x", axis=0)], "Concat"),
        ([node("Flatten", "x", axis=0)], "Flatten"),
        ([node("Gemm", "x", "x", transB=1)], "Gemm"),
        ([node("MatMul", "five", "x")], "MatMul"),
        ([node("Add", "x", "five")], "Add"),
        ([node("Shape", "x", out="s"), node("Cast", "s", to=1, out="n"), node("Mul", "x", "n")], "Shape"),
        ([node("RandomNormalLike", "x", out="r"), node("Add", "x", "r")], "RandomNormalLike"),
        ([node("CumSum", "x", "row")], "CumSum"),
        ([node("Relu", "x", domain="own")], "Relu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_graph_with_an_operator_that_may_look_at_other_rows_is_refused(tmp_path, nodes, operator):
    assert why_not_row_wise(graph(tmp_path, nodes)) == f"the ONNX operator {operator} may look at several rows"


def test_a_graph_that_cannot_be_read_is_refused(tmp_path):
    assert "cannot be read" in str(why_not_row_wise(tmp_path / "none.onnx"))
