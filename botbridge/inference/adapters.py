"""Which of the adapters beside a model a request may name, and what stands in the way of the others.

Pure decisions; nothing is loaded and peft is not imported. What goes wrong when
an adapter is loaded is found by the engine that loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

from botbridge.answers import KnownAdapter
from botbridge.errors import AdapterMismatch, AdapterUnusable
from botbridge.inference.choice import adding
from botbridge.models.files import ModelFiles, check_base

ADDED_BY: Final = adding("lora")


def has_peft() -> bool:
    """Tell whether the package that loads adapters is installed."""
    return find_spec("peft") is not None


def known_adapters(files: ModelFiles, *, has_peft: bool) -> tuple[KnownAdapter, ...]:
    """Return the adapters beside a model; those made for another one, and all without peft, with their obstacle."""
    known = []
    for adapter in files.adapters:
        obstacle = ""
        try:
            check_base(adapter, files)
            if not has_peft:
                obstacle = f"the adapter {adapter.adapter} needs peft, which is not installed; `{ADDED_BY}` adds it"
        except AdapterMismatch as error:
            obstacle = str(error)
        known.append(KnownAdapter(adapter.adapter, adapter.revision, obstacle))
    return tuple(known)


def adapters_without(engine: str, files: ModelFiles | None, *, has_peft: bool) -> tuple[KnownAdapter, ...]:
    """Return the adapters beside a model for an engine that computes none: each has an obstacle."""
    known = () if files is None else known_adapters(files, has_peft=has_peft)
    return tuple(
        replace(
            adapter,
            obstacle=adapter.obstacle
            or f"the adapter {adapter.name} is computed by the engine transformers only, and {engine} is in use; "
            "BOTBRIDGE_INFERENCE__ENGINE=transformers chooses it",
        )
        for adapter in known
    )


def usable_revision(name: str | None, known: Sequence[KnownAdapter]) -> str | None:
    """Return the revision of the adapter that a request names; None when it names none.

    >>> usable_revision("o/pirate", [KnownAdapter("o/pirate", "f00")])
    'f00'

    Raises:
        AdapterUnusable: There is no such adapter, or something stands in its way.
    """
    if name is None:
        return None
    adapter = next((adapter for adapter in known if adapter.name == name), None)
    if adapter is None:
        raise AdapterUnusable(f"there is no adapter {name!r} beside this model")
    if adapter.obstacle:
        raise AdapterUnusable(adapter.obstacle)
    return adapter.revision
