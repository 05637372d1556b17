"""Which function loads a model for which engine; the engine's library is imported only when it is asked for."""

from __future__ import annotations

import os
from typing import Final

from botbridge.inference.choice import ADDED_BY, installed_engines
from botbridge.inference.engines.step import LoadModel

LLAMACPP_SPINS: Final = "1000"
"""How often a thread of llama.cpp looks whether the others are done before it sleeps, some 20 microseconds.

GNU OpenMP's own number is 300,000. Measured on two cores: alone on the machine both are as fast, and with other
programs running, which take a thread's core while the others wait for it, this one is 2 to 5 times faster.
"""


def loader(engine: str) -> LoadModel:
    """Return what loads a model for an engine that computes.

    Raises:
        ValueError: There is no engine of this name, or it is not installed.
    """
    if engine in ADDED_BY and engine not in installed_engines():
        raise ValueError(f"the engine {engine} is not installed; `{ADDED_BY[engine]}` adds it")
    match engine:
        case "transformers":
            from botbridge.inference.engines.transformers_loading import load_transformers  # noqa: PLC0415

            return load_transformers
        case "llamacpp":
            os.environ.setdefault("GOMP_SPINCOUNT", LLAMACPP_SPINS)  # read when OpenMP's library is loaded
            from botbridge.inference.engines.llamacpp_loading import load_llamacpp  # noqa: PLC0415

            return load_llamacpp
        case "openvino":
            from botbridge.inference.engines.openvino_loading import load_openvino  # noqa: PLC0415

            return load_openvino
        case unknown:
            raise ValueError(f"there is no engine named {unknown!r}")
