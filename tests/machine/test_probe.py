"""What this machine is, as far as it can be held against what the system says otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from botbridge.machine.probe import LocalProbe, MachineFacts, TorchBuild


def look(home: Path) -> MachineFacts:
    return LocalProbe().look(home)


def test_this_machine_is_described(tmp_path: Path) -> None:
    """Each fact against another source of it."""
    facts = look(tmp_path)
    assert facts.system == os.uname().sysname
    assert facts.release == os.uname().release
    assert facts.processor.architecture == os.uname().machine
    assert facts.processor.logical_cores == os.cpu_count()
    assert 1 <= facts.processor.usable_cores <= facts.processor.logical_cores
    assert facts.memory.total_bytes == psutil.virtual_memory().total
    assert 0 < facts.memory.available_bytes <= facts.memory.total_bytes
    assert facts.python == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the other source is Linux's")
def test_instructions_are_those_that_the_processor_has_and_not_those_of_its_kind(tmp_path: Path) -> None:
    """A virtual machine may hide some; what is hidden cannot be used."""
    words = Path("/proc/cpuinfo").read_text().split()
    found = look(tmp_path).processor.flags
    for flag in ("sse4_2", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "i8mm"):
        assert (flag in found) == (flag in words), flag


def test_free_disk_is_that_of_the_place_where_the_home_will_be(tmp_path: Path) -> None:
    facts = look(tmp_path / "not" / "yet" / "there")
    assert facts.disk_free_bytes is not None
    assert facts.disk_free_bytes == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.2)
    assert not (tmp_path / "not").exists()


def test_a_home_below_a_file_has_no_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert look(tmp_path / "file" / "home").disk_free_bytes is None


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_tool_that_is_only_a_dummy_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `cc` is on a Mac without its developer tools; the next of the names is tried."""
    program(tmp_path, "cc", "exit 1")
    program(tmp_path, "clang", "echo clang version 17; echo more")
    program(tmp_path, "c++", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = look(tmp_path).tools
    assert tools.c_compiler is not None
    assert (tools.c_compiler.path, tools.c_compiler.version) == (str(tmp_path / "clang"), "clang version 17")
    assert (tools.cxx_compiler, tools.make, tools.cmake, tools.package_tool) == (None, None, None, None)


def test_torch_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To import it takes seconds, and a broken one would take the doctor with it."""
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError")
    (package / "version.py").write_text("__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert look(tmp_path).torch == TorchBuild("2.13.0", "13.0")
