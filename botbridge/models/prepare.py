"""A GGUF file made ready: what engines need beside it is written from its header, its weights stay as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from botbridge.models.child import run_in_child
from botbridge.models.gguf_header import read_gguf_header
from botbridge.models.names import GGUF_SUFFIX
from botbridge.models.progress import Progress


def complete_gguf(directory: Path, staging: Path, progress: Progress, lock: int) -> None:
    """Write tokenizer, configuration and chat template beside the GGUF file of a directory.

    A killed call is simply made again: all that it may have written is replaced.

    Args:
        directory: Holds the GGUF file.
        staging: Room for unfinished files.
        progress: Hears what is done.
        lock: Descriptor of the model's lock, handed to the child process.

    Raises:
        ModelDamaged: The file is cut short, holds weights of an unknown type,
            or says too little for a tokenizer to be made.
    """
    gguf = next(path for path in sorted(directory.iterdir()) if path.name.lower().endswith(GGUF_SUFFIX))
    read_gguf_header(gguf)
    progress.say(f"reading the vocabulary of {gguf.name}")
    described = staging / "described"
    shutil.rmtree(described, ignore_errors=True)
    described.mkdir()
    run_in_child("convert", gguf, described, lock, "--without-weights")
    for path in sorted(described.iterdir()):
        path.replace(directory / path.name)


def take_over(file: Path, directory: Path) -> None:
    """Put a file of the operator's own into a directory: the same bytes where the disk allows it, else a copy."""
    target = directory / file.name
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        unfinished = target.with_name(f"{target.name}.part")
        shutil.copyfile(file, unfinished)
        unfinished.replace(target)
