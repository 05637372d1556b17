"""Where a transformers model is computed, in which number format, and whether its weights fit there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

from botbridge.inference.engines.transformers_quantized import cannot_quantize
from botbridge.inference.options import EngineOptions
from botbridge.resources import available_memory_bytes
from botbridge.sizes import size_text

CPUINFO: Final = Path("/proc/cpuinfo")


class Devices(Protocol):
    """What the machine has to compute on; a port, so that a machine without CUDA can test the way to it."""

    def has_cuda(self) -> bool:
        """Tell whether there is a CUDA device that torch can use."""
        ...

    def place(self, name: str) -> torch.device:
        """Return the device of this name, `cpu` or `cuda`."""
        ...

    def free_bytes(self, name: str) -> int | None:
        """Return how much memory is free there; None where that is unknown."""
        ...


class TorchDevices:
    """The devices that torch finds."""

    def has_cuda(self) -> bool:
        """Tell whether torch was built with CUDA and finds a device."""
        return torch.cuda.is_available()

    def place(self, name: str) -> torch.device:
        """Return torch's device of this name."""
        return torch.device(name)

    def free_bytes(self, name: str) -> int | None:
        """Ask the driver or the kernel."""
        return torch.cuda.mem_get_info()[0] if name == "cuda" else available_memory_bytes()


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model is held.

    Attributes:
        device: `cpu` or `cuda`.
        place: The same as torch knows it.
        dtype: The number format of the weights, or of what is computed beside integers.
        int8: Whether linear layers become integers.
        notes: What was asked for and is not possible here.
    """

    device: str
    place: torch.device
    dtype: torch.dtype
    int8: bool = False
    notes: tuple[str, ...] = ()

    @property
    def packs(self) -> bool:
        """Whether linear layers are put in the order of the CPU's library."""
        return self.device == "cpu"

    def __str__(self) -> str:
        """Name what the results depend on."""
        return f"{dtype_name(self.dtype)}{' with int8' if self.int8 else ''} on {self.device}"


def choose_placement(options: EngineOptions, devices: Devices, cpuinfo: Path = CPUINFO) -> Placement:
    """Decide how a model is held.

    Raises:
        ValueError: A device, a number format or a quantization is asked for that there is not.
    """
    if options.quantize not in {"none", "int8"}:
        raise ValueError(f"there is no quantization named {options.quantize!r}")
    device = choose_device(options.device, devices)
    dtype, notes = choose_dtype(options.dtype, device, cpuinfo)
    int8 = options.quantize == "int8"
    if int8 and (obstacle := "only a CPU does it" if device != "cpu" else cannot_quantize(cpuinfo)) is not None:
        int8, notes = False, (*notes, f"The model is not quantized: {obstacle}.")
    return Placement(device, devices.place(device), dtype, int8, notes)


def choose_device(name: str, devices: Devices) -> str:
    """Return `cpu` or `cuda`.

    Raises:
        ValueError: There is no device of this name, or not on this machine.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise ValueError(f"there is no device named {name!r}")
    if name == "cpu":
        return name
    if devices.has_cuda():
        return "cuda"
    if name == "cuda":
        raise ValueError("the device cuda was asked for, and torch finds none here")
    return "cpu"


def choose_dtype(name: str, device: str, cpuinfo: Path) -> tuple[torch.dtype, tuple[str, ...]]:
    """Return the number format, with notes: bfloat16 halves what is read per token, but only where it is native.

    Raises:
        ValueError: There is no number format of this name.
    """
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name != "auto":
        if name not in formats:
            raise ValueError(f"there is no number format named {name!r}")
        return formats[name], ()
    if device == "cuda" or cpu_computes_bfloat16(cpuinfo):
        return torch.bfloat16, ()
    return torch.float32, ("This CPU does not compute with bfloat16: float32 is used, which takes twice the memory.",)


def cpu_computes_bfloat16(cpuinfo: Path) -> bool:
    """Read whether the CPU has instructions for bfloat16 (x86: AVX-512 or AMX, Arm: bf16)."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(text.split())


@dataclass(frozen=True, slots=True)
class Room:
    """What a model's weights need, and what was free before they were loaded; None where that is unknown."""

    numbers: int
    dtype: torch.dtype
    free_bytes: int | None

    @property
    def needed_bytes(self) -> int:
        """What the weights alone need."""
        return self.numbers * self.dtype.itemsize

    @property
    def suffices(self) -> bool:
        """Whether the weights fit."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    def __str__(self) -> str:
        """Say both.

        >>> str(Room(7_000_000_000, torch.bfloat16, 3_100_000_000))
        'the weights need 14.0 GB as bfloat16, and 3.1 GB of memory were free'
        """
        free = "an unknown amount" if self.free_bytes is None else size_text(self.free_bytes)
        needed = f"{size_text(self.needed_bytes)} as {dtype_name(self.dtype)}"
        return f"the weights need {needed}, and {free} of memory were free"


@contextmanager
def within(room: Room) -> Iterator[None]:
    """Load what fits; what does not is refused before the system ends the process for it.

    Raises:
        MemoryError: The weights need more than there is, or memory ran out on the way.
    """
    if not room.suffices:
        raise MemoryError(str(room))
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"memory ran out while the model was loaded: {room}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error means that memory ran out, which torch says in a plain RuntimeError.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."))
    True
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "allocate memory" in str(error)  # torch: "can't ..."; the system, where a file is mapped: "Cannot ..."


def dtype_name(dtype: torch.dtype) -> str:
    """Return a number format's name.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")
