"""What this machine is: processor, memory, disk, system and tools, as facts that others judge.

`Probe` is the way to them; tests hand in facts of machines that they do not have.

Covered: Linux with its control groups and WSL, macOS; native Windows far enough to say what is missing there.
Not covered: GPUs beyond whether there is one that CUDA could use; torch itself is never imported.
"""

from __future__ import annotations

import platform
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

import psutil
from archspec import cpu
from archspec.cpu.detect import detected_info

from botbridge.machine.bot_memory import bot_memory_bytes
from botbridge.resources import (
    ROOT,
    available_memory_bytes,
    memory_limit_bytes,
    processor_limit,
    usable_cores,
)

TOOL_PATIENCE_S: Final = 5.0
"""How long a compiler may take to say its version."""

PACKAGE_TOOLS: Final = ("apt-get", "dnf", "pacman", "apk", "brew")

_CUDA = re.compile(r"^cuda\b[^=]*= '([^']+)'", re.MULTILINE)
_VERSION = re.compile(r"^__version__ = '([^']+)'", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Processor:
    """What computes.

    Attributes:
        architecture: As the system names it: `x86_64`, `aarch64`, `arm64`.
        name: As its maker names it; empty where it does not say.
        flags: Sets of instructions, by Linux's names for them: `avx2`, `avx512_vnni`, `asimd`.
        physical_cores: None where the system does not tell.
        logical_cores: Hyper-threads counted.
        usable_cores: What this process should compute with.
        limit_cores: What its control group grants; None for no limit.
    """

    architecture: str
    name: str
    flags: frozenset[str]
    physical_cores: int | None
    logical_cores: int
    usable_cores: int
    limit_cores: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory there is, and how much of it can be had.

    Attributes:
        total_bytes: Of the machine.
        available_bytes: What this process can still take.
        limit_bytes: What its control group grants; None for no limit.
        bot_bytes: What the bot holds that runs on the same data; 0 where none does.
    """

    total_bytes: int
    available_bytes: int
    limit_bytes: int | None = None
    bot_bytes: int = 0

    @property
    def holdable_bytes(self) -> int:
        """What a bot can have here: all but what other programs use.

        What the running bot holds counts as free, because a bot that is started in its place has it: so the answer
        is the same whether it runs or not. More than the control group grants it is never, also where the running bot
        is in another group.

        >>> Memory(total_bytes=8, available_bytes=3, bot_bytes=2).holdable_bytes
        5
        >>> Memory(total_bytes=8, available_bytes=3, limit_bytes=4, bot_bytes=2).holdable_bytes
        4
        """
        granted = self.total_bytes if self.limit_bytes is None else min(self.limit_bytes, self.total_bytes)
        return min(self.available_bytes + self.bot_bytes, granted)


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: where it is, and the first line of what it says of its version."""

    path: str
    version: str


@dataclass(frozen=True, slots=True)
class Tools:
    """What native code is built with; None for what is not here.

    Attributes:
        package_tool: The first of `PACKAGE_TOOLS` that is here.
    """

    c_compiler: Tool | None = None
    cxx_compiler: Tool | None = None
    make: Tool | None = None
    cmake: Tool | None = None
    package_tool: str | None = None


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The torch that is installed; `cuda` is the version of CUDA it was built for, None for a build without."""

    version: str
    cuda: str | None = None


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """A machine, as it is now.

    Attributes:
        system: `Linux`, `Darwin` or `Windows`.
        release: Of the kernel.
        wsl: 1 or 2 inside the Windows Subsystem for Linux, else 0.
        home: The directory of botbridge's data; it need not exist yet.
        disk_free_bytes: On the disk where `home` lies or will lie; None where that cannot be asked.
        torch: None where there is none.
        has_cuda_device: Whether the driver of a GPU for CUDA is here.
    """

    system: str
    release: str
    wsl: int
    processor: Processor
    memory: Memory
    home: Path
    disk_free_bytes: int | None
    python: str
    sqlite: str
    tools: Tools
    torch: TorchBuild | None = None
    has_cuda_device: bool = False


class Probe(Protocol):
    """Looks at a machine."""

    def look(self, home: Path) -> MachineFacts:
        """Return what the machine is, and what is free where `home` lies or will lie."""
        ...


class LocalProbe:
    """Looks at the machine that this runs on; takes about a tenth of a second."""

    def look(self, home: Path) -> MachineFacts:
        """Return what this machine is."""
        system, release = platform.system(), platform.release()
        torch = find_spec("torch")
        return MachineFacts(
            system=system,
            release=release,
            wsl=wsl_version(release) if system == "Linux" else 0,
            processor=_processor(),
            memory=_memory(home),
            home=home,
            disk_free_bytes=_free_bytes(home),
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            tools=_tools(),
            torch=None if torch is None or torch.origin is None else _torch_beside(Path(torch.origin)),
            has_cuda_device=Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None,
        )


def wsl_version(release: str) -> int:
    """Tell Microsoft's kernels from others, and WSL 2, a real Linux, from WSL 1, which imitates one.

    Source: https://github.com/microsoft/WSL2-Linux-Kernel, whose releases end in `-microsoft-standard-WSL2`;
    WSL 1 says `4.4.0-19041-Microsoft`.

    >>> wsl_version("5.15.167.4-microsoft-standard-WSL2"), wsl_version("4.4.0-19041-Microsoft"), wsl_version("6.8.0")
    (2, 1, 0)
    """
    if "microsoft" not in release.lower():
        return 0
    return 1 if release.endswith("-Microsoft") else 2


def torch_build(version_file: str) -> TorchBuild | None:
    r"""Read torch's own `version.py` without running it; None where it says nothing.

    >>> torch_build("__version__ = '2.13.0+cu128'\ncuda: Optional[str] = '12.8'\n")
    TorchBuild(version='2.13.0+cu128', cuda='12.8')
    >>> torch_build("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")
    TorchBuild(version='2.13.0+cpu', cuda=None)
    """
    version, cuda = _VERSION.search(version_file), _CUDA.search(version_file)
    return None if version is None else TorchBuild(version[1], None if cuda is None else cuda[1])


def _processor() -> Processor:
    # What archspec says of the host is the features of the nearest known kind; what was detected is the truth.
    detected = detected_info()
    flags = detected.features or cpu.host().features
    return Processor(
        architecture=platform.machine(),
        name=cpu.brand_string() or detected.name or platform.processor(),
        flags=frozenset(flags),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count() or 1,
        usable_cores=usable_cores(),
        limit_cores=processor_limit(),
    )


def _memory(home: Path, root: Path = ROOT) -> Memory:
    bot_bytes = bot_memory_bytes(home)
    machine = psutil.virtual_memory()
    ours = available_memory_bytes(root)
    return Memory(
        total_bytes=machine.total,
        available_bytes=machine.available if ours is None else ours,
        limit_bytes=memory_limit_bytes(root),
        bot_bytes=bot_bytes,
    )


def _free_bytes(home: Path) -> int | None:
    """Return what is free where a directory lies, or where it would be made."""
    for place in (home, *home.parents):
        try:
            return psutil.disk_usage(str(place)).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _tools() -> Tools:
    return Tools(
        c_compiler=_tool("cc", "gcc", "clang"),
        cxx_compiler=_tool("c++", "g++", "clang++"),
        make=_tool("make", "gmake"),
        cmake=_tool("cmake"),
        package_tool=next((name for name in PACKAGE_TOOLS if shutil.which(name)), None),
    )


def _tool(*names: str) -> Tool | None:
    """Return the first of these programs that works: on a Mac without its developer tools `cc` is a dummy."""
    for name in names:
        path = shutil.which(name)
        said = None if path is None else _said([path, "--version"])
        if path is not None and said is not None:
            return Tool(path, said.partition("\n")[0].strip())
    return None


def _said(command: Sequence[str]) -> str | None:
    """Return what a program prints; None when it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=TOOL_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _torch_beside(package: Path) -> TorchBuild | None:
    try:
        return torch_build(package.with_name("version.py").read_text(encoding="utf-8"))
    except OSError:
        return None
