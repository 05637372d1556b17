"""Rotary embeddings as the CPU plugin computes them in one step.

A GGUF of LLaMA's family rotates neighbouring numbers of a head with each other,
(0, 1), (2, 3), ...; the plugin fuses only the form that rotates the first half
with the second. Both give the same products of queries and keys when the rows of
the matrices that make them are put into the order evens first, odds after.
Left as it is, the rotation takes a tenth of the time of eight answers at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from botbridge.inference.engines.openvino_runtime import GraphUnfit, Node, Output, ops, ov
from botbridge.inference.engines.openvino_weights import reorder_rows


def fuse_rotary(rotated: Output) -> Output:
    """Return rotated queries or keys in the form that is fused; anything else comes back as it is.

    Args:
        rotated: (1, N, heads, size).
    """
    parts = _neighbours(rotated.get_node())
    if parts is None:
        return rotated
    plain, cosines, sines = parts
    heads, size = (dimension.get_length() for dimension in list(plain.get_partial_shape())[2:])
    half = size // 2
    tables = [_halved(table, half) for table in (cosines, sines)]
    if None in tables or not reorder_rows(plain.get_node().input_value(0).get_node(), evens_first(heads, size)):
        return rotated
    first, second = ops.variadic_split(plain, _number(3), ops.constant(np.array([half, half]), ov.Type.i64)).outputs()
    turned = ops.concat([ops.multiply(second, ops.constant(-1.0, ov.Type.f32)), first], -1)
    return ops.add(ops.multiply(plain, tables[0]), ops.multiply(turned, tables[1])).output(0)


def scale_frequencies(model: Node, factors: NDArray[np.float32]) -> None:
    """Divide the frequencies of every rotary embedding of a graph.

    Args:
        model: A graph as the reader made it.
        factors: (size / 2,) for each pair of numbers of a head.

    Raises:
        GraphUnfit: There are no such frequencies.
    """
    angles = [node.input_value(0).get_node() for node in model.get_ordered_ops() if node.get_type_name() == "Cos"]
    found = {constant.get_friendly_name(): constant for angle in angles for constant in _frequencies(angle)}
    if not found or any(constant.get_vector().size != len(factors) for constant in found.values()):
        raise GraphUnfit(f"there are no {len(factors)} frequencies to which its factors would belong")
    for constant in found.values():
        scaled = constant.get_vector().reshape(list(constant.get_output_shape(0))) / factors
        replacement = ops.constant(scaled.astype(np.float32)).output(0)
        for user in list(constant.output(0).get_target_inputs()):
            user.replace_source_output(replacement)


def _frequencies(angle: Node) -> list[Node]:
    """Return the constant of several numbers that positions are multiplied with on their way to an angle."""
    while angle.get_type_name() == "Multiply":
        inputs = [value.get_node() for value in angle.input_values()]
        several = [each for each in inputs if each.get_type_name() == "Constant" and each.get_vector().size > 1]
        if several:
            return several
        angle = next((each for each in inputs if each.get_type_name() == "Multiply"), inputs[0])
    return []


def evens_first(heads: int, size: int) -> NDArray[np.int64]:
    """Return the order of rows that puts the even numbers of each head before its odd ones.

    >>> evens_first(2, 4).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return np.arange(heads * size).reshape(heads, size // 2, 2).swapaxes(1, 2).ravel()


def _neighbours(total: Node) -> tuple[Output, Output, Output] | None:
    """Find `x * cos + turned(x) * sin` where neighbours are turned and a matrix product made x; (x, cos, sin)."""
    if total.get_type_name() != "Add":
        return None
    straight, crosswise = (value.get_node() for value in total.input_values())
    if {straight.get_type_name(), crosswise.get_type_name()} != {"Multiply"}:
        return None
    plain, turned = straight.input_value(0), crosswise.input_value(0)
    if not _is_made_of(turned.get_node(), ("Reshape", "Concat", "Multiply", "Split", "Reshape")):
        return None
    pairs = turned.get_node().input_value(0).get_node().input_value(1).get_node().input_value(0).get_node()
    if not _is_made_of(plain.get_node(), ("Reshape", "MatMul")) or pairs.input_value(0) != plain:
        return None
    return plain, straight.input_value(1), crosswise.input_value(1)


def _is_made_of(node: Node, kinds: tuple[str, ...]) -> bool:
    """Tell whether a row of first inputs is of these kinds, from the last node to the first."""
    for kind in kinds:
        if node.get_type_name() != kind:
            return False
        node = node.input_value(0).get_node()
    return True


def _halved(table: Output, half: int) -> Output | None:
    """Return a table (1, N, 1, size), the same value for two neighbours, in the order of halves; None for another."""
    while table.get_node().get_type_name() in {"Broadcast", "Reshape", "Unsqueeze"}:
        table = table.get_node().input_value(0)
    shape = table.get_partial_shape()
    if len(shape) != 4 or shape[3] != ov.Dimension(half):  # noqa: PLR2004 - one, tokens, one, pairs of a head
        return None
    return ops.concat([table, table], -1).output(0)


def _number(value: int) -> Node:
    return ops.constant(value, ov.Type.i64)
