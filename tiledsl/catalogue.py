"""Every user-facing error, one row each: code, message, hint, and what `tiledsl explain` says about it.

Messages name the two facts that collide; hints say what to do. Ranges: TD00 internal, TD01 Python source and
tracing, TD02 shapes and dtypes, TD03 layouts, TD04 pipelines, TD05 memory, TD06 arguments and launch, TD07 IR text and
command line, TD08 execution on the CPU (races, bounds, asynchronous copies), TD09 environment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """`message` and `hint` are format strings over the facts given to `errors.error`."""

    message: str
    hint: str = ""
    explanation: str = ""


CATALOGUE: dict[str, Entry] = {
    # ---- TD00: bugs in tiledsl
    "TD0001": Entry(
        "internal check failed: {reason}",
        explanation="A pass of the compiler produced IR that breaks an invariant. This is a bug in tiledsl, "
        "never in your kernel; the message names the pass and holds the IR before it.",
    ),
    # ---- TD01: Python source and tracing
    # ---- TD02: shapes and dtypes
    # ---- TD03: layouts
    # ---- TD04: pipelines
    # ---- TD05: memory
    # ---- TD06: arguments and launch
    "TD0601": Entry(
        "'{kernel}' takes ({expected}), but {given} arguments were given",
        "pass exactly the named arguments; results may be left out or passed to be written in place",
        "The number of positional arguments does not fit the kernel's parameters.",
    ),
    "TD0602": Entry(
        "'{kernel}' got an unexpected argument '{name}'; it takes ({expected})",
        "use each parameter name once",
        "A keyword argument names no parameter, or one that was also passed by position.",
    ),
    "TD0603": Entry(
        "'{kernel}' misses: {missing}",
        "pass every tensor and scalar that is not a result",
        "A parameter of the kernel was not given.",
    ),
    "TD0604": Entry(
        "'{name}' is {dtype}, but {value} does not fit",
        "use a smaller value, or annotate the parameter with a wider dtype",
        "An integer argument is outside the range of the parameter's dtype.",
    ),
    "TD0605": Entry(
        "'{name}' is a {dtype} scalar, but a {given} was given",
        "pass a Python number or a NumPy scalar",
        "A scalar parameter takes a number, not a tensor and not a string.",
    ),
    "TD0606": Entry(
        "'{name}' is a tensor, but a {given} was given",
        "pass a torch tensor, a NumPy array, or anything with __cuda_array_interface__ or __dlpack__",
        "A tensor parameter takes an object that exposes its memory.",
    ),
    "TD0607": Entry(
        "'{name}' must have dtype {expected}, but has {given}",
        "convert it before the call; the kernel does not cast its arguments",
        "The element type of a tensor argument differs from the one the kernel was compiled for.",
    ),
    "TD0608": Entry(
        "'{name}' must have rank {rank}, shape {expected}, but has shape {given}",
        "reshape it before the call",
        "The number of dimensions of a tensor argument differs from the parameter's.",
    ),
    "TD0609": Entry(
        "'{name}' starts at {pointer}, which is not a multiple of 16 bytes",
        "pass a tensor that owns its memory, or an offset that is a multiple of 16 bytes",
        "Vector accesses and asynchronous copies need every tensor to start on a 16-byte boundary.",
    ),
    "TD0610": Entry(
        "'{name}' is on {device}, but '{other}' is on {other_device}",
        "move all tensors to one device",
        "All tensors of one call must be in the memory of one device.",
    ),
    "TD0611": Entry(
        "the size '{name}' of '{kernel}' follows from no tensor that was given",
        "let one tensor argument have '{name}' as an extent of its own",
        "Dynamic sizes are bound from the shapes of the tensors that the caller passes.",
    ),
    "TD0612": Entry(
        "axis {axis} of '{name}' must have extent {expected}, but has {given} (shape {shape})",
        "pass a tensor of the expected shape, or compile the kernel for this one",
        "The extent of a tensor argument differs from the parameter's, or from another tensor with the same size name.",
    ),
    "TD0613": Entry(
        "axis {axis} of '{name}' must have stride {expected} elements, but has {given}",
        "pass {name}.contiguous() (torch) or numpy.ascontiguousarray({name}), or annotate it with T.StridedTensor",
        "T.Tensor parameters are row-major and contiguous.",
    ),
    "TD0614": Entry(
        "the result '{name}' cannot be allocated on {device}",
        "pass it as an argument; results on a GPU are allocated with torch only",
        "Without torch tensors among the arguments there is no library that could own a result in GPU memory.",
    ),
    "TD0615": Entry(
        "the CUDA driver reports {status}: {text}",
        "run the kernel on the CPU device first (TILEDSL_BACKEND=cpu); it names out-of-bounds accesses and races",
        "A call of the CUDA driver failed. Errors of an earlier asynchronous launch appear here as well.",
    ),
    "TD0616": Entry(
        "'{entry}' cannot be launched: grid {axis} is {extent}, allowed are 0 to {limit}",
        "give the largest extent to the first grid axis",
        "The grid of a launch has at most 2^31-1 blocks along x and 65535 along y and z.",
    ),
    "TD0617": Entry(
        "unknown backend '{name}'",
        "choose one of {known}",
        "TILEDSL_BACKEND and backend= take cuda, cpu (emitted C++ on the CPU), simt or tile (NumPy).",
    ),
    "TD0618": Entry(
        "backend '{name}' cannot take tensors on {device}",
        "move the tensors to the CPU, or leave the backend out",
        "The CPU executions work on memory of the host.",
    ),
    "TD0619": Entry(
        "backend 'cuda' needs a GPU and its driver, and none was found",
        "leave the backend out to run on the CPU",
        "No CUDA driver could be loaded, or it reports no device.",
    ),
    "TD0620": Entry(
        "out_idx {index} is out of range or not a tensor: '{kernel}' has the parameters ({parameters})",
        "count the parameters from 0; negative numbers count from the end",
        "out_idx names the tensor parameters that the call allocates and returns.",
    ),
    "TD0621": Entry(
        "'{kernel}' has no {kind} '{name}'; it has: {known}",
        "check the spelling",
        "A pass or option name is not one of the compiler's.",
    ),
    "TD0622": Entry(
        "'{name}' is a compile-time parameter of '{kernel}' and was not given",
        "pass it by name in the call or to compile(), or give it a default",
        "Parameters that are neither tensors nor T-typed scalars specialise the kernel by value.",
    ),
    # ---- TD07: IR text and command line
    "TD0760": Entry(
        "'{source}' is no pipeline: cannot read '{rest}'",
        "write pass names separated by commas, options in braces: expand-lets,software-pipeline{{stages=3}}",
    ),
    "TD0761": Entry("there is no pass '{name}'", "the passes are {known}"),
    "TD0762": Entry("the pass '{name}' has no option '{option}'", "its options: {known}"),
    "TD0763": Entry("the option '{option}' of pass '{name}' is a {kind}, not '{value}'"),
    # ---- TD08: execution on the CPU
    # ---- TD09: environment
    "TD0902": Entry(
        "NVRTC was not found",
        "pip install cuda-python nvidia-cuda-nvrtc (Linux and Windows)",
        "Cubins are made by NVRTC, which needs no GPU and no driver. Without it tiledsl compiles up to CUDA text.",
    ),
    "TD0903": Entry(
        "NVRTC rejects the generated CUDA:\n{log}",
        "this is a bug in tiledsl unless the kernel calls CUDA source of your own",
        "The compiler's log follows; #line directives make it name lines of your Python file.",
    ),
    "TD0901": Entry(
        "unknown target '{name}'",
        "choose one of {known}",
        "Targets are named as the CUDA compiler names them, for example sm_80 or sm_90a.",
    ),
}
