"""What engines on torch share: devices, number formats, and batches that shrink where memory is short.

Importing this module imports no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field

from ..errors import EngineFailed, EngineMissing, one_line
from . import EngineOptions

log = logging.getLogger("vidrag.engines")
Precision = Literal["auto", "float32", "float16", "bfloat16"]
T = TypeVar("T")
R = TypeVar("R")


class DeviceOptions(EngineOptions):
    """``device``: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto`` takes a GPU where there is one.  ``dtype``: number
    format of the weights; ``auto`` is float16 on a GPU and float32 elsewhere.
    """

    runtime = frozenset({"threads", "device"})
    device: str = Field("auto", pattern=r"^(?:auto|cpu|cuda(?::\d+)?|mps|xpu(?::\d+)?)$")
    dtype: Precision = "auto"


class TorchOptions(DeviceOptions):
    """``batch_size``: inputs at a time; halved by itself where memory runs out."""

    runtime = frozenset({"threads", "device", "batch_size"})
    batch_size: int = Field(16, ge=1, le=4096)


def device(name: str) -> str:
    """The device that is meant.  Raises :class:`EngineMissing` where it is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    there = {
        "cpu": lambda: True,
        "cuda": lambda: torch.cuda.is_available() and int(number or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available,
        "xpu": lambda: hasattr(torch, "xpu") and torch.xpu.is_available(),
    }
    if not there[kind]():
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise EngineMissing(
            f"device '{name}' is not there (CUDA devices: {count}); use --set SECTION.device=cpu or auto, "
            "or install a torch that knows the device"
        )
    return name


def dtype(name: Precision, where: str) -> Any:
    """The torch number format for a device."""
    import torch

    if name == "auto":
        name = "float16" if where.startswith("cuda") else "float32"
    return getattr(torch, name)


def set_threads(count: int) -> None:
    """CPU threads of torch in this process."""
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


class Batches:
    """Runs work over batches; where memory runs out the batch is halved and tried again, for good.

    ``notes`` says so, once a size.  Results do not depend on the size.
    """

    def __init__(self, what: str, size: int) -> None:
        self.what, self.size = what, size
        self.notes: list[str] = []

    def run(self, inputs: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """The results of all inputs, in order.  Raises :class:`EngineFailed` where one alone is too much."""
        out: list[R] = []
        at = 0
        while at < len(inputs):
            batch = inputs[at : at + self.size]
            try:
                out += work(batch)
            except Exception as e:
                if not out_of_memory(e):
                    raise
                if len(batch) == 1:
                    raise EngineFailed(
                        f"{self.what}: out of memory with a single input; use a smaller model, half precision or "
                        f"another device ({one_line(e, 120)})"
                    ) from e
                self._shrink(len(batch))
                continue
            at += len(batch)
        return out

    def _shrink(self, used: int) -> None:
        self.size = max(1, min(self.size, used) // 2)
        note = f"{self.what}: out of memory, batches of {self.size} from here on"
        self.notes.append(note)
        log.warning(note)
        emptied()


def out_of_memory(error: BaseException) -> bool:
    """Whether an engine said that memory ran out, on a GPU or on the CPU, in whatever way it says so."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    told = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        t in told for t in ("out of memory", "not enough memory", "cublas_status_alloc_failed", "failed to allocate")
    )


def emptied() -> None:
    """Gives back what torch keeps of a GPU's memory for itself."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def quiet() -> None:
    """No progress bars of transformers on the user's terminal."""
    from transformers.utils import logging as told

    told.disable_progress_bar()
