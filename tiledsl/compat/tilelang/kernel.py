"""`JITKernel`: a compiled kernel with TileLang's methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiledsl.compat.tilelang.primfunc import PrimFunc
from tiledsl.compat.tilelang.supply import KernelParam, TensorSupplyType, params_of
from tiledsl.decorator import CompiledKernel

if TYPE_CHECKING:
    from tiledsl.compat.tilelang.profiler import Profiler


@dataclass(repr=False)
class JITKernel:
    """Called with tensors and scalars as the tiledsl kernel `compiled`, which has more to ask: `compiled.report()`, ...

    `config`, `latency` and `ref_latency` (milliseconds) are there after tuning.
    """

    compiled: CompiledKernel
    prim_func: PrimFunc | None = None
    config: Mapping[str, Any] | None = None
    latency: float | None = None
    ref_latency: float | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs on the arguments; results that out_idx names are allocated and returned. Raises TileError TD06xx."""
        return self.compiled(*args, **kwargs)

    def __repr__(self) -> str:
        tuned = f" with {dict(self.config)}" if self.config else ""
        return f"<kernel {self.compiled.name} for {self.target}{tuned}>"

    @property
    def kernel_name(self) -> str:
        return self.compiled.name

    @property
    def target(self) -> str:
        return self.compiled.target.name

    @cached_property
    def params(self) -> list[KernelParam]:
        """All parameters in order, results too."""
        return params_of(self.compiled)

    @property
    def out_idx(self) -> list[int]:
        """The positions of the results, in the order in which a call returns them."""
        found = [(p.result, i) for i, p in enumerate(self.params) if p.result is not None]
        return [i for _, i in sorted(found)]

    # ---- sources

    def get_kernel_source(self, kernel_only: bool = True) -> str:
        """The CUDA text."""
        return self.compiled.source

    def show_source(self, which: str = "kernel") -> None:
        """Prints the CUDA text."""
        print(self.get_kernel_source())

    def export_sources(self, kernel_path: str | Path | None = None, host_path: str | Path | None = None) -> None:
        """Writes the CUDA text to `kernel_path`. There is no text for the host: the driver is called from Python."""
        if kernel_path is not None:
            _write(kernel_path, self.get_kernel_source())
        if host_path is not None:
            from tiledsl.compat.tilelang.options import warn_once

            warn_once("export_sources", "host_path", "the host part of a launch is Python")

    def get_ptx(self) -> str:
        """The PTX that NVRTC made."""
        return self.compiled.ptx

    def show_ptx(self) -> None:
        """Prints the PTX."""
        print(self.get_ptx())

    def export_ptx(self, path: str | Path) -> None:
        """Writes the PTX."""
        _write(path, self.get_ptx())

    # ---- resources, as ptxas says

    @property
    def n_regs(self) -> int:
        """Registers of a thread, of the kernel that takes most."""
        return max(e.registers for e in self.compiled.report().entries)

    @property
    def n_spills(self) -> int:
        """Bytes of registers that a thread keeps in memory, of the kernel that keeps most."""
        return max(e.spill_bytes for e in self.compiled.report().entries)

    # ---- measuring

    def get_profiler(self, tensor_supply_type: TensorSupplyType = TensorSupplyType.Auto) -> Profiler:
        """Checks and measures this kernel on inputs of that kind."""
        from tiledsl.compat.tilelang.profiler import Profiler

        return Profiler(self, tensor_supply_type)

    def update_tuner_result(self, latency: float, config: Mapping[str, Any], ref_latency: float | None) -> JITKernel:
        """Notes what tuning found."""
        self.latency, self.config, self.ref_latency = latency, config, ref_latency
        return self

    def get_tuner_result(self) -> dict[str, Any]:
        """What tuning found."""
        return {"latency": self.latency, "config": self.config, "ref_latency": self.ref_latency}


def results_of(value: Any) -> Sequence[Any]:
    """What a call returned, as a list."""
    return [] if value is None else list(value) if isinstance(value, (tuple, list)) else [value]


def _write(path: str | Path, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
