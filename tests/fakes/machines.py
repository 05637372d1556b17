"""Machines that the tests do not run on, as a probe would describe them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from botbridge.machine.probe import MachineFacts, Memory, Processor, Tool, Tools, TorchBuild

GB = 10**9

SERVER = MachineFacts(
    system="Linux",
    release="6.8.0-45-generic",
    wsl=0,
    processor=Processor(
        architecture="x86_64",
        name="A server's processor",
        flags=frozenset({"sse4_2", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16"}),
        physical_cores=8,
        logical_cores=16,
        usable_cores=8,
    ),
    memory=Memory(total_bytes=24 * GB, available_bytes=20 * GB),
    home=Path("/srv/botbridge"),
    disk_free_bytes=200 * GB,
    python="3.11.9",
    sqlite="3.51.3",
    tools=Tools(
        c_compiler=Tool("/usr/bin/cc", "cc 12.2.0"),
        cxx_compiler=Tool("/usr/bin/c++", "c++ 12.2.0"),
        make=Tool("/usr/bin/make", "GNU Make 4.3"),
        cmake=Tool("/usr/bin/cmake", "cmake version 3.25.1"),
        package_tool="apt-get",
    ),
    torch=TorchBuild("2.13.0+cpu"),
)
"""Nothing is wrong with it."""

CONTAINER = replace(
    SERVER, memory=Memory(total_bytes=24 * GB, available_bytes=int(1.9 * GB), limit_bytes=2 * GB), tools=Tools()
)
"""2 GB granted on a host of 24, and no tools in the image."""

LAPTOP = replace(
    SERVER,
    processor=Processor("x86_64", "A laptop's processor", frozenset({"sse4_2", "avx2"}), 4, 8, 4),
    memory=Memory(total_bytes=8 * GB, available_bytes=6 * GB),
    disk_free_bytes=60 * GB,
)

RELIC = replace(
    LAPTOP,
    processor=Processor("x86_64", "Too old", frozenset({"sse2"}), 1, 1, 1),
    memory=Memory(total_bytes=GB // 2, available_bytes=GB // 4),
    disk_free_bytes=GB // 20,
)
"""Below every model's need."""

FULL_DISK = replace(SERVER, disk_free_bytes=GB)

MAC = replace(
    SERVER,
    system="Darwin",
    release="23.6.0",
    processor=Processor("arm64", "Apple M2", frozenset({"asimd", "asimddp", "i8mm", "bf16"}), 8, 8, 8),
    home=Path("/Users/sara/Library/Application Support/botbridge"),
    tools=Tools(package_tool="brew"),
)

WINDOWS = replace(
    SERVER,
    system="Windows",
    release="11",
    processor=Processor("AMD64", "A PC's processor", frozenset({"sse4_2", "avx2"}), 4, 8, 4),
    tools=Tools(),
    torch=None,
)

WSL2 = replace(SERVER, release="5.15.167.4-microsoft-standard-WSL2", wsl=2)
WSL1 = replace(SERVER, release="4.4.0-19041-Microsoft", wsl=1)


class FixedProbe:
    """Sees the same machine wherever it looks."""

    def __init__(self, facts: MachineFacts) -> None:
        self._facts = facts

    def look(self, home: Path) -> MachineFacts:
        """The machine, with its data where it was asked for."""
        return replace(self._facts, home=home)
