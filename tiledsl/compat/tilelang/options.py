"""What TileLang's options mean here: `pass_configs`, `compile_flags`, `target`, `execution_backend`.

An option without a counterpart changes nothing; the first time it is given it is named in a warning.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

from tiledsl.compat.tilelang.errors import refused
from tiledsl.compat.tilelang.pass_config import PassConfigKey
from tiledsl.settings import logger
from tiledsl.target import TARGETS

Options = Mapping[str, Mapping[str, object]]
_THREADS_COPY: Options = {
    "bulk-loads": {"copy_engine": "never"},
    "bulk-stores": {"enabled": False},
    "warp-specialise": {"enabled": False},
    "software-pipeline": {"copy_engine": "never"},
}
# What a key does here where it is true. Producers of warp-specialised loops copy by the copy engine, so without it
# nothing is specialised.
_MEANS: Mapping[str, Options] = {
    "tl.disable_warp_specialized": {"warp-specialise": {"enabled": False}},
    "tl.disable_tma_lower": _THREADS_COPY,
    "tl.disable_shared_memory_reuse": {"plan-shared-memory": {"reuse": False}},
}
# What is so in any case: (key, value), and keys that only ask for less to be checked, printed or simplified.
_ALWAYS = {
    *(("tl.emit_line_directives", True), ("tl.enable_aggressive_shared_memory_merge", True), ("tir.noalias", True)),
    *(("tl.enable_async_copy", True), ("tir.use_async_copy", True), ("tir.merge_static_smem", True)),
}
_HARMLESS = frozenset(
    {
        *("tl.disable_buffer_init_check", "tl.disable_data_race_check", "tl.disable_prelower_semantic_check"),
        *("tl.disable_out_of_bound_warning", "tl.disable_dynamic_tail_split", "tl.dynamic_alignment", "tl.Simplify"),
        *("tir.Simplify", "tl.force_let_inline", "tl.storage_rewrite_detect_inplace", "tl.config_index_bitwidth"),
        *("tl.disable_loop_unswitching", "tl.if_stmt_binding_inline_replayable_binds", "tir.disable_cse_tir"),
        *("tl.loop_unswitching_allow_non_trivial_else", "tl.enable_lower_ldgstg", "tl.enable_lower_ldgstg_predicated"),
        *("tir.enable_equiv_terms_in_cse_tir", "tir.disable_storage_rewrite", "tl.disable_shuffle_elect"),
    }
)
_BACKENDS = ("auto", "tvm_ffi", "dlpack", "ctypes", "cython", "nvrtc")  # ways to launch, of which there is one here
_ON_CPU = ("c", "llvm", "cpu")


@dataclass(frozen=True)
class Chosen:
    """What `tiledsl.kernel` is told."""

    target: str | None = None
    backend: str | None = None
    fast_math: bool = False
    options: Options = field(default_factory=dict)


@cache
def warn_once(what: str, name: str, why: str = "tiledsl has nothing like it") -> None:
    """Says in the log that `name` changes nothing; the first time only."""
    logger().warning("tiledsl.compat.tilelang: %s %r is ignored: %s", what, name, why)


def ignored(what: str, options: Mapping[str, object]) -> None:
    """Warns of those options that are given."""
    for name, value in options.items():
        if value is not None and value is not False:
            warn_once(what, name)


def chosen(
    target: Any = None,
    execution_backend: str | None = None,
    pass_configs: Mapping[Any, Any] | None = None,
    compile_flags: Sequence[str] | str | None = None,
) -> Chosen:
    """The options of TileLang as those of tiledsl. Raises TileError TD0641 for what can only be a mistake."""
    if execution_backend is not None and execution_backend not in _BACKENDS:
        if execution_backend not in ("torch", "cutedsl"):
            raise refused("TD0641", what="execution_backend", given=repr(execution_backend), known=", ".join(_BACKENDS))
        warn_once("execution_backend", execution_backend)
    named, backend = target_of(target)
    flags = shlex.split(compile_flags) if isinstance(compile_flags, str) else list(compile_flags or ())
    fast = False
    options: dict[str, dict[str, object]] = {}
    for key, value in (pass_configs or {}).items():
        name = _canonical(key)
        if name == PassConfigKey.TL_ENABLE_FAST_MATH.value:
            fast = fast or bool(value)
        elif name == PassConfigKey.TL_DISABLE_FAST_MATH.value:
            fast = fast or value is False
        elif name == PassConfigKey.TL_DEVICE_COMPILE_FLAGS.value:
            flags += shlex.split(value) if isinstance(value, str) else list(value or ())
        elif name in _MEANS:
            for pass_name, given in _MEANS[name].items() if value else ():
                options.setdefault(pass_name, {}).update(given)
        elif value and name not in _HARMLESS and (name, value) not in _ALWAYS:
            warn_once("pass config", name)
    for flag in flags:
        if flag in ("--use_fast_math", "-use_fast_math"):
            fast = True
        elif not flag.startswith(("-O", "--std=", "-std=")):
            warn_once("compile flag", flag)
    return Chosen(named, backend, fast, options)


def _canonical(key: Any) -> str:
    """A key as text. What newer versions call tirx is tir here."""
    name = key.value if isinstance(key, Enum) else str(key)
    return "tir." + name.removeprefix("tirx.") if name.startswith("tirx.") else name


def target_of(target: Any) -> tuple[str | None, str | None]:
    """(target, backend) of tiledsl for "auto", "cuda", "cuda -arch=sm_90", {"kind": "cuda", "arch": ...}, "cpu", ...

    Raises TileError TD0641 for targets that tiledsl does not compile for.
    """
    if target is None:
        return None, None
    if isinstance(target, Mapping):
        words = [str(target.get("kind", "cuda")), f"-arch={target['arch']}" if "arch" in target else ""]
    elif isinstance(target, str):
        words = target.split()
    else:  # an object such as TVM's Target
        words = [str(getattr(target, "kind", target)), f"-arch={target.arch}" if hasattr(target, "arch") else ""]
    kind = words[0] if words else ""
    arch = next((w.partition("=")[2] for w in words[1:] if w.lstrip("-").startswith("arch=")), None)
    if kind in _ON_CPU:
        return None, "cpu"
    if kind.startswith("sm_"):
        kind, arch = "cuda", kind
    if kind not in ("auto", "cuda"):
        raise refused("TD0641", what="target", given=repr(target), known="auto, cuda, cuda -arch=..., cpu")
    if arch is None:
        return None, None
    return arch if arch in TARGETS or arch + "a" not in TARGETS else arch + "a", None
