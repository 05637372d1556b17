"""Compile llama.cpp for the processor at hand, and install it beside the Python that runs this.

Needs nothing but Python's standard library, a C++ compiler, and the package
index. The compiled package is kept in the user's cache directory, so that it is
compiled once for each processor, version and Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGE = "llama-cpp-python"
CONFIGURATION = (
    "cmake.build-type=Release",
    "cmake.args=-DGGML_NATIVE=ON;-DGGML_OPENMP=ON;-DLLAVA_BUILD=OFF",
)
TOLD_EVERY_PERCENT = 10
LAST_WORDS = 30
"""So many of the compiler's last lines are shown when it fails."""

COMPILER_FROM = {
    "apt-get": "sudo apt-get install g++",
    "dnf": "sudo dnf install gcc-c++",
    "pacman": "sudo pacman -S gcc",
    "apk": "sudo apk add g++ linux-headers",
    "brew": "xcode-select --install",
}


class BuildFailed(Exception):
    """There will be no compiled package; the text says why and what to do."""


def pinned_version(constraints: str) -> str:
    r"""Find the version that constraints.txt names.

    >>> pinned_version("a==1\nllama_cpp_python==0.3.36\n")
    '0.3.36'
    """
    found = re.search(r"^llama[-_]cpp[-_]python==(\S+)$", constraints, re.MULTILINE)
    if found is None:
        raise BuildFailed(f"constraints.txt does not pin {PACKAGE}.")
    return found.group(1)


def cpu_features(system: str, cpuinfo: str, sysctl: str) -> tuple[str, ...]:
    r"""Return what the processor can do, as the system tells it, in a fixed order; empty where it does not.

    Args:
        system: As `platform.system()` names it.
        cpuinfo: Linux's /proc/cpuinfo.
        sysctl: What macOS's `sysctl machdep.cpu hw.optional` prints.

    >>> cpu_features("Linux", "model name\t: x\nflags\t\t: sse avx2\nflags\t\t: sse avx2\n", "")
    ('avx2', 'sse')
    >>> cpu_features("Linux", "Features\t: fp asimd\n", "")
    ('asimd', 'fp')
    """
    if system == "Darwin":
        return tuple(sorted(sysctl.splitlines()))
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return tuple(sorted({feature for line in lines for feature in line.split()}))


def build_key(version: str, features: Iterable[str], python: str, machine: str, configuration: Iterable[str]) -> str:
    """Return the name of a build: a hash of all that a compiled package depends on.

    Args:
        version: Of the package.
        features: Of the processor.
        python: Version of Python.
        machine: System and architecture.
        configuration: What the build is told.

    >>> build_key("1", ["avx2"], "3.11", "Linux x86_64", []) == build_key("1", ["avx2"], "3.11", "Linux x86_64", [])
    True
    >>> build_key("1", ["avx2"], "3.11", "Linux x86_64", []) == build_key("1", ["avx512f"], "3.11", "Linux x86_64", [])
    False
    """
    parts = [version, " ".join(features), python, machine, *configuration]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def cache_directory(system: str, environment: Mapping[str, str], home: Path) -> Path:
    """Return where compiled packages are kept: XDG_CACHE_HOME, or where the system has its caches.

    >>> cache_directory("Linux", {}, Path("/home/user")).as_posix()
    '/home/user/.cache/botbridge/native'
    >>> cache_directory("Darwin", {}, Path("/Users/user")).as_posix()
    '/Users/user/Library/Caches/botbridge/native'
    """
    usual = home / "Library" / "Caches" if system == "Darwin" else home / ".cache"
    return Path(environment.get("XDG_CACHE_HOME") or usual) / "botbridge" / "native"


def missing_compiler(found: Mapping[str, str | None], package_tools: Iterable[str]) -> str | None:
    """Return what is missing and the command that adds it; None when everything is there.

    Args:
        found: Where the compilers for C and C++ are, None where there is none.
        package_tools: Which of the keys of COMPILER_FROM are on this machine.

    >>> missing_compiler({"C": "/usr/bin/cc", "C++": None}, ["apt-get"])
    'There is no C++ compiler; this adds it: sudo apt-get install g++'
    """
    missing = [language for language, path in found.items() if path is None]
    if not missing:
        return None
    tool = next(iter(package_tools), None)
    advice = f"this adds it: {COMPILER_FROM[tool]}" if tool else "install GCC or Clang"
    return f"There is no {' and no '.join(missing)} compiler; {advice}"


def progress_percent(line: str) -> int | None:
    """Read how far a build is from a line of ninja's or make's; None for other lines.

    >>> progress_percent("  [39/78] /usr/bin/gcc -O3"), progress_percent("  [ 50%] Building C object")
    (50, 50)
    """
    if found := re.match(r"\s*\[(\d+)/(\d+)\] ", line):
        return 100 * int(found.group(1)) // int(found.group(2))
    found = re.match(r"\s*\[ *(\d+)%\] ", line)
    return int(found.group(1)) if found else None


def compile_wheel(python: Path, version: str, kept: Path) -> Path:
    """Compile the package and keep it; it appears in the cache when it is whole."""
    say(f"compiling {PACKAGE} {version} for this processor, which takes about five minutes on two cores")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".building-") as folder:
        settings = [word for setting in CONFIGURATION for word in ("-C", setting)]
        requirement = f"{PACKAGE}=={version}"
        pip_wheel = [str(python), "-m", "pip", "wheel", "-v", "--no-deps", "--no-binary", PACKAGE, "-w", folder]
        run_telling([*pip_wheel, *settings, requirement])
        shutil.rmtree(kept, ignore_errors=True)
        Path(folder).rename(kept)
        Path(folder).mkdir()  # for TemporaryDirectory to remove
    return wheel_in(kept) or fail(f"pip compiled {requirement} and left no wheel")


def run_telling(command: list[str]) -> None:
    """Run a build, tell how far it is, and show its last words when it fails."""
    last: deque[str] = deque(maxlen=LAST_WORDS)
    told = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as building:
        for line in building.stdout or ():
            last.append(line.rstrip()[:300])
            percent = progress_percent(line)
            if percent is not None and percent >= told + TOLD_EVERY_PERCENT:
                told = percent
                say(f"{percent} % compiled")
    if building.returncode:
        fail("the build failed; its last words were:\n" + "\n".join(last))


def wheel_in(folder: Path) -> Path | None:
    """Return the compiled package that is kept in a folder."""
    return next(folder.glob("*.whl"), None)


def install(python: Path, wheel: Path) -> None:
    """Install the compiled package and what it imports, in the tested versions, and see that it runs."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", str(CONSTRAINTS)]
    for arguments in ([str(wheel)], ["--no-deps", "--force-reinstall", str(wheel)]):
        if subprocess.run([*pip, *arguments], check=False).returncode:
            fail(f"pip could not install {wheel.name}; its own words stand above")
    probe = "import llama_cpp; print(llama_cpp.llama_print_system_info().decode())"
    done = subprocess.run([str(python), "-c", probe], capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{wheel.name} is installed and does not run here: {done.stderr.strip().splitlines()[-1:]}")
    say(done.stdout.strip())


def build(python: Path, stamp: Path, cache: Path) -> None:
    """Bring the compiled package into a Python's environment; nothing is done when it is there."""
    version = pinned_version(CONSTRAINTS.read_text(encoding="utf-8"))
    machine = f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}"
    key = build_key(version, this_cpu(), platform.python_version(), machine, CONFIGURATION)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == key and is_installed(python, version):
        return
    wheel = wheel_in(cache / key)
    if wheel is None:
        if reason := missing_compiler(compilers(os.environ), filter(shutil.which, COMPILER_FROM)):
            fail(reason)
        wheel = compile_wheel(python, version, cache / key)
    say(f"installing {wheel}")
    install(python, wheel)
    stamp.write_text(key, encoding="utf-8")


def is_installed(python: Path, version: str) -> bool:
    """Tell whether an environment has this version of the package."""
    probe = f"import importlib.metadata as m; raise SystemExit(m.version({PACKAGE!r}) != {version!r})"
    return subprocess.run([str(python), "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0


def compilers(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Look for compilers as CMake does: what CC and CXX name, then the usual names."""
    usual = {"C": ("CC", "cc", "gcc", "clang"), "C++": ("CXX", "c++", "g++", "clang++")}
    return {
        language: next(filter(None, (shutil.which(name) for name in (environment.get(variable, ""), *names))), None)
        for language, (variable, *names) in usual.items()
    }


def this_cpu() -> tuple[str, ...]:
    """Look at the processor that this runs on."""
    cpuinfo, system = Path("/proc/cpuinfo"), platform.system()
    sysctl = ""
    if system == "Darwin":
        command = ["sysctl", "machdep.cpu", "hw.optional"]
        sysctl = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return cpu_features(system, cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else "", sysctl)


def fail(reason: str) -> NoReturn:
    """End the build."""
    raise BuildFailed(reason)


def say(text: str) -> None:
    """Tell the operator what is being done."""
    print(f"native: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Parse the command line, build, and tell in one place why it failed."""
    parser = argparse.ArgumentParser(description="Compile llama.cpp for this processor.")
    parser.add_argument("--cache", type=Path, help="where compiled packages are kept (default: the user's cache)")
    options = parser.parse_args()
    try:
        cache = options.cache or cache_directory(platform.system(), os.environ, Path.home())
        build(Path(sys.executable), Path(sys.prefix) / "botbridge-native.stamp", cache)
    except BuildFailed as error:
        say(str(error).replace("\n", "\nnative: "))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
