"""OpenVINO's runtime, without its telemetry; every other module takes it from here.

Importing `openvino` sends an event to its makers unless a file in the home
directory forbids it. The package that sends cannot be imported once its name is
taken, and OpenVINO then uses an empty stand-in of its own: nothing is sent,
whatever the home directory holds. This has to happen before the import, hence
here, as the one module with a side effect.
Source: openvino/tools/ovc/telemetry_utils.py (`except ImportError`) and
openvino_telemetry/main.py (consent without a file), openvino 2026.4.1.
"""

from __future__ import annotations

import sys
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None: "this cannot be imported"

import openvino as ov  # noqa: E402 - see above
from openvino import frontend  # noqa: E402 - see above
from openvino import opset13 as ops  # noqa: E402 - see above
from openvino.op import _PagedAttentionExtension as PagedAttention  # noqa: E402 - see above

Node = Any
"""A node of a graph; the package has no types of its own."""

Output = Any
"""One of a node's outputs."""

READER_FAILURES = (
    RuntimeError,
    frontend.GeneralFailure,
    frontend.InitializationFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)
"""All that its readers raise; the classes share nothing but `Exception`."""


class GraphUnfit(ValueError):
    """A model cannot be computed this way; the text says why."""


__all__ = ["READER_FAILURES", "GraphUnfit", "Node", "Output", "PagedAttention", "frontend", "ops", "ov"]
