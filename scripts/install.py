"""Set botbridge up in a virtual environment, torch first and alone.

Needs nothing but Python's standard library. On Linux with an x86-64 processor
the torch of PyPI is a CUDA build of several gigabytes, and nothing in a
project's own files can say "the CPU build, please"; hence the care here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX_URL = "https://download.pytorch.org/whl/cpu"  # PyTorch's own. Source: https://pytorch.org/get-started/locally
PROBE_S = 3.0
WITHOUT_OPENVINO = "without-openvino"
"""The word in a stamp that says that there was no build of openvino for this environment."""


class SetupFailed(Exception):
    """Set-up cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Machine:
    """What the choice of a torch build depends on, as `platform` names it."""

    system: str
    architecture: str
    has_gpu: bool


def torch_index(asked_url: str, *, cpu_index_answers: bool) -> str | None:
    """Return the package index to take torch from; None is pip's own.

    >>> torch_index("", cpu_index_answers=False) is None
    True
    """
    return asked_url or (CPU_INDEX_URL if cpu_index_answers else None)


def needs_cuda(requirements: Iterable[str], machine: Machine) -> bool:
    """Tell from a torch wheel's requirements whether it is a CUDA build here.

    >>> needs_cuda(['cuda-toolkit==13.0.3; platform_system == "Linux"'], Machine("Linux", "x86_64", False))
    True
    """
    for requirement in requirements:
        name, _, marker = requirement.partition(";")
        elsewhere = ("Linux" in marker and machine.system != "Linux") or (
            "x86_64" in marker and machine.architecture != "x86_64"
        )
        if re.match(r"(nvidia|cuda)-", name.strip().lower()) and "extra" not in marker and not elsewhere:
            return True
    return False


def refusal(version: str, requirements: Iterable[str], machine: Machine) -> str | None:
    """Return why a torch build should not be downloaded onto this machine; None when it may."""
    if machine.has_gpu or not needs_cuda(requirements, machine):
        return None
    return (
        f"torch {version} would come as a CUDA build of several gigabytes, and this machine has no NVIDIA GPU.\n"
        f"Set TORCH_INDEX_URL to an index with CPU builds, such as {CPU_INDEX_URL}\n"
        f"(it could not be reached within {PROBE_S:g} s), or put a CPU build of torch into the environment yourself."
    )


def pinned(name: str, constraints: str) -> str:
    r"""Find the line that pins a package.

    >>> pinned("torch", "a==1\ntorch==2.13.0\n")
    'torch==2.13.0'
    """
    found = re.search(rf"^{re.escape(name)}==\S+$", constraints, re.MULTILINE)
    if found is None:
        raise SetupFailed(f"constraints.txt does not pin {name}.")
    return found.group()


def answers(url: str, timeout_s: float) -> bool:
    """Tell whether an address answers in time; looking its name up counts, too."""
    seen = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a constant of this file
            with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310 - as above
                seen.set()
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_s)
    return seen.is_set()


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    gpu = shutil.which("nvidia-smi") is not None or any(
        Path(path).exists() for path in ("/proc/driver/nvidia/version", "/dev/nvidia0")
    )
    return Machine(platform.system(), platform.machine().lower().replace("amd64", "x86_64"), gpu)


def pip(python: Path, *arguments: str) -> str:
    """Run pip and return what it printed on stdout; its stderr is shown."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SetupFailed(f"pip {' '.join(arguments)} failed; its own words stand above.")
    return done.stdout


def install_torch(python: Path, requirement: str, machine: Machine) -> None:
    """Install torch without its dependencies, unless it is there."""
    version = requirement.partition("==")[2]
    probe = f"import importlib.metadata as m; raise SystemExit(m.version('torch').split('+')[0] != {version!r})"
    if subprocess.run([str(python), "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return
    asked_url = os.environ.get("TORCH_INDEX_URL", "")
    index = torch_index(asked_url, cpu_index_answers=not asked_url and answers(f"{CPU_INDEX_URL}/torch/", PROBE_S))
    source = ["--index-url", index] if index else []
    say(f"installing {requirement} from {index or 'the package index of pip'}")
    report = json.loads(
        pip(python, "install", "-q", "--dry-run", "--ignore-installed", "--no-deps", "--report=-", *source, requirement)
    )
    metadata = report["install"][0]["metadata"]
    if reason := refusal(metadata["version"], metadata.get("requires_dist", []), machine):
        raise SetupFailed(reason)
    pip(python, "install", "-q", "--no-deps", *source, requirement)


def say_without(requirement: str) -> None:
    """Tell of an engine that could not be added."""
    say(f"there is no {requirement} for this machine and this Python; botbridge goes on without that engine")


def install_openvino(python: Path, requirement: str) -> bool:
    """Add the engine openvino; False where there is no build of it, and set-up goes on without.

    Its dependencies are left out: numpy is here already, and the other one is
    the package that sends telemetry.
    """
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
    command += ["--only-binary=openvino", requirement]
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr:
        say_without(requirement)
        return False
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SetupFailed(f"pip install {requirement} failed; its own words stand above.")
    return True


def fingerprint(*, dev: bool) -> str:
    """Return a hash of all that decides what is installed."""
    files = [ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__)]
    content = b"".join(file.read_bytes() for file in files) + f"{ROOT} {dev}".encode()
    return hashlib.sha256(content).hexdigest()


def is_usable(python: Path) -> bool:
    """Tell whether an environment's Python still runs and is one that botbridge runs on."""
    check = "import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 15))"
    return python.exists() and subprocess.run([str(python), "-c", check], check=False).returncode == 0


def has_openvino(python: Path) -> bool:
    """Tell whether an environment's Python finds openvino, without the seconds that importing it takes."""
    check = "from importlib.util import find_spec; raise SystemExit(find_spec('openvino') is None)"
    # Isolated, for only what is installed counts, and no folder that happens to be of this name.
    return subprocess.run([str(python), "-I", "-c", check], check=False).returncode == 0


def is_set_up(python: Path, stamps: Iterable[tuple[str, str]], requirement: str) -> bool:
    """Tell whether an environment is what a stamp says; where there was no build of openvino that is said.

    Args:
        python: The environment's, one that runs.
        stamps: What each stamp says, and what it should.
        requirement: The openvino that is wanted.
    """
    words = next((said.split()[1:] for said, wanted in stamps if said.split()[:1] == [wanted]), None)
    if words is None:
        return False
    if has_openvino(python):
        return True
    if WITHOUT_OPENVINO in words:
        say_without(requirement)
        return True
    return False


def set_up(venv: Path, *, dev: bool, editable: bool) -> None:
    """Bring an environment to what pyproject.toml and constraints.txt say; nothing is done when it is there."""
    python = venv / "bin" / "python"
    stamps = {kind: venv / f"botbridge-{kind}.stamp" for kind in ("dev", "run")}
    wanted = fingerprint(dev=dev)
    sufficient = [("dev", fingerprint(dev=True))] + ([] if dev else [("run", wanted)])
    constraints = CONSTRAINTS.read_text(encoding="utf-8")
    openvino = pinned("openvino", constraints)
    usable = is_usable(python)
    if usable and is_set_up(python, [(read(stamps[kind]), content) for kind, content in sufficient], openvino):
        return
    if not usable:
        say(f"creating {venv}")
        created = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=False)
        if created.returncode:
            raise SetupFailed("Python could not create a virtual environment; its own words stand above.")
    install_torch(python, pinned("torch", constraints), this_machine())
    target = f"{ROOT}[dev]" if dev else str(ROOT)
    say("installing botbridge and what it needs" + (" and the tools for tests and checks" if dev else ""))
    pip(python, "install", "-q", "-c", str(CONSTRAINTS), *(["-e"] if editable else []), target)
    words = [wanted] if install_openvino(python, openvino) else [wanted, WITHOUT_OPENVINO]
    stamps["dev" if dev else "run"].write_text(" ".join(words), encoding="utf-8")
    say(f"{venv} is ready")


def read(path: Path) -> str:
    """Return a small file's text, empty where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def say(text: str) -> None:
    """Tell the operator what is being done."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Parse the command line, set up, and tell in one place why it failed."""
    parser = argparse.ArgumentParser(description="Set botbridge up in a virtual environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv)")
    parser.add_argument("--dev", action="store_true", help="with the tools for tests and checks")
    parser.add_argument("--copy", action="store_true", help="install a copy instead of a link to this folder")
    options = parser.parse_args()
    try:
        set_up(options.venv, dev=options.dev, editable=not options.copy)
    except SetupFailed as error:
        say(str(error).replace("\n", "\nsetup: "))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
