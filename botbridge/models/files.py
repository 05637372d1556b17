"""Where the files of one model, or of one adapter, lie: what the store hands to whoever computes with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botbridge.models.adapters import check_fit
from botbridge.models.choosing import is_language_gguf
from botbridge.models.manifest import AdapterBase
from botbridge.models.names import FAST_SUFFIX, LLAMACPP_SUFFIX

TOKENIZER_NAME: Final = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A verified model on disk, ready to be loaded.

    Attributes:
        model: Catalogue id, hub id or path.
        revision: The exact revision: a hub commit, or the hash of the source file.
        directory: Holds tokenizer.json, config.json, and *.safetensors or a *.gguf.
        hub_id: Where its publisher offers the model as such, quantized by nobody; None where that is not known.
        adapters: Adapters that lie beside it, whatever they were made for (`find_with_adapters`).
    """

    model: str
    revision: str
    directory: Path
    hub_id: str | None = None
    adapters: tuple[AdapterFiles, ...] = ()

    @property
    def gguf(self) -> Path | None:
        """The model as one GGUF file that every engine reads, where it is here in this form, too; the fast one."""
        return self._first_gguf(FAST_SUFFIX)

    @property
    def llamacpp_gguf(self) -> Path | None:
        """The same for llama.cpp, which has faster ones."""
        return self._first_gguf(LLAMACPP_SUFFIX, FAST_SUFFIX)

    def _first_gguf(self, *suffixes: str) -> Path | None:
        def rank(path: Path) -> tuple[int, str]:
            places = [place for place, suffix in enumerate(suffixes) if path.stem.endswith(suffix)]
            return min(places, default=len(suffixes)), path.name

        return min((path for path in self.directory.iterdir() if is_language_gguf(path.name)), key=rank, default=None)

    @property
    def has_safetensors(self) -> bool:
        """Whether the model's weights are here as safetensors."""
        return any(self.directory.glob("*.safetensors"))


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A verified LoRA adapter on disk.

    Attributes:
        adapter: Its hub id or path.
        revision: The exact revision: a hub commit, or a fingerprint.
        directory: Holds adapter_config.json and adapter_model.safetensors.
        base: What it was made for.
    """

    adapter: str
    revision: str
    directory: Path
    base: AdapterBase


def check_base(adapter: AdapterFiles, model: ModelFiles) -> None:
    """Refuse an adapter on a model that it was not made for.

    Raises:
        AdapterMismatch: The sentence names the adapter, its base and the model.
    """
    check_fit(adapter.adapter, adapter.base, model.model, model.revision, model.hub_id)
