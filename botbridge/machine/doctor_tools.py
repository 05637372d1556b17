"""Judges compilers, make, cmake, torch and the engines: which of them the chosen model needs, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botbridge.inference.choice import ADDED_BY, FASTEST_FIRST
from botbridge.machine.doctor_facts import Engines, Examined, ModelState, Row, Status
from botbridge.machine.probe import Tool

CPU_INDEX: Final = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds for processors. Source: https://pytorch.org/get-started/locally"""

ADD_PACKAGE: Final = {
    "apt-get": "sudo apt-get install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
    "apk": "sudo apk add",
    "brew": "brew install",
}

COMPILER: Final = {"apt-get": "g++", "dnf": "gcc-c++", "apk": "g++ linux-headers"}
APPLE_TOOLS: Final = "xcode-select --install"

FETCHES_REMOTE: Final = "pip install 'botbridge[remote]'"


def compiler(examined: Examined) -> Row:
    """Judge the compilers, which only `make native` needs."""
    tools = examined.machine.tools
    found = _found({"C": tools.c_compiler, "C++": tools.cxx_compiler})
    needed = "only for `make native`, which compiles the engine llamacpp"
    if tools.c_compiler is not None and tools.cxx_compiler is not None:
        return Row("C/C++ compiler", found, needed)
    how = _add(examined, "gcc", COMPILER)
    engines = examined.engines
    if engines is not None and engines.wanted == "llamacpp" and "llamacpp" not in engines.installed:
        return Row("C/C++ compiler", found, needed, Status.UPGRADE, "a C and a C++ compiler", how)
    if engines is not None and "llamacpp" in engines.installed:
        return Row("C/C++ compiler", found, f"{needed}, and that is here already")
    return Row("C/C++ compiler", found, needed, Status.OPTIONAL, "a C and a C++ compiler for the fastest engine", how)


def make(examined: Examined) -> Row:
    """Judge make, which starts everything by a short verb and does nothing else."""
    tool = examined.machine.tools.make
    needed = "only for the verbs `make run`, `make native` and the like; the command botbridge does without"
    if tool is not None:
        return Row("make", _shown(tool), needed)
    return Row("make", "no", needed, Status.OPTIONAL, "make, for the verbs", _add(examined, "make"))


def cmake(examined: Examined) -> Row:
    """Judge cmake, which nobody has to install."""
    tool = examined.machine.tools.cmake
    needed = "not needed: where there is none, pip fetches one for `make native`"
    # Source: scikit-build-core, which asks for the wheel of cmake when it finds no program of that name.
    return Row("cmake", "no" if tool is None else _shown(tool), needed)


def torch(examined: Examined) -> Row:
    """Judge which torch is installed; a build for CUDA is several times the size and of no use without a GPU."""
    build, engines = examined.machine.torch, examined.engines
    needed = "for the engine transformers and to read a GGUF once when it is pulled"
    if build is None:
        status = Status.UPGRADE if engines is not None and engines.wanted == "transformers" else Status.OPTIONAL
        return Row("torch", "no", needed, status, "torch, built for processors", "make setup")
    if build.cuda is None or examined.machine.has_cuda_device:
        return Row("torch", _build_text(build.version, build.cuda), needed)
    found = f"{_build_text(build.version, build.cuda)}, and no GPU"
    how = f"pip install --force-reinstall --no-deps torch=={build.version.partition('+')[0]} --index-url {CPU_INDEX}"
    return Row("torch", found, needed, Status.OPTIONAL, "the build for processors: gigabytes less", how)


def engine(examined: Examined) -> Row:
    """Judge whether an engine is here that computes the chosen model, and whether a faster one could be."""
    engines, model = examined.engines, examined.model
    if engines is None or model is None:
        return Row("Engines", "not looked at", "one that computes the model", Status.UNKNOWN)
    found = f"{', '.join(sorted(engines.installed)) or 'none'}; taken: {engines.taken or 'none'}"
    if model.state is ModelState.NONE:
        return Row("Engines", found, "echo, which is always here")
    if model.state is ModelState.REMOTE:
        if "remote" in engines.installed:
            return Row("Engines", found, "remote")
        return Row("Engines", found, "remote", Status.UPGRADE, "the package for servers elsewhere", FETCHES_REMOTE)
    forms = " or ".join((["GGUF"] if model.has_gguf else []) + (["safetensors"] if model.has_safetensors else []))
    needed = f"one that computes {forms or 'the model'}"
    if engines.taken is None:
        upgrade, how = _missing_engine(engines, forms)
        return Row("Engines", found, needed, Status.UPGRADE, upgrade, how)
    fastest = FASTEST_FIRST[0]
    if engines.wanted == "auto" and model.has_gguf and fastest not in engines.installed:
        return Row("Engines", found, needed, Status.OPTIONAL, f"{fastest} would be faster", ADDED_BY[fastest])
    return Row("Engines", found, needed)


def _missing_engine(engines: Engines, forms: str) -> tuple[str, str]:
    """Return what is missing when nothing computes the model, and what adds it."""
    if engines.wanted == "auto":
        return f"an engine that computes {forms or 'the model'}", "make setup"
    if engines.wanted in engines.installed:
        return f"{engines.wanted} does not compute {forms}", "echo BOTBRIDGE_INFERENCE__ENGINE=auto >> .env"
    return f"the engine {engines.wanted} is not installed", ADDED_BY.get(engines.wanted, "make setup")


def _found(tools: Mapping[str, Tool | None]) -> str:
    return "; ".join(f"{name}: {'no' if tool is None else _shown(tool)}" for name, tool in tools.items())


def _shown(tool: Tool) -> str:
    return f"{tool.path} ({tool.version})" if tool.version else tool.path


def _build_text(version: str, cuda: str | None) -> str:
    return f"{version}, for processors alone" if cuda is None else f"{version}, for CUDA {cuda}"


def _add(examined: Examined, package: str, elsewhere: Mapping[str, str] | None = None) -> str:
    """Return the command that adds a tool here; `elsewhere` has its package's name where that is another one."""
    tool = examined.machine.tools.package_tool
    if examined.machine.system == "Darwin":
        return APPLE_TOOLS
    if tool is None:
        return f"add {package} with the system's package tool"
    return f"{ADD_PACKAGE[tool]} {(elsewhere or {}).get(tool, package)}"
