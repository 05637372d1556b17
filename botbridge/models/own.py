"""Models and adapters in directories and files of the operator's own, used where they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from botbridge.errors import ModelDamaged, ModelNotFound
from botbridge.models.choosing import ADAPTER_WEIGHTS, is_language_gguf, is_part
from botbridge.models.files import TOKENIZER_NAME, AdapterFiles, ModelFiles
from botbridge.models.gguf_header import read_gguf_header
from botbridge.models.safetensors_files import WeightsDamaged, count_numbers, tensor_sizes
from botbridge.sentences import Sentence

MODEL_CONFIG: Final = "config.json"

VOCABULARIES: Final = (TOKENIZER_NAME, "tokenizer.model", "vocab.json", "vocab.txt", "*.tiktoken")
"""One of these lies beside a model's weights. Source: transformers, VOCAB_FILES_NAMES of its tokenizers."""

FINGERPRINT_BYTES: Final = 2**20
"""What of each end of a file enters its fingerprint: all of a JSON file, the header of weights, and some of them."""


def check_directory(directory: Path) -> str:
    """Return the revision of the model in a directory, after a look at what engines need.

    The revision is a fingerprint: cheap enough for every start, and enough to
    tell two models apart; it does not prove the weights byte for byte.

    Raises:
        ModelNotFound: There is no model that is complete; the sentence says what is missing.
        ModelDamaged: A file cannot be read, or a GGUF is of a form that no engine reads.
    """
    paths = files_of(directory)
    names = {path.name for path in paths}
    if not (MODEL_CONFIG in names and any(name.endswith(".safetensors") for name in names)):
        _check_gguf(directory, paths, names)
    elif not any(fnmatchcase(name, pattern) for name in names for pattern in VOCABULARIES):
        raise ModelNotFound(
            Sentence(
                "{path} holds no vocabulary: {file} lies beside a model's weights", path=directory, file=TOKENIZER_NAME
            )
        )
    return fingerprint(paths)


def check_whole(files: ModelFiles | AdapterFiles) -> None:
    """Look whether weights are as long as their headers say, and a vocabulary in JSON can be read.

    It takes the place of the hashes, which nobody has of a directory of the
    operator's own, and reads no weights.

    Raises:
        ModelDamaged: A file is cut off, too long or missing; the sentence names it.
    """
    try:
        if isinstance(files, AdapterFiles):
            list(tensor_sizes(files.directory / ADAPTER_WEIGHTS))
        elif files.gguf is not None:
            read_gguf_header(files.gguf)
        else:
            count_numbers(files.directory)
            _check_tokenizer(files.directory)
    except WeightsDamaged as error:
        raise ModelDamaged(error.reason) from error


def _check_tokenizer(directory: Path) -> None:
    path = directory / TOKENIZER_NAME
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return  # another of `VOCABULARIES` is there
    except (OSError, ValueError) as error:
        raise ModelDamaged(Sentence("{path} is damaged: it is no JSON", path=path)) from error


def check_gguf_file(path: Path) -> str:
    """Return the revision of a GGUF file, a fingerprint as that of a directory.

    Raises:
        ModelNotFound: There is no such file, or it is a part of one.
        ModelDamaged: It cannot be read.
    """
    if not path.is_file():
        raise ModelNotFound(Sentence("there is no file {path}", path=path))
    _refuse_part(path)
    return fingerprint([path])


def files_of(directory: Path) -> list[Path]:
    """Return the files of a directory, sorted, without those that are about locks only.

    Raises:
        ModelNotFound: It is no directory that can be read.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.is_file() and path.suffix != ".lock")
    except OSError as error:
        reason = Sentence("{path} is no directory with a model: {error}", path=directory, error=error.strerror)
        raise ModelNotFound(reason) from error


def fingerprint(paths: Sequence[Path]) -> str:
    """Return a hash of names, sizes and both ends of some files, as hex.

    Raises:
        ModelDamaged: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            size_bytes = path.stat().st_size
            with path.open("rb") as file:
                ends = hashlib.sha256(file.read(FINGERPRINT_BYTES))
                # The first end of a GGUF is vocabulary only; two tunings of one model differ behind it.
                file.seek(max(size_bytes - FINGERPRINT_BYTES, 0))
                ends.update(file.read())
        except OSError as error:
            raise ModelDamaged(Sentence("{path} cannot be read: {error}", path=path, error=error.strerror)) from error
        digest.update(f"{path.name}\0{size_bytes}\0".encode() + ends.digest())
    return digest.hexdigest()


def _check_gguf(directory: Path, paths: Sequence[Path], names: set[str]) -> None:
    gguf = next((path for path in paths if is_language_gguf(path.name)), None)
    if gguf is None:
        raise ModelNotFound(
            Sentence(
                "{path} holds no model: it takes config.json with *.safetensors, or a *.gguf with tokenizer.json",
                path=directory,
            )
        )
    _refuse_part(gguf)
    if TOKENIZER_NAME not in names:
        raise ModelNotFound(
            Sentence(
                "{path} holds {file} but no tokenizer.json: name the file itself as the model, {model}, "
                "and prepare it once with: {command}",
                path=directory,
                file=gguf.name,
                model=gguf,
                command=f"botbridge models pull {gguf}",
            )
        )
    read_gguf_header(gguf)


def _refuse_part(path: Path) -> None:
    if is_part(path.name):
        raise ModelNotFound(
            Sentence(
                "{path} is one part of a split GGUF file, and such are not read: join the parts with {command}",
                path=path,
                command="`llama-gguf-split --merge`",
            )
        )
