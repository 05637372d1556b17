"""Judges compilers, make, cmake, torch and the engines: which of them the chosen model needs, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from botbridge.inference.choice import ADDED_BY, CUDA, NEEDED_MODULES, PIP_INSTALL, adding, adding_engine
from botbridge.inference.unserved import ON_ANY_DEVICE
from botbridge.machine.doctor_facts import OTHER_MODELS, ChosenModel, Engines, Examined, ModelState, Row, Status
from botbridge.machine.probe import Tool
from botbridge.sentences import Sentence, clauses, either

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

MEASURE: Final = "botbridge bench"

ADDABLE: Final = (*NEEDED_MODULES, "remote")
"""The engines that one command each adds; echo is always here."""

COMPILERS: Final = Sentence("C/C++ compiler")
ENGINES: Final = Sentence("Engines")
NO: Final = Sentence("no")


def compiler(examined: Examined) -> Row:
    """Judge the compilers, which only `make native` needs."""
    tools = examined.machine.tools
    found = _found({"C": tools.c_compiler, "C++": tools.cxx_compiler})
    needed = Sentence("only for `make native`, which compiles the engine llamacpp")
    if tools.c_compiler is not None and tools.cxx_compiler is not None:
        return Row(COMPILERS, found, needed)
    how = _add(examined, "gcc", COMPILER)
    engines = examined.engines
    if engines is not None and engines.wanted == "llamacpp" and "llamacpp" not in engines.installed:
        return Row(COMPILERS, found, needed, Status.UPGRADE, Sentence("a C and a C++ compiler"), how)
    if engines is not None and "llamacpp" in engines.installed:
        needed = Sentence("only for `make native`, which compiles the engine llamacpp, and that is here already")
        return Row(COMPILERS, found, needed)
    upgrade = Sentence("a C and a C++ compiler for the fastest engine")
    return Row(COMPILERS, found, needed, Status.OPTIONAL, upgrade, how)


def make(examined: Examined) -> Row:
    """Judge make, which starts everything by a short verb and does nothing else."""
    tool = examined.machine.tools.make
    needed = Sentence("only for the verbs `make run`, `make native` and the like; the command botbridge does without")
    if tool is not None:
        return Row("make", _shown(tool), needed)
    return Row("make", NO, needed, Status.OPTIONAL, Sentence("make, for the verbs"), _add(examined, "make"))


def cmake(examined: Examined) -> Row:
    """Judge cmake, which nobody has to install."""
    tool = examined.machine.tools.cmake
    needed = Sentence("not needed: where there is none, pip fetches one for `make native`")
    # Source: scikit-build-core, which asks for the wheel of cmake when it finds no program of that name.
    return Row("cmake", NO if tool is None else _shown(tool), needed)


def torch(examined: Examined) -> Row:
    """Judge which torch is installed; a build for CUDA is several times the size and of no use without a GPU."""
    build, engines = examined.machine.torch, examined.engines
    needed = Sentence("for the engine transformers and to read a GGUF once when it is pulled")
    if build is None:
        status = Status.UPGRADE if engines is not None and engines.wanted == "transformers" else Status.OPTIONAL
        return Row("torch", NO, needed, status, Sentence("torch, built for processors"), "make setup")
    has_gpu = examined.machine.has_cuda_device
    if engines is not None and engines.device == CUDA and not (has_gpu and build.cuda is not None):
        found, upgrade = (
            _build_text(build.version, build.cuda),
            Sentence("a GPU and the build of torch for it, or no cuda"),
        )
        return Row("torch", found if has_gpu else _without_gpu(found), needed, Status.UPGRADE, upgrade, ON_ANY_DEVICE)
    if build.cuda is None or has_gpu:
        return Row("torch", _build_text(build.version, build.cuda), needed)
    found = _without_gpu(_build_text(build.version, build.cuda))
    version = build.version.partition("+")[0]
    how = f"{PIP_INSTALL} --force-reinstall --no-deps torch=={version} --index-url {CPU_INDEX}"
    return Row("torch", found, needed, Status.OPTIONAL, Sentence("the build for processors: gigabytes less"), how)


def engine(examined: Examined) -> Row:
    """Judge whether an engine is here that computes the chosen model, and whether a faster one could be."""
    engines, model = examined.engines, examined.model
    if engines is None or model is None:
        return Row(ENGINES, Sentence("not looked at"), Sentence("one that computes the model"), Status.UNKNOWN)
    found = _engines_found(engines)
    if model.state is ModelState.NONE:
        return Row(ENGINES, found, Sentence("echo, which is always here"))
    if model.state is ModelState.REMOTE:
        if "remote" in engines.installed:
            return Row(ENGINES, found, "remote")
        upgrade = Sentence("the package for servers elsewhere")
        return Row(ENGINES, found, "remote", Status.UPGRADE, upgrade, adding("remote"))
    forms = _forms(model)
    needed = Sentence("one that computes {forms}", forms=forms)
    if (why := engines.unserved) is not None:
        return Row(ENGINES, found, needed, Status.UPGRADE, why.reason, why.command or OTHER_MODELS)
    if engines.taken is None:
        return Row(ENGINES, found, Sentence("known when the model is here and whole"), Status.UNKNOWN)
    return _as_fast_as_it_could_be(engines, Row(ENGINES, found, needed))


def _as_fast_as_it_could_be(engines: Engines, served: Row) -> Row:
    """Add to the row of a model that is served what would make it faster."""
    if engines.wanted == "auto" and engines.faster is not None:
        upgrade = Sentence("{engine} would be faster", engine=engines.faster)
        return replace(served, status=Status.OPTIONAL, upgrade=upgrade, how=ADDED_BY[engines.faster])
    if engines.measured_otherwise:
        upgrade = Sentence("a measurement of the revision that is here: another one was measured")
        return replace(served, status=Status.OPTIONAL, upgrade=upgrade, how=MEASURE)
    return served


def _engines_found(engines: Engines) -> Sentence:
    none = Sentence("none")
    installed, taken = ", ".join(sorted(engines.installed)) or none, engines.taken or none
    absent = [f"{name} (`{adding_engine(name)}`)" for name in ADDABLE if name not in engines.installed]
    if not absent:
        return Sentence("{installed}; taken: {taken}", installed=installed, taken=taken)
    return Sentence(
        "{installed}; not installed: {absent}; taken: {taken}",
        installed=installed,
        absent=", ".join(absent),
        taken=taken,
    )


def _forms(model: ChosenModel) -> str:
    forms = (["GGUF"] if model.has_gguf else []) + (["safetensors"] if model.has_safetensors else [])
    return either(forms) if forms else Sentence("the model")


def _found(tools: Mapping[str, Tool | None]) -> str:
    found = (NO if tool is None else _shown(tool) for tool in tools.values())
    return clauses(Sentence("{name}: {found}", name=name, found=each) for name, each in zip(tools, found, strict=True))


def _shown(tool: Tool) -> str:
    return f"{tool.path} ({tool.version})" if tool.version else tool.path


def _without_gpu(build: str) -> Sentence:
    return Sentence("{build}, and no GPU", build=build)


def _build_text(version: str, cuda: str | None) -> str:
    if cuda is None:
        return Sentence("{version}, for processors alone", version=version)
    return Sentence("{version}, for CUDA {cuda}", version=version, cuda=cuda)


def _add(examined: Examined, package: str, elsewhere: Mapping[str, str] | None = None) -> str:
    """Return the command that adds a tool here; `elsewhere` has its package's name where that is another one."""
    tool = examined.machine.tools.package_tool
    if examined.machine.system == "Darwin":
        return APPLE_TOOLS
    if tool is None:
        return Sentence("add {package} with the system's package tool", package=package)
    return f"{ADD_PACKAGE[tool]} {(elsewhere or {}).get(tool, package)}"
