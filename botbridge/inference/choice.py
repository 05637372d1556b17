"""Which engine runs a model when the operator leaves it to us: pure decisions, and one look at what is installed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import Final

AUTO: Final = "auto"
CUDA: Final = "cuda"

NEEDED_MODULES: Final = {"transformers": "torch", "llamacpp": "llama_cpp", "openvino": "openvino"}
"""What each engine that computes needs to be installed."""

PIP_INSTALL: Final = ".venv/bin/pip install"
"""Our own pip: a bare one is another environment's, and refuses on Debian 12 and later.

Source: https://peps.python.org/pep-0668/
"""

ADDED_BY: Final = {"llamacpp": "make native", "openvino": "make setup"}
"""The command that adds an engine which does not come with the base dependencies."""

NO_MODEL_HERE: Final = frozenset({"remote", "echo", "echo-faults"})
"""The engines for which no model's files are looked for: no model is run at all, or none on this machine."""

FASTEST_FIRST: Final = ("llamacpp", "openvino", "transformers")
"""The order for a GGUF where nothing was measured. Source: benchmarks/, on x86-64 with AVX-512."""

FASTEST_FOR_MANY: Final = ("openvino", "llamacpp", "transformers")
"""The same from MANY_SLOTS answers side by side on.

Source: benchmarks/engines.py on x86-64 with AVX-512, the embedded model and the 1B shape: to one person llama.cpp says
1.5 to 1.9 times as much, to four OpenVINO 1.0 to 1.2, to eight 1.6, and it reads prompts 1.5 to 1.9 times as fast.
"""

MANY_SLOTS: Final = 8
"""Whoever lets so many be answered side by side expects them, and reads no faster than either engine writes."""


def adding(extra: str) -> str:
    """Return the command that adds an optional part, for the folder in which `make setup` was run.

    From that folder, because the name of it on the index of packages is not ours.

    >>> adding("remote")
    ".venv/bin/pip install -c constraints.txt -e '.[remote]'"
    """
    return f"{PIP_INSTALL} -c constraints.txt -e '.[{extra}]'"


def adding_engine(engine: str) -> str:
    """Return the command that adds an engine, one of NEEDED_MODULES or `remote`.

    >>> adding_engine("llamacpp"), adding_engine("transformers"), adding_engine("remote") == adding("remote")
    ('make native', 'make setup', True)
    """
    return adding(engine) if engine == "remote" else ADDED_BY.get(engine, "make setup")


def installed_engines() -> frozenset[str]:
    """Return the engines whose modules are here; none of them is imported."""
    return frozenset(engine for engine, module in NEEDED_MODULES.items() if find_spec(module) is not None)


def engine_order(
    measured: Sequence[str],
    installed: Collection[str],
    *,
    has_gguf: bool,
    has_safetensors: bool,
    slots: int,
    has_adapters: bool = False,
    device: str = AUTO,
    wanted: str = AUTO,
) -> tuple[str, ...]:
    """Return the engines to try, best first; none where the settings let none read the model.

    Args:
        measured: What `botbridge bench` found for this model on this machine,
            fastest first; empty where nothing was measured.
        installed: Engines that are here.
        has_gguf: The model is here as a GGUF.
        has_safetensors: It is here as safetensors.
        slots: How many answers are to run side by side.
        has_adapters: Adapters for it are here, which only transformers computes; that counts for more than speed.
        device: The setting: only transformers computes on `cuda`.
        wanted: The setting: `auto`, or the one engine that is to compute; `remote` and `echo` read no model here.

    >>> engine_order((), {"transformers", "openvino"}, has_gguf=True, has_safetensors=True, slots=4)
    ('openvino', 'transformers')
    >>> engine_order(("openvino", "llamacpp"), {"llamacpp", "openvino"}, has_gguf=True, has_safetensors=True, slots=4)
    ('openvino', 'llamacpp')
    >>> engine_order(("openvino",), {"llamacpp", "openvino"}, has_gguf=True, has_safetensors=True, slots=4)
    ('llamacpp', 'openvino')
    >>> engine_order(("openvino",), {"transformers", "openvino"}, has_gguf=True, has_safetensors=True, slots=4)
    ('openvino', 'transformers')
    >>> engine_order((), {"llamacpp", "openvino"}, has_gguf=True, has_safetensors=True, slots=8)
    ('openvino', 'llamacpp')
    >>> engine_order((), {"transformers", "openvino"}, has_gguf=False, has_safetensors=True, slots=4)
    ('transformers',)
    >>> engine_order((), {"transformers", "llamacpp"}, has_gguf=True, has_safetensors=True, slots=4, has_adapters=True)
    ('transformers', 'llamacpp')
    >>> engine_order((), {"transformers", "llamacpp"}, has_gguf=True, has_safetensors=True, slots=4, device="cuda")
    ('transformers',)
    >>> engine_order((), {"transformers"}, has_gguf=True, has_safetensors=True, slots=4, wanted="llamacpp")
    ()
    """
    first = ("transformers",) if has_adapters else ()
    reads_gguf = has_gguf and device != CUDA
    able = {"transformers": has_safetensors, "llamacpp": reads_gguf, "openvino": reads_gguf}
    usual = [engine for engine in unmeasured_order(slots) if engine in installed]
    # What was added after all was measured would else never be taken.
    added = itertools.takewhile(lambda engine: engine not in measured, usual)
    return tuple(
        engine
        for engine in dict.fromkeys((*first, *added, *measured, *usual))
        if engine in installed and able.get(engine, False) and wanted in {AUTO, engine}
    )


def unmeasured_order(slots: int) -> tuple[str, ...]:
    """Return all engines, fastest first, for a GGUF and so many answers side by side."""
    return FASTEST_FOR_MANY if slots >= MANY_SLOTS else FASTEST_FIRST


def faster_engine(
    installed: Collection[str],
    slots: int,
    *,
    has_gguf: bool,
    has_adapters: bool = False,
    device: str = AUTO,
    computing: Collection[str] = frozenset(NEEDED_MODULES),
) -> str | None:
    """Return the engine that is not installed and would be faster than those that are; None where there is none.

    On `cuda`, and where adapters are here, transformers is the only one that serves. `computing` are those that compute
    the model's architecture, as far as that is known.

    >>> faster_engine({"openvino"}, 4, has_gguf=True), faster_engine({"openvino"}, 4, has_gguf=True, device="cuda")
    ('llamacpp', None)
    >>> faster_engine({"llamacpp"}, 8, has_gguf=True), faster_engine(set(), 8, has_gguf=True, computing={"llamacpp"})
    ('openvino', 'llamacpp')
    """
    if not has_gguf or has_adapters or device == CUDA:
        return None
    fastest = next((engine for engine in unmeasured_order(slots) if engine in computing), None)
    return None if fastest in installed else fastest


def missing_note(faster: str) -> str:
    """Tell the operator of a faster engine that this model could have (`faster_engine`).

    >>> missing_note("llamacpp")
    'The engine llamacpp is not installed and would be faster; `make native` adds it.'
    """
    return f"The engine {faster} is not installed and would be faster; `{ADDED_BY[faster]}` adds it."


def unheeded_notes(engine: str, quantize: str) -> tuple[str, ...]:
    """Tell the operator of a quantization that is asked for and that this engine does not make.

    An engine that computes nothing has nothing to quantize, and whoever asks for it knows that.

    >>> unheeded_notes("llamacpp", "none"), unheeded_notes("transformers", "int8"), unheeded_notes("echo", "int8")
    ((), (), ())
    """
    if quantize == "none" or engine == "transformers" or engine not in NEEDED_MODULES:
        return ()
    setting = f"BOTBRIDGE_INFERENCE__QUANTIZE={quantize}"
    return (f"{setting} does nothing with the engine {engine}: only the engine transformers heeds it.",)
