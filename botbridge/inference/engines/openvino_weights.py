"""Weights of a graph that was made from a GGUF, brought into the form that the CPU plugin has its fast kernels for.

A quantized matrix is a chain of nodes: whole numbers of 4 or 8 bits in groups,
made floating, shifted by a zero point where the format has one, multiplied by
each group's scale, and laid out as a matrix. No value changes here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botbridge.inference.engines.openvino_runtime import Node, ops, ov

Bytes = NDArray[np.uint8]

UNSIGNED = {"i4": ("u4", 0x88), "i8": ("u8", 0x80)}
"""The unsigned type for a signed one, and the bits that add the zero point to each number of a byte."""


def with_zero_points(model: Node) -> None:
    """Write signed weights as unsigned ones with a zero point in the middle.

    With these the CPU plugin quantizes activations, too, and multiplies whole
    numbers; with signed weights it does not, and several answers at once take
    1.6 times as long (2026.4.1, AVX-512 VNNI).
    """
    for constant in _constants(model):
        kind = constant.get_element_type().get_type_name()
        shape = list(constant.get_output_shape(0))
        consumers = [target.get_node() for target in constant.output(0).get_target_inputs()]
        if kind not in UNSIGNED or len(shape) < _GROUPED or [user.get_type_name() for user in consumers] != ["Convert"]:
            continue
        unsigned, middle = UNSIGNED[kind]
        weights = _constant(unsigned, shape, _bytes(constant) ^ np.uint8(middle))
        zero_shape = [*shape[:-1], 1]
        zeros = _constant(unsigned, zero_shape, np.full(_size_bytes(unsigned, zero_shape), middle, np.uint8))
        floating = consumers[0]
        users = list(floating.output(0).get_target_inputs())
        number = floating.get_element_type()
        shifted = ops.subtract(ops.convert(weights, number), ops.convert(zeros, number))
        for user in users:
            user.replace_source_output(shifted.output(0))


def reorder_rows(product: Node, order: NDArray[np.int64]) -> bool:
    """Put the rows of a matrix product's weights into another order.

    Args:
        product: A `MatMul` whose second input is the matrix, one row for each
            number that comes out.
        order: (rows,) which row comes first, second, ...

    Returns:
        False, with nothing changed, where the weights are of another form.
    """
    chain = _weight_constants(product)
    rows = len(order)
    matrices = [constant for constant in chain if len(constant.get_output_shape(0)) > 1]
    if not matrices or any(constant.get_output_shape(0)[0] != rows for constant in matrices):
        return False
    for constant in matrices:
        lines = _bytes(constant).reshape(rows, -1)
        replacement = _constant(
            constant.get_element_type().get_type_name(), list(constant.get_output_shape(0)), lines[order].ravel()
        )
        for user in list(constant.output(0).get_target_inputs()):
            user.replace_source_output(replacement.output(0))
    return True


def joined_rows(constants: Sequence[Node]) -> Node:
    """Return one constant with the rows of several, which differ in how many rows they have only."""
    rows, rest = sum(each.get_output_shape(0)[0] for each in constants), list(constants[0].get_output_shape(0))[1:]
    content = np.concatenate([_bytes(each) for each in constants])
    return _constant(constants[0].get_element_type().get_type_name(), [rows, *rest], content)


def weight_bytes(model: Node) -> int:
    """Return how much of the weights every token reads: all matrices that activations are multiplied with."""
    matrices = {
        constant.get_friendly_name(): constant
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul"
        for constant in _weight_constants(node)
    }
    return sum(
        _size_bytes(constant.get_element_type().get_type_name(), list(constant.get_output_shape(0)))
        for constant in matrices.values()
    )


_GROUPED = 3
"""Rows, groups, and the numbers of a group."""

CHAIN: Final = frozenset({"Convert", "Multiply", "Reshape", "Subtract"})
"""The kinds of nodes that lie between the constants of a matrix and its product."""


def _weight_constants(product: Node) -> list[Node]:
    """Return the constants that a matrix is made of; none when it is made of anything else."""
    found, waiting = [], [product.input_value(1).get_node()]
    while waiting:
        node = waiting.pop()
        kind = node.get_type_name()
        if kind == "Constant":
            found.append(node)
        elif kind in CHAIN:
            inputs = node.input_values()[:1] if kind == "Reshape" else node.input_values()
            waiting.extend(value.get_node() for value in inputs)
        else:
            return []
    return found


def _constants(model: Node) -> list[Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]


def _bytes(constant: Node) -> Bytes:
    return np.frombuffer(constant.data.tobytes(), np.uint8)


def _constant(kind: str, shape: list[int], content: Bytes) -> Node:
    """Return a constant with memory of its own."""
    tensor = ov.Tensor(getattr(ov.Type, kind), ov.Shape(shape))
    tensor.data.view(np.uint8).reshape(-1)[:] = content
    return ops.constant(tensor)


def _size_bytes(kind: str, shape: list[int]) -> int:
    bits = int(getattr(ov.Type, kind).bitwidth)
    return -(-math.prod(shape) * bits // 8)
