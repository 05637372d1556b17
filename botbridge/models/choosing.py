"""Which files of a repository make the model or adapter that was asked for: pure decisions over its list of names.

Only data is ever chosen: weights, JSON, tokenizer vocabularies, chat templates
and the licence. Never a pickle, never a line of code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from botbridge.errors import ModelNotFound
from botbridge.models.names import GGUF_SUFFIX, HubSource

LICENCE_PATTERNS: Final = ("LICENSE*", "NOTICE*", "USE_POLICY*")
WANTED_PATTERNS: Final = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "*.tiktoken",
    *LICENCE_PATTERNS,
)
"""Files of the top directory only: sub-directories hold other formats of the same weights."""

WEIGHTS_PATTERN: Final = "model*.safetensors"

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
"""Source: peft utils/constants.py, CONFIG_NAME and SAFETENSORS_WEIGHTS_NAME."""

PROJECTOR_PREFIX: Final = "mmproj"
"""Begins the name of a GGUF that turns pictures into tokens. Source: llama.cpp docs/multimodal.md."""

_PART = re.compile(r"-\d{5}-of-\d{5}$")
"""Ends the name of one part of a split GGUF. Source: llama.cpp llama_split_path, `%s-%05d-of-%05d.gguf`."""


class Form(StrEnum):
    """In which form a repository's weights come."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is fetched of a repository."""

    form: Form
    names: tuple[str, ...]


def choose(source: HubSource, names: Sequence[str]) -> Choice:
    """Choose the files of a repository.

    >>> choose(HubSource("hub", "o/n"), ["adapter_config.json", "adapter_model.safetensors", "README.md"]).form
    <Form.ADAPTER: 'adapter'>

    Raises:
        ModelNotFound: What was asked for is not there; the sentence says what is.
    """
    if source.quantization is not None:
        return Choice(
            Form.GGUF, (choose_gguf(source.repo, source.quantization, names), *matching(names, LICENCE_PATTERNS))
        )
    if ADAPTER_CONFIG in names and not matching(names, (WEIGHTS_PATTERN,)):
        return _adapter(source.repo, names)
    chosen = wanted(names)
    if not any(name.endswith(".safetensors") for name in chosen):
        raise ModelNotFound(f"{source.repo} offers no weights as safetensors{_other_forms(source.repo, names)}")
    return Choice(Form.SAFETENSORS, tuple(chosen))


def wanted(names: Iterable[str]) -> list[str]:
    """Choose what a causal language model needs from a repository's files.

    >>> wanted(["model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "run.py", "onnx/config.json"])
    ['model.safetensors']
    """
    chosen = matching(names, WANTED_PATTERNS)
    if any(fnmatchcase(name, WEIGHTS_PATTERN) for name in chosen):
        # Some publishers offer the same weights a second time under another name, or an adapter beside them, whose
        # configuration would make transformers look for it.
        chosen = [name for name in chosen if not name.endswith(".safetensors") or fnmatchcase(name, WEIGHTS_PATTERN)]
        chosen = [name for name in chosen if name != ADAPTER_CONFIG]
    return chosen


def choose_gguf(repo: str, quantization: str, names: Iterable[str]) -> str:
    """Choose the one GGUF file of a quantization.

    >>> choose_gguf("o/n", "Q4_K_M", ["n-Q4_K_M.gguf", "n-Q4_K_S.gguf", "mmproj-Q4_K_M.gguf"])
    'n-Q4_K_M.gguf'

    Raises:
        ModelNotFound: There is none, there are several, or it is split.
    """
    offered = sorted(name for name in names if is_language_gguf(name))
    found = [name for name in offered if holds_quantization(name, quantization)]
    whole = [name for name in found if not is_part(name)]
    if found and not whole:
        raise ModelNotFound(
            f"{repo} offers {quantization} in {len(found)} parts, and split GGUF files are not read: take a smaller "
            "quantization that is one file, or join the parts with `llama-gguf-split --merge` and pull the result"
        )
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise ModelNotFound(
            f"{repo} offers several files for {quantization}: {', '.join(whole)}; "
            f"give the name of one, as in {repo}:{_file_name(whole[0])}"
        )
    there = f"there is {', '.join(offered)}" if offered else "it holds no GGUF files at all"
    raise ModelNotFound(f"{repo} offers no GGUF file for {quantization}; {there}")


def is_language_gguf(name: str) -> bool:
    """Tell whether a file is a GGUF that a language model could be in."""
    file_name = _file_name(name).lower()
    return file_name.endswith(GGUF_SUFFIX) and not file_name.startswith(PROJECTOR_PREFIX)


def holds_quantization(name: str, quantization: str) -> bool:
    """Tell whether a file's name names this quantization as a word of its own, or is what was asked for itself.

    >>> holds_quantization("n.q4_k_m.gguf", "Q4_K_M"), holds_quantization("n-Q4_K_M.gguf", "Q4_K")
    (True, False)
    >>> holds_quantization("n-BF16.gguf", "F16"), holds_quantization("n-IQ4_XS.gguf", "Q4_XS")
    (False, False)
    """
    file_name = _file_name(name).lower()
    if quantization.lower().endswith(GGUF_SUFFIX):
        return file_name == quantization.lower()
    return re.search(rf"(?<![a-z0-9]){re.escape(quantization.lower())}(?![a-z0-9_])", file_name) is not None


def is_part(name: str) -> bool:
    """Tell whether a file is one part of a split GGUF.

    >>> is_part("n-Q8_0-00001-of-00002.gguf"), is_part("n-Q8_0.gguf")
    (True, False)
    """
    return _PART.search(name[: -len(GGUF_SUFFIX)]) is not None


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the files of the top directory that fit one of the patterns."""
    patterns = tuple(patterns)
    return [name for name in names if "/" not in name and any(fnmatchcase(name, each) for each in patterns)]


def _adapter(repo: str, names: Sequence[str]) -> Choice:
    if ADAPTER_WEIGHTS not in names:
        raise ModelNotFound(
            f"{repo} offers its adapter not as {ADAPTER_WEIGHTS}, the only form that is loaded: "
            "a pickle can run code of its author's"
        )
    return Choice(Form.ADAPTER, (ADAPTER_CONFIG, ADAPTER_WEIGHTS, *matching(names, LICENCE_PATTERNS)))


def _other_forms(repo: str, names: Iterable[str]) -> str:
    """Say how its GGUF files are pulled, if it has any that are whole."""
    offered = sorted(name for name in names if is_language_gguf(name) and not is_part(name))
    if not offered:
        return ", and no GGUF files: other forms are not loaded"
    return (
        f"; it has these GGUF files, of which one is pulled by its quantization ({repo}:Q4_K_M) or its name: "
        f"{', '.join(offered)}"
    )


def _file_name(name: str) -> str:
    return name.rsplit("/", 1)[-1]
