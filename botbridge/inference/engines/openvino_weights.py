"""Weights of a graph that was made from a GGUF, brought into the form that the CPU plugin has its fast kernels for.

A quantized matrix is a chain of nodes: whole numbers of 4 or 8 bits in groups,
made floating, shifted by a zero point where the format has one, multiplied by
each group's scale, and laid out as a matrix. No value changes here.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botbridge.inference.engines.openvino_memory import Bytes, WeightMemory, padded
from botbridge.inference.engines.openvino_runtime import Node, ops, ov

UNSIGNED = {"i4": ("u4", 0x88), "i8": ("u8", 0x80)}
"""The unsigned type for a signed one, and the bits that add the zero point to each number of a byte."""


def lay_out(model: Node, directory: Path) -> WeightMemory:
    """Bring the weights into the memory that they stay in: what is stacked in one piece, what is signed as unsigned.

    With unsigned weights and a zero point in the middle the CPU plugin quantizes
    activations, too, and multiplies whole numbers; with signed weights it does
    not, and several answers at once take 1.6 times as long (2026.4.1, AVX-512
    VNNI).

    Args:
        model: Its constants are replaced.
        directory: Where a file for them may be.

    Returns:
        What has to be held as long as anything computes with the model.

    Raises:
        MemoryError: There is none.
    """
    moving = [node for node in model.get_ordered_ops() if _moves(node)]
    memory = WeightMemory(sum(padded(_content_bytes(node)) for node in moving), directory)
    for node in moving:
        _move(node, memory)
    model.validate_nodes_and_infer_types()
    memory.seal()
    return memory


def _moves(node: Node) -> bool:
    """Return whether this is a constant that counts, or several stacked, and not a part of such a stack."""
    kind = node.get_type_name()
    if kind == "Concat":
        return bool(_parts(node))
    if kind != "Constant" or any(_parts(user) for user in _users(node)):
        return False
    return _is_signed(node) or _content_bytes(node) >= LEAST_BYTES


def _parts(node: Node) -> list[Node]:
    """Return the constants whose rows, one below another, are what comes out of a node; none when it is not so."""
    if node.get_type_name() == "Constant":
        return [node]
    inputs = [value.get_node() for value in node.input_values()]
    is_stack = node.get_type_name() == "Concat" and node.get_attributes()["axis"] == 0
    return inputs if is_stack and all(each.get_type_name() == "Constant" for each in inputs) else []


def _is_signed(node: Node) -> bool:
    """Return whether these are signed weights in groups, made floating by the one node that reads them."""
    users = [user.get_type_name() for user in _users(node)]
    return _kind(node) in UNSIGNED and len(node.get_output_shape(0)) >= _GROUPED and users == ["Convert"]


def _move(node: Node, memory: WeightMemory) -> None:
    """Put one constant in the place of what a node gives."""
    shape = list(node.get_output_shape(0))
    signed = _is_signed(node)
    kind, middle = UNSIGNED[_kind(node)] if signed else (_kind(node), 0)
    content = memory.put(_bytes(part) ^ np.uint8(middle) for part in _parts(node))
    constant = ops.constant(ov.Tensor(content, ov.Shape(shape), getattr(ov.Type, kind)), shared_memory=True)
    if not signed:
        node.output(0).replace(constant.output(0))
        return
    (floating,) = _users(node)
    zero_shape = [*shape[:-1], 1]
    zeros = _constant(kind, zero_shape, np.full(_size_bytes(kind, zero_shape), middle, np.uint8))
    number = floating.get_element_type()
    floating.output(0).replace(ops.subtract(ops.convert(constant, number), ops.convert(zeros, number)).output(0))


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
        replacement = _constant(_kind(constant), list(constant.get_output_shape(0)), lines[order].ravel())
        for user in list(constant.output(0).get_target_inputs()):
            user.replace_source_output(replacement.output(0))
    return True


def weight_bytes(model: Node) -> int:
    """Return how much of the weights every token reads: all matrices that activations are multiplied with."""
    matrices = {
        constant.get_friendly_name(): constant
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul"
        for constant in _weight_constants(node)
    }
    return sum(_content_bytes(constant) for constant in matrices.values())


_GROUPED = 3
"""Rows, groups, and the numbers of a group."""

LEAST_BYTES: Final = 64 * 2**10
"""Smaller constants stay where they are, unless something changes in them: norms, mostly."""

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


def _users(node: Node) -> list[Node]:
    return [target.get_node() for target in node.output(0).get_target_inputs()]


def _kind(node: Node) -> str:
    return str(node.get_element_type().get_type_name())


def _content_bytes(node: Node) -> int:
    return _size_bytes(_kind(node), list(node.get_output_shape(0)))


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
