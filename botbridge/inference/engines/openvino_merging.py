"""Matrix products of the same numbers as one product: queries, keys and values; gate and up.

Each product costs the threads a meeting, however small the matrix; three of
seven are saved in every layer, and a step takes 0.85 to 0.9 of the time (the
embedded model, 4 and 8 answers at once). The rows of the matrices are stacked,
so that each number comes out as before; `openvino_weights.lay_out` makes one
matrix of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from botbridge.inference.engines.openvino_runtime import Node, ops
from botbridge.inference.engines.openvino_weights import CHAIN

ROWS_ARE_OUTPUTS: Final = {"transpose_a": False, "transpose_b": True}
"""A product whose matrix has a row for each number that comes out, as those of a GGUF have."""

Form = tuple[object, ...]
"""What a matrix is made of; those of one form can be stacked."""


def merge_products(model: Node) -> None:
    """Let all products of one input whose matrices are of one form be computed together."""
    together: defaultdict[tuple[object, ...], list[Node]] = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_attributes() != ROWS_ARE_OUTPUTS:
            continue
        given, matrix = node.input_values()
        form = _form(matrix.get_node(), _rows(node))
        if form is not None:
            together[given.get_node().get_friendly_name(), given.get_index(), form].append(node)
    for products in together.values():
        if len(products) > 1:
            _merge(products)
    model.validate_nodes_and_infer_types()


def _merge(products: Sequence[Node]) -> None:
    rows = [_rows(product) for product in products]
    matrix = _stacked([product.input_value(1).get_node() for product in products], sum(rows))
    product = ops.matmul(products[0].input_value(0), matrix, transpose_a=False, transpose_b=True)
    parts = ops.variadic_split(product, ops.constant(np.int64(-1)), ops.constant(np.array(rows, np.int64)))
    for former, part in zip(products, parts.outputs(), strict=True):
        former.output(0).replace(part)


def _rows(product: Node) -> int:
    """Return how many numbers a product makes of each row of its input; 0 where that is not known."""
    last = list(product.get_output_partial_shape(0))[-1]
    return int(last.get_length()) if last.is_static else 0


def _form(node: Node, rows: int) -> Form | None:
    """Return what a matrix with so many rows is made of; None where it cannot be stacked."""
    kind = node.get_type_name()
    if kind == "Constant":
        shape = tuple(node.get_output_shape(0))
        if len(shape) > 1:
            return (node.get_element_type().get_type_name(), shape[1:]) if shape[0] == rows else None
        return (node.get_element_type().get_type_name(), node.data.tobytes())
    if kind not in CHAIN:
        return None
    parts = [_form(value.get_node(), rows) for value in _stackable_inputs(node)]
    if None in parts:
        return None
    return (kind, node.get_element_type().get_type_name(), *parts)


def _stackable_inputs(node: Node) -> list[Node]:
    """Return what a node computes with; of a reshape not the shape, which `_stacked` writes anew."""
    inputs: list[Node] = node.input_values()
    return inputs[:1] if node.get_type_name() == "Reshape" else inputs


def _stacked(nodes: Sequence[Node], rows: int) -> Node:
    """Return one matrix of `rows` rows from several of one form, each the last node of its chain."""
    first = nodes[0]
    kind = first.get_type_name()
    if kind == "Constant":
        return ops.concat(list(nodes), 0) if len(first.get_output_shape(0)) > 1 else first
    columns = [
        _stacked([inputs[place].get_node() for inputs in map(_stackable_inputs, nodes)], rows)
        for place in range(len(_stackable_inputs(first)))
    ]
    if kind == "Convert":
        return ops.convert(columns[0], first.get_element_type())
    if kind == "Reshape":
        width = list(first.get_output_shape(0))[-1]
        return ops.reshape(columns[0], ops.constant(np.array([rows, width], np.int64)), special_zero=False)
    return (ops.subtract if kind == "Subtract" else ops.multiply)(*columns)
