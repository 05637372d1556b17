"""LoRA adapters: what one was made for, and whether that is the model at hand.

Covered: the format of PEFT, weights as safetensors. Not covered: adapters of
other kinds, and whether the weights fit the layers, which the engine sees when
it loads them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from botbridge.errors import AdapterMismatch, ModelDamaged, ModelNotFound
from botbridge.models.choosing import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from botbridge.models.manifest import AdapterBase

LORA: Final = "LORA"
"""Source: peft utils/peft_types.py, PeftType."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_base(directory: Path, name: str) -> AdapterBase:
    """Return what the adapter in a directory was made for, as its configuration says.

    Args:
        directory: Holds configuration and weights.
        name: The adapter as messages call it.

    Raises:
        ModelNotFound: It is an adapter of another kind than LoRA, or it has no safetensors weights.
        ModelDamaged: The configuration cannot be read, or names no base.
    """
    path = directory / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, base, revision = config.get("peft_type"), config.get("base_model_name_or_path"), config.get("revision")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelDamaged(f"{ADAPTER_CONFIG} of {name} cannot be read: {error}") from error
    if kind != LORA:
        raise ModelNotFound(f"{name} is an adapter of the kind {kind}; only LoRA is loaded")
    if not (directory / ADAPTER_WEIGHTS).is_file():
        raise ModelNotFound(f"{name} holds no {ADAPTER_WEIGHTS}, the only form in which adapters are loaded")
    if not isinstance(base, str) or not base:
        raise ModelDamaged(f"{ADAPTER_CONFIG} of {name} does not say which model the adapter was made for")
    return AdapterBase(base, revision if isinstance(revision, str) and revision else None)


def check_fit(adapter: str, base: AdapterBase, model: str, revision: str, hub_id: str | None) -> None:
    """Refuse an adapter on a model that it was not made for.

    The model may be called otherwise here than on the hub: an id of the
    catalogue is the hub id that the catalogue gives for it. Revisions are held
    against one another where both are commits: a branch may have moved since,
    and a model that was built from a wheel has no commit.

    >>> check_fit("o/pirate", AdapterBase("Org/Tiny"), "tiny", "0" * 64, hub_id="org/tiny")

    Raises:
        AdapterMismatch: The sentence names the adapter, its base and the model.
    """
    if base.model.casefold() not in {name.casefold() for name in (model, hub_id) if name is not None}:
        also = f" ({hub_id})" if hub_id not in (None, model) else ""
        raise AdapterMismatch(f"the adapter {adapter} was made for {base.model}, not for {model}{also}")
    commits = [each for each in (base.revision, revision) if each is not None and _COMMIT.fullmatch(each)]
    if len(set(commits)) > 1:
        raise AdapterMismatch(
            f"the adapter {adapter} was made for the revision {base.revision} of {base.model}, "
            f"not for {revision}, which is here as {model}"
        )


def unused_note(adapter: str, base: AdapterBase, models: Iterable[tuple[str, str, str | None]]) -> str | None:
    """Say that an adapter fits no model at hand, and with which it can be used; None where it fits one.

    >>> unused_note("o/pirate", AdapterBase("org/tiny"), [("tiny", "", "org/tiny")])
    >>> unused_note("o/pirate", AdapterBase("org/tiny"), [])
    'note: the adapter o/pirate fits no model that is here or chosen; it can be used with org/tiny alone'

    Args:
        adapter: As messages call it.
        base: What it was made for.
        models: Those that are here or chosen: name, revision (empty where it is not known), and id on the hub.
    """
    for model, revision, hub_id in models:
        with contextlib.suppress(AdapterMismatch):
            check_fit(adapter, base, model, revision, hub_id)
            return None
    pinned = base.revision is not None and _COMMIT.fullmatch(base.revision)
    made_for = f"{base.model}@{base.revision}" if pinned else base.model
    return f"note: the adapter {adapter} fits no model that is here or chosen; it can be used with {made_for} alone"
