"""What a reasoning model writes for itself before its answer.

Covered: `<think>…</think>` at the very beginning, the form of Qwen 3, DeepSeek
R1 and those trained after them, whose own template may write the first tag.
Not covered: thoughts in other marks (`[THINK]`, gpt-oss's channels); a server
that sends the closing tag alone, which nothing tells from an answer until then.

Source: https://huggingface.co/Qwen/Qwen3-0.6B and
https://huggingface.co/deepseek-ai/DeepSeek-R1 (their chat templates).
"""

from __future__ import annotations

from typing import Final

OPENING: Final = "<think>"
CLOSING: Final = "</think>"


def without_thoughts(text: str, *, is_whole: bool) -> str:
    r"""Return what people may read of a model's words: what follows its thoughts.

    More words never take back what the fewer before them showed. Thoughts
    without an end leave nothing.

    Args:
        text: All that the model has written so far.
        is_whole: Whether nothing more follows. Until then a beginning that may become the tag is held back.

    >>> without_thoughts("<think>\nA greeting.\n</think>\n\nHello!", is_whole=True)
    'Hello!'
    >>> without_thoughts("<think>A greeting", is_whole=True), without_thoughts("<thin", is_whole=False)
    ('', '')
    >>> without_thoughts("<thin", is_whole=True)
    '<thin'
    """
    begun = text.lstrip()
    if begun.startswith(OPENING):
        return begun.partition(CLOSING)[2].lstrip()
    return text if is_whole or not OPENING.startswith(begun) else ""
