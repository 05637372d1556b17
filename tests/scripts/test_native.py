"""When llama.cpp is compiled, when a kept build serves, and what is said when it cannot be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.native import (
    BuildFailed,
    build,
    build_key,
    cache_directory,
    compile_wheel,
    compilers,
    cpu_features,
    missing_compiler,
    pinned_version,
    progress_percent,
    run_telling,
    this_cpu,
)

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "native.py"
SERVER = ("1.0", ("avx2", "avx512f"), "3.11.7", "Linux x86_64 glibc 2.36", ("-DGGML_NATIVE=ON",))


def test_a_build_is_used_again_only_where_all_that_it_depends_on_is_the_same() -> None:
    """Instructions that a processor lacks would end the worker."""
    others = [
        ("1.1", *SERVER[1:]),
        (SERVER[0], ("avx2",), *SERVER[2:]),
        (*SERVER[:2], "3.12.1", *SERVER[3:]),
        (*SERVER[:3], "Linux x86_64 glibc 2.28", SERVER[4]),
        (*SERVER[:4], ("-DGGML_NATIVE=OFF",)),
    ]
    keys = {build_key(*parts) for parts in [SERVER, *others]}
    assert len(keys) == 6
    assert build_key(*SERVER) in keys


def test_the_processor_is_described_on_this_machine() -> None:
    """An empty description would let two processors share a build."""
    assert this_cpu()
    assert cpu_features("Darwin", "", "hw.optional.neon: 1\nhw.optional.arm.FEAT_BF16: 1\n") == (
        "hw.optional.arm.FEAT_BF16: 1",
        "hw.optional.neon: 1",
    )


def test_the_constraints_pin_the_version_that_is_compiled() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned_version((ROOT / "constraints.txt").read_text()))
    with pytest.raises(BuildFailed, match="does not pin llama-cpp-python"):
        pinned_version("numpy==2.4.6\n")


@pytest.mark.parametrize(
    ("found", "tools", "told"),
    [
        ({"C": "/usr/bin/cc", "C++": "/usr/bin/c++"}, ["apt-get"], None),
        ({"C": None, "C++": None}, ["brew"], "There is no C and no C++ compiler; this adds it: xcode-select --install"),
        ({"C": "/usr/bin/cc", "C++": None}, [], "There is no C++ compiler; install GCC or Clang"),
    ],
)
def test_a_missing_compiler_is_said_with_the_command_that_adds_it(
    found: dict[str, str | None], tools: list[str], told: str | None
) -> None:
    assert missing_compiler(found, tools) == told


def test_the_compilers_are_those_that_cmake_takes(tmp_path: Path) -> None:
    """CC and CXX come first."""
    for name in ("mycc", "c++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    found = compilers({"CC": str(tmp_path / "mycc"), "CXX": "nowhere"})
    assert found["C"] == str(tmp_path / "mycc")
    assert found["C++"] != "nowhere"


def test_builds_lie_where_the_operator_has_caches() -> None:
    assert cache_directory("Linux", {"XDG_CACHE_HOME": "/fast"}, Path("/root")) == Path("/fast/botbridge/native")


@pytest.mark.parametrize(("line", "percent"), [("  [78/78] link", 100), ("  [  7%] Building C", 7), ("[x] y", None)])
def test_progress_is_read_from_ninja_and_from_make(line: str, percent: int | None) -> None:
    assert progress_percent(line) == percent


def test_a_build_that_fails_shows_its_last_words(capfd: pytest.CaptureFixture[str]) -> None:
    """And how far it came."""
    script = "print('[1/2] cc a.c'); print('a.c:1: error: no such thing'); raise SystemExit(1)"
    with pytest.raises(BuildFailed, match="error: no such thing"):
        run_telling([sys.executable, "-c", script])
    assert "native: 50 % compiled" in capfd.readouterr().err


def fake_pip(folder: Path, script: str) -> Path:
    """An executable that stands where Python stands; `$*` are the arguments of its pip."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def test_a_build_appears_in_the_cache_when_it_is_whole(tmp_path: Path) -> None:
    """A build that was interrupted leaves nothing that a later one would take."""
    into = 'while [ "$1" != -w ]; do shift; done; touch "$2/some.whl"'
    kept = tmp_path / "cache" / "key"
    with pytest.raises(BuildFailed):
        compile_wheel(fake_pip(tmp_path, f"{into}; exit 1"), "1.0", kept)
    assert list(kept.parent.iterdir()) == []
    assert compile_wheel(fake_pip(tmp_path, into), "1.0", kept) == kept / "some.whl"
    assert list(kept.parent.iterdir()) == [kept]


def test_a_kept_build_is_installed_without_compiling_and_only_once(tmp_path: Path) -> None:
    """The second time nothing is done, as long as the package is there and fits."""
    noted = tmp_path / "noted"
    python = fake_pip(tmp_path, f'echo "$*" >> {noted}')
    stamp = tmp_path / "stamp"
    key = _key_of_this_machine(tmp_path, python)
    (tmp_path / "cache" / key).mkdir(parents=True)
    (tmp_path / "cache" / key / "some.whl").touch()
    build(python, stamp, tmp_path / "cache")
    assert "some.whl" in noted.read_text()
    assert "pip wheel" not in noted.read_text()
    assert stamp.read_text() == key
    noted.unlink()
    build(python, stamp, tmp_path / "cache")
    assert "pip" not in noted.read_text()  # it has asked for the installed version only
    stamp.write_text("of another processor")
    build(python, stamp, tmp_path / "cache")
    assert "some.whl" in noted.read_text()


def _key_of_this_machine(tmp_path: Path, python: Path) -> str:
    """Let it compile, with a pip that leaves a wheel, and look under which name that is kept."""
    into = 'case "$*" in *"pip wheel"*) while [ "$1" != -w ]; do shift; done; touch "$2/some.whl";; esac'
    cache = tmp_path / "elsewhere"
    (tmp_path / "compiling").mkdir()
    build(fake_pip(tmp_path / "compiling", into), tmp_path / "other-stamp", cache)
    (kept,) = cache.iterdir()
    return kept.name


def test_without_a_compiler_it_says_so_before_it_downloads_anything(tmp_path: Path) -> None:
    """As an operator sees it: one line, and the command that helps."""
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + RUN_ELSEWHERE, tmp_path],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ("native: There is no C and no C++ compiler; this adds it: sudo apt-get install g++\n"), (
        done.stdout + done.stderr
    )
    assert done.returncode == 1


RUN_ELSEWHERE = """
sys.prefix, folder = sys.argv[1], sys.argv.pop()
from scripts import native
raise SystemExit(native.main())
"""


def test_the_verb_exists_and_sets_up_what_it_needs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^native: setup ## .+\n\t@.*scripts/native\.py$", makefile, re.MULTILINE)
    ci = (ROOT / ".ci" / "run").read_text()
    assert ci.index("make native") < ci.index("make test")
