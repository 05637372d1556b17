"""Weights of a GGUF as OpenVINO computes with them, against what gguf itself makes of the same bytes."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from tests.fakes.tiny_gguf import write_gguf_of_architecture

if find_spec("openvino") is None:
    pytest.skip("the engine openvino is not installed; `make setup` adds it", allow_module_level=True)

from botbridge.inference.engines.openvino_merging import merge_products
from botbridge.inference.engines.openvino_reading import read_gguf
from botbridge.inference.engines.openvino_rotary import evens_first, fuse_rotary
from botbridge.inference.engines.openvino_runtime import ops, ov
from botbridge.inference.engines.openvino_weights import lay_out, reorder_rows, weight_bytes

TOKENS = ["<end>", "<turn>", *map(chr, range(33, 127))]
LAYERS = 2


def graph_of(directory: Path, kind: Kind = Kind.F32) -> Any:
    """The graph of a tiny LLaMA, and the file beside it."""
    write_gguf_of_architecture(directory / "tiny.gguf", "llama", TOKENS, kind=kind)
    return read_gguf(directory / "tiny.gguf")


def products_of(graph: Any) -> list[Any]:
    """Its products with weights, in their order."""
    return [node for node in graph.get_ordered_ops() if node.get_type_name() == "MatMul"]


def computed(output: Any) -> np.ndarray:
    """What comes out where nothing goes in, in float32."""
    graph = ov.Model([ops.result(ops.convert(output, "f32"))], [], "constant")
    properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    (found,) = ov.Core().compile_model(graph, "CPU", properties)({}).values()
    return found.copy()


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1])
def test_every_matrix_is_what_the_file_says(tmp_path: Path, kind: Kind) -> None:
    """Those that make queries and keys in the order that the rotation wants."""
    graph = graph_of(tmp_path, kind)
    matrices = [computed(product.input_value(1)) for product in products_of(graph)]
    expected = {}
    for tensor in gguf.GGUFReader(tmp_path / "tiny.gguf").tensors:
        if len(tensor.shape) > 1:
            numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            rotated = {"attn_q": 4, "attn_k": 2}.get(tensor.name.split(".")[-2])
            expected[tensor.name] = numbers[evens_first(rotated, 8)] if rotated else numbers
    assert len(matrices) == len(expected) == 7 * LAYERS + 1
    for name, numbers in expected.items():
        closest = min(np.abs(matrix - numbers).max() for matrix in matrices if matrix.shape == numbers.shape)
        assert closest < 1e-3 * np.abs(numbers).max(), name


@pytest.mark.parametrize(("kind", "unsigned"), [(Kind.Q4_0, "u4"), (Kind.Q8_0, "u8")])
def test_signed_weights_become_unsigned_ones_with_a_zero_point(tmp_path: Path, kind: Kind, unsigned: str) -> None:
    graph = graph_of(tmp_path, kind)
    lay_out(graph, tmp_path)
    kinds = Counter(node.get_element_type().get_type_name() for node in constants_of(graph))
    assert kinds[unsigned] >= 2 * (7 * LAYERS + 1)
    assert kinds["i4"] == kinds["i8"] == 0


def constants_of(graph: Any) -> list[Any]:
    return [node for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]


def test_signed_numbers_that_are_no_weights_stay_as_they_are(tmp_path: Path) -> None:
    """A list of them has no groups."""
    listed = ops.convert(ops.constant(np.array([1, -2, 3], np.int8)), "f32")
    graph = ov.Model([ops.result(listed)], [], "list")
    lay_out(graph, tmp_path)
    assert [node.get_element_type().get_type_name() for node in constants_of(graph)] == ["i8"]


def test_what_stands_side_by_side_is_no_stack(tmp_path: Path) -> None:
    halves = [ops.constant(np.arange(start, start + 4, dtype=np.float32).reshape(2, 2)) for start in (0, 4)]
    graph = ov.Model([ops.result(ops.concat(halves, 1))], [], "beside")
    lay_out(graph, tmp_path)
    assert computed(graph.get_results()[0].input_value(0)).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_rows_are_reordered_where_the_weights_are_constants() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    given = ops.parameter([1, 3])
    product = ops.matmul(given, ops.constant(matrix), transpose_a=False, transpose_b=True)
    assert reorder_rows(product, np.array([0, 2, 1, 3]))
    assert computed(product.input_value(1)).tolist() == matrix[[0, 2, 1, 3]].tolist()


def test_anything_else_is_left_as_it_was() -> None:
    """Weights that come from outside, or with another number of rows."""
    given, outside = ops.parameter([1, 3]), ops.parameter([4, 3])
    matrix = np.arange(9, dtype=np.float32).reshape(3, 3)
    product = ops.matmul(given, ops.constant(matrix), transpose_a=False, transpose_b=True)
    assert not reorder_rows(ops.matmul(given, outside, transpose_a=False, transpose_b=True), np.array([0, 2, 1, 3]))
    assert not reorder_rows(product, np.array([0, 2, 1, 3]))
    assert computed(product.input_value(1)).tolist() == matrix.tolist()


def test_a_token_reads_every_matrix_once(tmp_path: Path) -> None:
    """Sixteen bits a number, and no other weights are counted."""
    graph = graph_of(tmp_path, Kind.F16)
    tensors = gguf.GGUFReader(tmp_path / "tiny.gguf").tensors
    assert weight_bytes(graph) == sum(int(tensor.n_bytes) for tensor in tensors if len(tensor.shape) > 1)


def test_neighbours_that_are_rotated_with_each_other_become_halves(tmp_path: Path) -> None:
    """In every layer, for queries and keys."""
    kinds = Counter(node.get_type_name() for node in graph_of(tmp_path).get_ordered_ops())
    assert kinds["PagedAttentionExtension"] == LAYERS
    assert kinds["VariadicSplit"] == 2 * LAYERS
    assert kinds["Split"] == 0


def test_what_is_not_rotated_comes_back_as_it_is() -> None:
    plain = ops.parameter([1, -1, 2, 8]).output(0)
    total = ops.add(plain, plain).output(0)
    assert fuse_rotary(plain) == plain
    assert fuse_rotary(total) == total


def test_halves_give_the_same_products_as_neighbours() -> None:
    """Why the order of rows may be changed: queries and keys change alike."""
    random = np.random.default_rng(1)
    query, key = random.normal(size=(2, 8))
    angles = random.normal(size=(2, 4))
    order = evens_first(1, 8)

    def neighbours(numbers: np.ndarray, angle: np.ndarray) -> np.ndarray:
        turned = (numbers[0::2] + 1j * numbers[1::2]) * np.exp(1j * angle)
        return np.stack([turned.real, turned.imag], axis=1).ravel()

    def halves(numbers: np.ndarray, angle: np.ndarray) -> np.ndarray:
        turned = (numbers[:4] + 1j * numbers[4:]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag])

    expected = neighbours(query, angles[0]) @ neighbours(key, angles[1])
    assert halves(query[order], angles[0]) @ halves(key[order], angles[1]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.Q8_0, Kind.Q4_0])
def test_products_of_the_same_numbers_become_one_with_the_rows_of_all(tmp_path: Path, kind: Kind) -> None:
    """Queries, keys and values; gate and up; what closes attention and layer stays alone, as do the logits."""
    graph = graph_of(tmp_path, kind)
    before = [computed(product.input_value(1)) for product in products_of(graph)]
    merge_products(graph)
    weights = lay_out(graph, tmp_path)
    after = [computed(product.input_value(1)) for product in products_of(graph)]
    assert weights.is_file
    assert (len(before), len(after)) == (7 * LAYERS + 1, 4 * LAYERS + 1)
    rows = sorted(row.tobytes() for matrix in before for row in matrix)
    assert rows == sorted(row.tobytes() for matrix in after for row in matrix)


def test_each_number_comes_out_where_it_did() -> None:
    given = ops.parameter([1, 4], ov.Type.f32)
    matrices = [ops.constant(np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)) for rows in (2, 3)]
    products = [ops.matmul(given, matrix, transpose_a=False, transpose_b=True) for matrix in matrices]
    graph = ov.Model([ops.result(product) for product in products], [given], "two")
    numbers = np.array([[1, -2, 3, 0.5]], np.float32)
    before = [found.tolist() for found in ov.Core().compile_model(graph, "CPU")([numbers]).values()]
    merge_products(graph)
    assert len(products_of(graph)) == 1
    assert [found.tolist() for found in ov.Core().compile_model(graph, "CPU")([numbers]).values()] == before


@pytest.mark.parametrize(
    ("kind", "is_turned"),
    [("f16", True), ("f32", False)],
    ids=["of another number format", "the other way round"],
)
def test_matrices_of_another_form_stay_apart(kind: str, is_turned: bool) -> None:
    given = ops.parameter([1, 4], ov.Type.f32)
    matrices = [ops.constant(np.ones((4, 4)), number) for number in (ov.Type.f32, getattr(ov.Type, kind))]
    floats = [ops.convert(matrix, ov.Type.f32) for matrix in matrices]
    one = ops.matmul(given, floats[0], transpose_a=False, transpose_b=True)
    other = ops.matmul(given, floats[1], transpose_a=False, transpose_b=is_turned)
    graph = ov.Model([ops.result(one), ops.result(other)], [given], "two")
    merge_products(graph)
    assert len(products_of(graph)) == 2
