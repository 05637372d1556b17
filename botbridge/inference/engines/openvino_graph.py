"""Graphs that compute many sequences in one pass, made from those for one sequence.

OpenVINO's reader of GGUF files makes a graph for one sequence, whose attention
reads a cache in one piece. Here each attention is replaced by the one over a
paged cache, so that tokens of many sequences go through one pass, and rotary
embeddings are written the way the CPU plugin fuses. The inputs are then

    tokens, positions     i32 (N)    of all sequences, one after another
    rows                  i32 (B)    whose logits are wanted
    past_lens             i32 (B)    what each sequence holds already
    subsequence_begins    i32 (B+1)  where each one's new tokens begin, and N
    block_indices         i32        the blocks of the first sequence, of the second, ...
    block_indices_begins  i32 (B+1)  where each one's blocks begin
    max_context_len       i32 ()     the longest sequence, new tokens included
    key_cache.L, value_cache.L       the blocks of layer L; type and shape are the plugin's choice

and the output is `logits` (B, V).

Covered: attention that is plain everywhere, softmax over all earlier tokens or
a window of them. Not covered: anything else (soft caps, sinks, recurrent
states), which is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from botbridge.inference.engines.openvino_rotary import fuse_rotary
from botbridge.inference.engines.openvino_runtime import GraphUnfit, Node, Output, PagedAttention, ops, ov

ATTENTION_INPUTS: Final = 5
"""Query, key, value, mask and scale; a sixth would be sinks."""

SHAPED: Final = 4
"""Dimensions of queries, keys and values: one, tokens, heads, the numbers of a head."""


class _Paging(NamedTuple):
    """The inputs that all layers share."""

    past_lens: Node
    subsequence_begins: Node
    block_indices: Node
    block_indices_begins: Node
    max_context_len: Node


def paged(model: Node) -> Node:
    """Return a graph for many sequences, made of the parts of one for a single sequence.

    Raises:
        GraphUnfit: There is an attention of another kind.
        RuntimeError: The graph has inputs that are not known here.
    """
    paging = _Paging(
        _input("past_lens", [-1]),
        _input("subsequence_begins", [-1]),
        _input("block_indices", [-1]),
        _input("block_indices_begins", [-1]),
        _input("max_context_len", []),
    )
    attentions = [node for node in model.get_ordered_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    if not attentions:
        raise GraphUnfit("its attention is not of the plain kind")
    caches = [_page(model, attention, layer, paging) for layer, attention in enumerate(attentions)]
    single = {parameter.get_friendly_name(): parameter for parameter in model.get_parameters()}
    flat = {"inp_tokens": "tokens", "inp_pos": "positions", "inp_out_ids": "rows"}
    if not flat.keys() <= single.keys():
        raise GraphUnfit("its inputs are not those of a language model")
    inputs = []
    for theirs, ours in flat.items():
        inputs.append(_input(ours, [-1]))
        single[theirs].output(0).replace(ops.reshape(inputs[-1], _numbers([1, 1, 1, -1]), special_zero=False).output(0))
    last = model.get_results()[0].input_value(0)
    vocabulary = last.get_partial_shape()[SHAPED - 1].get_length()
    logits = ops.result(ops.reshape(last, _numbers([-1, vocabulary]), special_zero=False))
    logits.output(0).set_names({"logits"})
    return ov.Model([logits], [*inputs, *paging, *(cache for pair in caches for cache in pair)], "paged")


def _page(model: Node, attention: Node, layer: int, paging: _Paging) -> tuple[Node, Node]:
    """Replace one attention; the inputs for its keys and values.

    Raises:
        GraphUnfit: It is of another kind.
    """
    if attention.get_input_size() != ATTENTION_INPUTS:
        raise GraphUnfit("its attention has sinks")
    query = fuse_rotary(_before(attention.input_value(0), ("Transpose", "Convert")))
    key, value = (_before_cache(attention.input_value(place)) for place in (1, 2))
    key = fuse_rotary(key)
    _, _, heads, size = _shape(query)
    _, _, heads_kv, size_v = _shape(value)
    key_cache, value_cache = (_input(f"{kind}_cache.{layer}", [-1] * SHAPED, "dynamic") for kind in ("key", "value"))
    node = PagedAttention(
        [
            *(_flat(output) for output in (query, key, value)),
            *(given.output(0) for given in (key_cache, value_cache, *paging[:4])),
            ops.constant(_scale(attention), ov.Type.f32).output(0),
            ops.constant(_window(model, attention), ov.Type.i32).output(0),
            _nothing("f32"),  # slopes of ALiBi
            paging.max_context_len.output(0),
            *_unused(),
        ]
    )
    described = node.get_rt_info()
    described["num_k_heads"], described["k_head_size"] = heads_kv, size
    described["num_v_heads"], described["v_head_size"] = heads_kv, size_v
    width = heads * size_v
    attended = ops.reshape(node.output(0), _numbers([1, 1, -1, width]), special_zero=False)
    _after(attention, width).replace(attended.output(0))
    return key_cache, value_cache


def _before(output: Output, kinds: Sequence[str]) -> Output:
    """Return what goes into a row of nodes of these kinds, which are passed from the last to the first.

    Raises:
        GraphUnfit: There are others.
    """
    for kind in kinds:
        node = output.get_node()
        if node.get_type_name() != kind:
            raise GraphUnfit(f"before its attention stands {node.get_type_name()} instead of {kind}")
        output = node.input_value(0)
    return output


def _before_cache(output: Output) -> Output:
    """Return the new keys or values, before they were written into the cache in one piece.

    Raises:
        GraphUnfit: There is no such cache.
    """
    node = output.get_node()
    while node.get_type_name() in {"Broadcast", "Reshape", "Transpose", "Unsqueeze"}:
        node = node.input_value(0).get_node()
    if node.get_type_name() != "ScatterUpdate":
        raise GraphUnfit(f"its keys and values come from {node.get_type_name()} instead of a cache")
    return _before(node.input_value(2), ("Reshape", "Convert"))


def _after(attention: Node, width: int) -> Output:
    """Return the output, some nodes after an attention, where its heads lie side by side.

    Raises:
        GraphUnfit: There is none.
    """
    node = attention
    while node.get_type_name() in {"ScaledDotProductAttention", "Transpose", "Convert"}:
        users = list(node.output(0).get_target_inputs())
        if len(users) != 1:
            break
        node = users[0].get_node()
    shape = node.get_output_partial_shape(0)
    if node.get_type_name() != "Reshape" or len(shape) != SHAPED or shape[SHAPED - 1] != ov.Dimension(width):
        raise GraphUnfit(f"after its attention stands {node.get_type_name()}")
    return node.output(0)


def _shape(output: Output) -> list[int]:
    """Return a shape, -1 for what is not known.

    Raises:
        GraphUnfit: It is not that of queries, keys or values.
    """
    shape = [dimension.get_length() if dimension.is_static else -1 for dimension in output.get_partial_shape()]
    if shape[1:3] == [1, -1]:  # of a single head, which was not moved behind the tokens
        shape[1:3] = [-1, 1]
    if len(shape) != SHAPED or min(shape[2:]) < 1:
        raise GraphUnfit(f"its attention has the shape {shape}")
    return shape


def _scale(attention: Node) -> float:
    """Return what products of queries and keys are multiplied with.

    Raises:
        GraphUnfit: It is not the same everywhere.
    """
    constant = attention.input_value(4).get_node()
    if constant.get_type_name() != "Constant" or constant.get_vector().size != 1:
        raise GraphUnfit("the scale of its attention is not a number")
    return float(constant.get_vector()[0])


def _window(model: Node, attention: Node) -> int:
    """Return how many tokens an attention looks back over, its own included; 0 for all.

    Raises:
        GraphUnfit: Its mask is of another kind.
    """
    mask = attention.input_value(3).get_node()
    while mask.get_type_name() in {"Convert", "Slice", "StridedSlice"}:
        mask = mask.input_value(0).get_node()
    name = mask.get_friendly_name()
    if name == "self_kq_mask":
        return 0
    if name == "self_kq_mask_swa" and model.has_rt_info("gguf_swa_window_size"):
        return int(model.get_rt_info("gguf_swa_window_size").value)
    raise GraphUnfit(f"its attention is masked by {name}")


def _flat(output: Output) -> Output:
    """Return (N, heads x size) for (1, N, heads, size)."""
    _, _, heads, size = _shape(output)
    return ops.reshape(output, _numbers([-1, heads * size]), special_zero=False).output(0)


def _unused() -> list[Output]:
    """Return the last inputs of a paged attention, for what is not done here: scores, rotation, sparsity, eviction.

    Source: openvino 2026.4.1, the constants that its own `paged_attention_transformation` puts there.
    """
    zero = ops.constant(0, ov.Type.i32).output(0)
    return [
        *(_nothing(kind) for kind in ("i32", "i32", "i32", "f32", "f32")),
        zero,
        zero,
        _nothing("f32", dimensions=4),
        zero,
        *(_nothing(kind) for kind in ("i32", "i32", "i32", "i32", "u8", "i32")),
    ]


def _nothing(kind: str, *, dimensions: int = 1) -> Output:
    return ops.constant(np.zeros([0] * dimensions), getattr(ov.Type, kind)).output(0)


def _numbers(values: Sequence[int]) -> Node:
    return ops.constant(np.array(values), ov.Type.i64)


def _input(name: str, shape: Sequence[int], kind: str = "i32") -> Node:
    parameter = ops.parameter(ov.PartialShape(list(shape)), getattr(ov.Type, kind))
    parameter.set_friendly_name(name)
    parameter.output(0).set_names({name})
    return parameter
