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
    "TD0101": Entry(
        "the source of '{name}' cannot be read",
        "define the kernel in a file or a notebook cell: its text is rewritten, so it must be at hand",
        "Kernels are rewritten at the level of their syntax tree, which needs the text of the function. Functions "
        "made by exec, typed at a plain prompt, or written as lambdas have none.",
    ),
    "TD0102": Entry(
        "T has no word '{word}'",
        "{hint}",
        "The vocabulary of kernels is tiledsl.language; docs/language.md lists it.",
    ),
    "TD0103": Entry(
        "T.{word} is not supported yet",
        "{hint}",
        "The word belongs to the language but this version cannot compile it.",
    ),
    "TD0104": Entry(
        "{word} was used outside a kernel",
        "call it in a function decorated with @tiledsl.kernel",
        "Words of the language build the program of the kernel that is being traced; there is none here.",
    ),
    "TD0105": Entry(
        "{word} needs an open T.Kernel block",
        "put it under 'with T.Kernel(...) as ...:'",
        "Statements of a kernel are executed by the blocks of a launch, which 'with T.Kernel(...)' opens.",
    ),
    "TD0106": Entry(
        "the truth of {value} is known only when the kernel runs",
        "in a kernel or a @T.macro, 'if', 'while', 'and', 'or' and 'not' work on traced values; "
        "elsewhere use T.if_then_else, or decorate the helper with @T.macro",
        "Plain helper functions run as ordinary Python while the kernel is traced, before any value exists.",
    ),
    "TD0107": Entry(
        "{value} is known only when the kernel runs, so it cannot be {use}",
        "use a Python number or a compile-time parameter; a 'for' over a list or tuple runs at trace time",
        "Traced values stand for numbers on the GPU; Python cannot index lists, count or iterate with them.",
    ),
    "TD0108": Entry(
        "'{word}' stands {where}",
        "break and continue work in range, T.serial, T.unroll, T.Pipelined and while loops",
        "Only loops that run one iteration after the other can be left or shortened.",
    ),
    "TD0109": Entry(
        "'{word}' depends on a run-time condition, but its loop runs at trace time",
        "loop over range(...) or T.serial(...) to make a loop of the kernel",
        "A Python for loop over a list or another iterable is unrolled while tracing, when the condition is unknown.",
    ),
    "TD0110": Entry(
        "'{name}' was bound in {what}, and is used after it",
        "declare it before as a mutable variable: {name} = T.alloc_var(dtype, init)",
        "A name bound under run-time control flow means different values on different ways through the kernel. "
        "A variable of T.alloc_var is stored to instead, and keeps its value.",
    ),
    "TD0111": Entry(
        "'{name}' is used in {what} before that iteration binds it",
        "declare it before the loop as a mutable variable: {name} = T.alloc_var(dtype, init)",
        "'x = expr' binds an immutable value, so an iteration cannot see the binding of the one before it.",
    ),
    "TD0112": Entry(
        "{value} belongs to {scope}, which has ended",
        "compute it again here, or keep it in a T.alloc_var or a tensor declared outside",
        "Values and tensors live as long as the block in which they were made.",
    ),
    "TD0113": Entry(
        "'{name}' is a tensor, and '{name} = ...' would bind the name to the number {value}",
        "write {name}[...] = ... for an element, or T.fill({name}, ...) for all",
    ),
    "TD0114": Entry(
        "'return' stands in {what}, which is decided when the kernel runs",
        "return once, at the end of the function; keep the value in a T.alloc_var",
    ),
    "TD0115": Entry(
        "a side of {construct} has effects, and may not be evaluated at run time",
        "write it as an 'if' statement, or compute the side before",
    ),
    "TD0116": Entry(
        "{problem}",
        explanation="Python itself raised this while the kernel function ran under tracing; the message is Python's.",
    ),
    "TD0117": Entry(
        "{value} was read from '{buffer}' before '{buffer}' was written, and is used after",
        "give the value a name where it is read: x = ...; a name keeps what was read",
        "An expression that is not bound to a name is evaluated where it is used, after the write.",
    ),
    "TD0118": Entry(
        "this 'while' runs at trace time and has not ended after {rounds} rounds",
        "let its condition depend on a T.alloc_var; leave loops with break inside 'for ... in range(...)'",
        "A while loop on Python values is run by Python while the kernel is traced.",
    ),
    "TD0146": Entry(
        "this 'while' never ends: its condition is a constant",
        "let it depend on a T.alloc_var, or leave a loop over range(...) with break",
    ),
    "TD0147": Entry(
        "{word} stands before the tensors of the kernel are declared",
        "declare all tensors first: A: T.Tensor((M, N), dtype)",
        "Sizes of T.const are read off the arguments while the declarations run; before them no size has a value.",
    ),
    "TD0148": Entry(
        "the size '{name}' of T.const has no value, because no tensor is given",
        "pass it by name: compile({name}=...), or -a {name}=... on the command line",
        "A call reads the sizes of T.const off its tensors; without a call someone must say what they are.",
    ),
    "TD0119": Entry(
        "the condition of 'while' reads '{name}', an immutable value that the body binds anew",
        "declare it before the loop as a mutable variable: {name} = T.alloc_var(dtype, init)",
    ),
    "TD0120": Entry(
        "T.Kernel blocks cannot be nested",
        "close the first block before opening the second: each becomes a launch of its own",
    ),
    "TD0121": Entry(
        "'{name}' launches nothing",
        "open a block with 'with T.Kernel(...) as ...:'",
    ),
    "TD0122": Entry(
        "'else' of a loop works only on loops that run at trace time",
        "set a T.alloc_var before 'break' and test it after the loop",
    ),
    "TD0123": Entry(
        "'{name}' is not a plain function",
        "kernels and macros are functions without yield, async or await",
    ),
    "TD0124": Entry(
        "'{name}' needs a shape and a dtype, not {annotation}",
        "write T.Tensor((M, N), T.float16)",
    ),
    "TD0125": Entry(
        "the annotation '{annotation}' of '{name}' cannot be evaluated: {problem}",
        "the names in it must exist where the kernel is defined",
        "With 'from __future__ import annotations' Python keeps annotations as text; tiledsl evaluates them where the "
        "function is defined.",
    ),
    "TD0126": Entry(
        "the size '{name}' of T.const is no dimension of any tensor parameter",
        "declare a tensor with it: A: T.Tensor(({name}, ...), dtype)",
        "Sizes of T.const are read off the shapes of the arguments, where they stand alone as a dimension.",
    ),
    "TD0127": Entry(
        "the size '{size}' is {actual} in dimension {dim} of '{name}', but {known} in an earlier tensor",
        "pass tensors whose shapes agree, or declare the dimension with another name",
    ),
    "TD0128": Entry(
        "a kernel returns what T.empty made, not {value}",
        "make the output with C = T.empty(shape, dtype) and return C, or return nothing",
    ),
    "TD0129": Entry(
        "{word} works on whole tiles, and stands in a T.Parallel loop, whose body is the work of one element",
        "move it out of the loop, or write the element: C[i, j] = ...",
    ),
    "TD0130": Entry(
        "T.Parallel loops cannot be nested",
        "give one loop several extents: for i, j in T.Parallel(m, n), or make the inner one T.serial",
    ),
    "TD0131": Entry(
        "{given} names are given for {what}, but it binds {count}",
        "write as many names as there are dimensions",
    ),
    "TD0133": Entry(
        "'{name}' is used before it is bound",
        "bind it before this block",
    ),
    "TD0134": Entry(
        "'{name}' is missing: tracing needs {kind}",
        "pass {name}=..., or give it a default",
    ),
    "TD0135": Entry(
        "{word} can be looped over only by a 'for' statement of a kernel or a macro",
        "decorate the helper with @T.macro; in a comprehension use range",
    ),
    "TD0136": Entry(
        "'{name}: T.Tensor(...)' declares a tensor, but '{name}' is no undeclared parameter of the kernel",
        "declare each tensor parameter once; outputs are made by T.empty, tiles by T.alloc_shared",
    ),
    "TD0137": Entry(
        "the {what} of argument '{name}' is {given}, but the kernel declares {declared}",
        "pass a tensor as declared",
    ),
    "TD0138": Entry(
        "'{name}' takes any number of arguments",
        "name every parameter of a kernel",
    ),
    "TD0139": Entry(
        "':=' stands on a side of 'and', 'or', 'if' or a chained comparison that may not be evaluated",
        "assign in a statement before",
    ),
    "TD0150": Entry(
        "a pipelined loop writes '{name}' and uses '{other}', which may share its memory",
        "use a serial loop, or do not annotate them if they are apart",
        "A pipeline reads tiles some iterations ahead. What an earlier iteration writes to the same memory it would miss.",
    ),
    "TD0151": Entry(
        "the pointer '{name}' is no tensor yet",
        "say what it points to: A = T.make_tensor({name}, shape, dtype)",
        "A parameter of T.ptr is memory of the call. The kernel says which tensor it is, once.",
    ),
    "TD0152": Entry(
        "T.launch_thread of '{axis}' stands behind work of the launch",
        "move it up: all axes are launched before the first statement",
    ),
    "TD0153": Entry(
        "'{name}' would have to last across T.sync_grid",
        "keep it in global memory (T.alloc_global), or make it behind T.sync_grid",
        "T.sync_grid ends the launch and begins another: registers and shared memory of a block are gone then.",
    ),
    "TD0154": Entry(
        "T.sync_grid stands in {where}",
        "move it into the T.Kernel block itself, or end the block and open another: launches run in order",
        "T.sync_grid ends the launch for all blocks, which cannot depend on what a loop, a branch or a role does.",
    ),
    "TD0140": Entry(
        "tensor parameter '{name}' is used before it is declared",
        "declare it first: {name}: T.Tensor(shape, dtype)",
    ),
    "TD0141": Entry(
        "the size '{name}' of T.dynamic is no dimension of any tensor parameter",
        "declare a tensor with it, or pass it as a scalar parameter: {name}: T.int32",
        "Run-time sizes are read off the shapes of the arguments, where they stand alone as a dimension or stride.",
    ),
    "TD0142": Entry(
        "{word} takes names of sizes, not {value}",
        'write {word}("m, n")',
    ),
    "TD0143": Entry(
        "{word} must stand before the T.Kernel block",
        "move it to the beginning of the kernel function",
    ),
    "TD0144": Entry(
        "parameter '{name}' of macro '{macro}' is a T.Ref, but {value} is neither a variable nor a tensor",
        "pass what T.alloc_var made",
    ),
    "TD0145": Entry(
        "a macro is made from a function, not from {value}",
        "write @T.macro above a def",
    ),
    # ---- TD02: shapes and dtypes
    "TD0201": Entry(
        "{given} is no dtype",
        "{hint}",
        "Dtypes are strings, T.float16 and the like, or dtypes of torch and NumPy.",
    ),
    "TD0202": Entry(
        "a number is needed, not {value}",
        "use a Python number, an element A[i, j] of a tensor, or a traced scalar",
    ),
    "TD0203": Entry(
        "{a} and {b} have no common dtype",
        "convert one of them: x.astype(...)",
        "Neither type holds all values of the other, so no implicit conversion is right for both.",
    ),
    "TD0204": Entry(
        "'/' on the integers {a} and {b}",
        "use // (rounds down), T.truncdiv (rounds towards zero), or convert to float32 first",
    ),
    "TD0205": Entry(
        "{value} is out of the range of {dtype}, {low} to {high}",
        "convert the other side to a wider dtype",
        "A Python number adopts the dtype of what it meets; it must be a value of that dtype.",
    ),
    "TD0206": Entry(
        "{value} is no integer, but is to become {dtype}",
        "write a whole number, or convert explicitly: T.cast({value}, ...)",
    ),
    "TD0207": Entry(
        "'{name}' has {rank} dimensions {shape}, and {given} indices are given",
        "give at most one index for each dimension",
    ),
    "TD0208": Entry(
        "index {index} is out of range for dimension {dim} of '{name}' {shape}",
        "indices count from 0, negative ones from the end",
    ),
    "TD0209": Entry(
        "{value} cannot be {use}: an integer is needed",
        "convert it: T.cast(x, T.int32)",
    ),
    "TD0210": Entry(
        "a slice of '{name}' has the step {step}",
        "slices are contiguous: loop with T.Parallel for other steps",
    ),
    "TD0211": Entry(
        "dimension {dim} of the slice of '{name}' is {extent} long, which is no constant",
        "write the slice as start : start + SIZE with a constant SIZE",
        "Tiles have constant extents, because threads and registers are dealt to their elements at compile time.",
    ),
    "TD0212": Entry(
        "dimension {dim} of the slice of '{name}' has {extent} elements",
        "the end of a slice lies behind its start",
    ),
    "TD0213": Entry(
        "{word} needs equal extents, but {a} and {b} differ",
        "{hint}",
        "Dimensions of extent 1 are left out on both sides; the others must be equal, in order.",
    ),
    "TD0214": Entry(
        "{word} starts at an element of '{start}' of rank {rank}, but {other} is a tile of rank {given}",
        "slice the other side, or index '{start}' in all its dimensions",
    ),
    "TD0215": Entry(
        "operand {parameter} of T.gemm is no matrix: {tile}",
        "the last two dimensions are the matrix; those before them must have extent 1",
    ),
    "TD0216": Entry(
        "T.gemm needs equal inner extents, but {a} {flip_a}has K = {ka} and {b} {flip_b}has K = {kb}",
        "check the tile shapes, or set transpose_A or transpose_B",
    ),
    "TD0217": Entry(
        "T.gemm of {a} and {b} gives {wants}, but C is {c}",
        "allocate C with T.alloc_fragment({wants}, ...)",
    ),
    "TD0218": Entry(
        "T.gemm cannot combine these dtypes: {what}",
        "{rule}",
        "The tensor core multiplies operands of one dtype and accumulates in a wider one.",
    ),
    "TD0219": Entry(
        "operand {parameter} of {word}, '{name}', lies in {space} memory",
        "it must come from {allowed}",
    ),
    "TD0220": Entry(
        "{word} needs a constant size, not {value}",
        "use a Python int, a compile-time parameter, or a size of T.const",
        "Tiles have constant extents, because threads and registers are dealt to their elements at compile time.",
    ),
    "TD0221": Entry(
        "{word} needs positive integers as sizes, not {value}",
        "write the shape as a tuple of ints",
    ),
    "TD0222": Entry(
        "the shape has {shape} dimensions, but there are {strides} strides",
        "give one stride for each dimension",
    ),
    "TD0223": Entry(
        "'{op}' does not work on {a} and {b}",
        "it takes integers; use T.reinterpret to reach the bits of a float",
    ),
    "TD0224": Entry(
        "T.Kernel cannot launch {what}",
        "a launch has {rule}",
    ),
    "TD0225": Entry(
        "{word} has the step {step}",
        "the step is a Python int other than 0",
    ),
    "TD0226": Entry(
        "{name} of {word} cannot be {value}",
        "allowed: {allowed}",
    ),
    "TD0227": Entry(
        "T.Pipelined has {order} entries in order, but {stage} in stage",
        "give one entry of each for every statement of the body",
    ),
    "TD0228": Entry(
        "the loop over {axis} has {extent} iterations, but the kernel has {threads} threads there",
        "launch T.Kernel(..., threads=...) with as many threads as the loop has iterations",
    ),
    "TD0230": Entry(
        "a part of '{name}' cannot be assigned to",
        "use T.copy or T.fill on the part, or assign elements in a T.Parallel loop",
    ),
    "TD0231": Entry(
        "an element of '{name}' cannot hold {value}, which is a tensor",
        "use T.copy, or name the element: [i, j]",
    ),
    "TD0232": Entry(
        "arithmetic works on elements, and '{name}' is a tensor",
        "write it element by element: for i, j in T.Parallel(...): C[i, j] = A[i, j] + ...",
    ),
    "TD0233": Entry(
        "a slice of '{name}' is indexed again",
        "give all indices at once: {name}[i, a:b]",
    ),
    "TD0234": Entry(
        "{word} needs constant extents, but dimension {dim} of '{name}' {extent} is a run-time size",
        "slice it: start : start + SIZE with a constant SIZE",
    ),
    "TD0235": Entry(
        "{parameter} of {word} must be a tensor or a part of one, not {value}",
        "pass a parameter of the kernel, what an alloc_ word made, or a slice of these",
    ),
    "TD0236": Entry(
        "a {kind} cannot be the layout of '{name}', a {space} tensor of shape {shape}",
        "shared tensors take a T.Layout, fragments a T.Fragment",
    ),
    "TD0237": Entry(
        "{word} cannot turn '{name}', {old}, into {new}",
        "both must have the same number of bits, and the tensor must be contiguous",
    ),
    "TD0238": Entry(
        "T.transpose of {src} has the extents {wants}, but dst is {dst}",
        "allocate dst with {wants}",
    ),
    "TD0239": Entry(
        "{word} cannot work along dimension {dim} of '{name}' {shape}",
        "dimensions count from 0, negative ones from the end",
    ),
    "TD0240": Entry(
        "{word} of {src} along dimension {dim} gives {wants}, but dst is {dst}",
        "allocate dst with one of these shapes",
    ),
    "TD0241": Entry(
        "{word} cannot mix integers and floats: {src}, {dst}",
        "allocate dst with the dtype of src, or a wider one of its kind",
    ),
    "TD0242": Entry(
        "{word} returns old values of elements only, not of tiles",
        "write it in a T.Parallel loop, on elements",
    ),
    "TD0243": Entry(
        "{word} of a number needs one element, but dst is {dst}",
        "index all dimensions, or pass a tile as the value",
    ),
    "TD0244": Entry("{word} by zero", "the divisor must not be 0"),
    "TD0245": Entry("{word} of {dtype}", "integers have none: use T.max_value or T.min_value"),
    "TD0247": Entry(
        "{word} takes {extent} elements along dimension {dim} of '{name}', which is {shape}",
        "take at most as many as there are; only tensors in global memory may be exceeded, where tiles are cut off",
    ),
    "TD0246": Entry(
        "{value} has {bits} bits, but {dtype} has {wanted}",
        "T.reinterpret keeps the bits, so the sizes must be equal; T.cast converts the value",
    ),
    "TD0248": Entry(
        "{word} needs elements of 16, 32 or 64 bits, but '{name}' has {dtype}",
        "keep the elements that are updated in a wider dtype, and convert them afterwards",
        "The hardware compares and swaps words of at least 16 bits.",
    ),
    "TD0249": Entry(
        "'{name}' is a barrier, which has no value to read, write or copy",
        "use T.barrier_wait and T.barrier_arrive, or another barrier word",
        "An mbarrier lies in shared memory, but its bits belong to the hardware.",
    ),
    "TD0250": Entry(
        "{word} needs a barrier, not {value}",
        "{hint}",
        "Words on mbarriers take what T.alloc_barrier made, or an element of it; with T.create_list_of_mbarrier also a number.",
    ),
    "TD0251": Entry(
        "T.ws cannot run on the warpgroups {groups}",
        "{rule}",
        "A warpgroup is 128 threads of the block: number 0 has the threads 0 to 127, number 1 the next, and so on.",
    ),
    "TD0252": Entry(
        "a T.ws block stands in {where}",
        "write T.ws blocks beside each other, in the T.Kernel block or in its serial loops",
        "A T.ws block divides the threads of the whole block; they cannot be divided a second time.",
    ),
    "TD0254": Entry(
        "{word} cannot move {src} to {dst}",
        "{rule}",
        "Copies that the hardware makes by itself move bytes as they are, between global and shared memory.",
    ),
    "TD0257": Entry(
        "{name} of {word} is {shown}, but must be {wants}",
        "give the whole image, in global memory with constant H, W and C, and a T.alloc_shared tile",
        "T.im2col numbers the pixels of whole images: it divides by their sides, so these are constants.",
    ),
    "TD0258": Entry(
        "the filter of {word} reaches over {reach} pixels, which do not fit into {img} with a padding of {pad}",
        "check kernel, dilation and pad: a side of the image plus twice the padding is at least dilation * (kernel - 1) + 1",
    ),
    "TD0259": Entry(
        "{word} stands in a loop, a condition or a part of the block",
        "write it in the T.Kernel block itself, once for all blocks and threads",
        "Whether a launch waits for the one before it, and where, must not depend on anything: launches further on count on it.",
    ),
    "TD0262": Entry(
        "T.copy_cluster cannot move '{src}' to '{dst}' of another block: {why}",
        "copy whole tiles of one shape, or rows of multiples of 16 bytes, and let the compiler choose the layouts of both, "
        "or give both the same by T.annotate_layout",
        "The copy engine moves bytes as they are from one block to another, in multiples of 16, and knows nothing of "
        "layouts: what follows on in one tile has to follow on in the other.",
    ),
    "TD0265": Entry(
        "the reducer '{name}' {what}",
        "set it by T.clear or T.fill, update it in T.Parallel loops, {name}[i] += value with T.alloc_reducer's operator, "
        "and read it after T.finalize_reducer({name})",
        "The threads that update a reducer do not look at each other: each has parts of its own until "
        "T.finalize_reducer combines them.",
    ),
    "TD0270": Entry(
        "there is no instruction for this: {what}",
        "there is: {known}",
        "The words T.ptx_... name instructions of the table `tiledsl isa`. T.gemm chooses one that fits its operands.",
    ),
    "TD0271": Entry(
        "{what}={size} is no positive multiple of {step}",
        "an instruction {shape} of {type} takes {step} at a time",
    ),
    "TD0275": Entry(
        "T.gemm_sp of {a} cannot use {tile} of {dtype}: it multiplies {shapes}",
        "give A_sparse and E as tiledsl.sparse.compress makes them: half and a sixteenth of the columns of A",
        "Of four neighbours of a row of A two are stored, and a word of E says of sixteen which they are.",
    ),
    "TD0276": Entry(
        "the matrix cannot be compressed: {problem}",
        "set the two smallest of every four neighbours to zero first: tiledsl.sparse.prune",
        "A sparse tensor core multiplies matrices of which any four neighbours in a row, from a multiple of four on, have at "
        "most two elements that are not zero.",
    ),
    "TD0280": Entry(
        "the CUDA text has no kernel '{name}'",
        "available entries: {known}",
        "T.CUDASourceCodeKernel launches a __global__ function that its text defines, by name.",
    ),
    "TD0281": Entry(
        "{name}({takes}) is passed ({passes})",
        "give args=[...] with one tensor, scalar or size for each of its parameters",
        "Without args a kernel of CUDA text is passed all parameters of the tiledsl kernel, then its dynamic sizes.",
    ),
    "TD0282": Entry(
        "the kernel '{name}' is a template",
        "define a __global__ function that calls it with the template's arguments, and launch that one",
        "A template has no code of its own until something names its arguments, which a launch by name cannot.",
    ),
    "TD0285": Entry(
        "{what} cannot take {value}",
        "it needs {needs}",
        "Words on several neighbours (T.add2, T.ldg128, ...) take a part of a tensor, as A[i, 2 * j : 2 * j + 2], or what "
        "such a word gave.",
    ),
    "TD0286": Entry(
        "{word} cannot move {width} bits at {place}",
        "an access of {width} bits needs {needs}",
        "Hardware moves 4, 8 or 16 bytes in one access only where the address is a multiple of that.",
    ),
    "TD0287": Entry(
        "{word} has no sequence to draw from",
        "begin one by T.rng_init(seed), in this block of code or one around it",
    ),
    "TD0288": Entry(
        "{word} stands in a loop inside of a T.Parallel loop, whose points draw one number each",
        "draw outside of the inner loop, or make its iterations points of the T.Parallel loop",
    ),
    "TD0289": Entry(
        "'{name}' holds two numbers of {dtype} in each byte, {problem}",
        "{hint}",
        "The number at an even place of a row lies in the low four bits of its byte. Rows are whole bytes, and parts of "
        "rows that are copied too; neighbours are stored together, by T.copy, since no memory access reaches half a byte.",
    ),
    "TD0290": Entry(
        "{word} takes no packed numbers, and '{name}' is a tensor of {dtype}",
        "T.copy it to a tile of {wider}, or of another dtype, and use that",
        "Numbers of 4 bits lie two to a byte. T.copy, T.fill, T.clear, T.view and reading of elements know them.",
    ),
    "TD0291": Entry(
        "{problem}",
        "give an array of int4, uint4 or float4_e2m1fn of ml_dtypes with rows of an even length, or its bytes in uint8",
        "`tiledsl.nibbles.pack` and `unpack` change between arrays of 4-bit numbers and the bytes that kernels take.",
    ),
    # ---- TD03: layouts
    "TD0301": Entry(
        "layout conflict: {what}\n{pictures}",
        "copy the tile to a second buffer, through shared memory if the threads differ, or annotate one of the two",
        "A fragment is one assignment of elements to threads and registers for the whole kernel. Two statements "
        "demand assignments that no single layout satisfies; the notes show both statements.",
    ),
    "TD0302": Entry(
        "fragment '{buffer}' is spread over the threads, so '{index}' cannot index it: {why}",
        "iterate with T.Parallel over that dimension, or keep the values in shared memory",
        "An element of a fragment lives in the registers of particular threads. An index that is the same in all "
        "threads (a serial loop variable, a run-time scalar) would need values of other threads' registers.",
    ),
    "TD0303": Entry(
        "'{buffer}' would be written by threads that do not hold the element, or not by all that do\n{pictures}",
        "let the statement read and write fragments of the same layout, or go through shared memory",
        "Every copy of an element must be written, and only its owners can write it.",
    ),
    "TD0304": Entry(
        "fragment '{buffer}' is written at [{written}] and accessed at [{other}] in one T.Parallel",
        "use two T.Parallel loops, or two buffers: the iterations run in no order",
        "The iterations of T.Parallel have no order, so an iteration must not use what another one writes.",
    ),
    "TD0305": Entry(
        "no layout was found for fragment '{buffer}': {why}",
        "annotate it with T.annotate_layout, or simplify the indices that the statement uses",
        "Inference tries layouts for each group of statements that share fragments; none satisfied all of them.",
    ),
    "TD0306": Entry(
        "the layout of '{buffer}' is not injective: {why}",
        "give every element (and replica) a place of its own",
        "Two elements in one place would overwrite each other.",
    ),
    "TD0307": Entry(
        "the layout given for '{buffer}' does not fit: {why}",
        "shapes, thread counts and index functions must agree with the buffer and the block",
        "Annotations are taken as they are: they must cover the buffer exactly and fit the threads of the block. A "
        "fragment for a divisor of the block's threads is replicated over the others.",
    ),
    "TD0308": Entry(
        "the layout function of '{buffer}' is not regular: {why}",
        "a layout must be built from digits of the index (//, %, *, +) and, in shared memory, one XOR swizzle",
        "Layouts are recovered by probing the function; only mixed-radix maps can be turned into address arithmetic.",
    ),
    "TD0309": Entry(
        "width {width} does not fit the loop: {why}",
        "choose a width that divides the last extent, at most 16 bytes",
        "An access moves at most 16 bytes, and vectors must not cross the rows of the loop.",
    ),
    "TD0310": Entry(
        "no legal warp partition: a {m} x {n} tile cannot be cut among {warps} warps into multiples of "
        "{atom_m} x {atom_n}",
        "{works} threads would work for this tile",
        "Each warp computes a tile that is a multiple of the instruction's, and all warps compute equal shares.",
    ),
    "TD0311": Entry(
        "multiplying {a} by {b} into {c} needs {feature}, which {target} lacks",
        "compile for a newer target, or convert the operands to float16",
        "Instructions are rows of a table with the feature that they need; `tiledsl isa` lists them.",
    ),
    "TD0312": Entry(
        "no instruction multiplies {a} by {b} into {c}",
        "see `tiledsl isa` for the combinations; accumulate in float32 (int32 for integers)",
        "Tensor cores multiply a few combinations of types; others, of equal operand types and results of at least 32 "
        "bits, are multiplied by ordinary arithmetic.",
    ),
    "TD0313": Entry(
        "the tile is {k} deep, but {atom} works in steps of {step}",
        "choose a depth that is a multiple of {step}",
        "An instruction consumes a fixed number of elements along k.",
    ),
    "TD0314": Entry(
        "operand {operand} of T.gemm, '{buffer}', is {why}",
        "a and b must be shared tiles or whole fragments, c a whole fragment",
        "A tensor core reads a and b from shared memory or registers and keeps c in registers.",
    ),
    "TD0315": Entry(
        "T.gemm needs whole warps, but the block has {threads} threads",
        "choose a multiple of 32 threads",
        "mma instructions are executed by all 32 threads of a warp together.",
    ),
    "TD0316": Entry(
        "no legal thread partition: a {m} x {n} tile cannot be cut evenly among {threads} threads",
        "choose tile and thread numbers of which one divides the other",
        "Without tensor cores each thread computes an equal share of the tile.",
    ),
    "TD0317": Entry(
        "the reduction over dimension {dim} of '{buffer}' cannot follow its layout: {why}",
        "let the reduced fragment be written by a loop without a fixed layout, or copy it first",
        "A reduction needs to know which threads hold parts of a row. A layout whose digits cross rows does not say.",
    ),
    "TD0318": Entry(
        "the iterations of T.Parallel depend on each other: iteration {writer} writes '{buffer}[{element}]', "
        "and iteration {reader} reads it",
        "reduce with T.reduce_*, make the loop over that dimension serial, or write to another tile",
        "T.Parallel deals its iterations to threads, which run them in any order and at the same time. What one of them "
        "writes, no other may read in the same loop: `r[i] = r[i] + x[i, j]` in a loop over i and j is no sum.",
    ),
    "TD0319": Entry(
        "no asynchronous instruction makes this product: {why}",
        "choose tiles that it takes, or T.gemm, which then uses another instruction",
        "An asynchronous product is one of a warpgroup of 128 threads on sm_90a: 64 rows each, b in shared memory.",
    ),
    "TD0320": Entry(
        "the copy engine cannot move the tile '{buffer}': {why}",
        "let the compiler choose the layout, or copy with T.copy",
        "The copy engine moves boxes whose rows are whole, row-major or with a swizzle of 32, 64 or 128 bytes.",
    ),
    "TD0330": Entry(
        "'{name}' has a value in one point of a T.Parallel loop alone, and is read in another point or after the loop",
        "give it a value in each point before it is read; for sums use T.reduce_* or T.alloc_reducer, or a serial loop",
        "A variable of T.alloc_var or T.alloc_local is private to a thread, and layouts decide which points a thread is "
        "dealt. What it holds after a point would be that of another point of the same thread.",
    ),
    "TD0340": Entry(
        "the old value of an atomic update of '{buffer}' is used where several threads execute the same point of the loop",
        "store the old value to shared or global memory, or update outside of loops over replicated fragments",
        "A loop that stores to a replicated fragment runs in every thread that holds a replica, while an atomic update "
        "must happen once for each point. Its old value is then known to one of those threads only.",
    ),
    "TD0341": Entry(
        "a part of the fragment '{buffer}' is reduced or scanned",
        "work on the whole fragment, or copy the part into a buffer of its own first",
        "The elements of a fragment are spread over the registers of all threads; operations between threads take all of "
        "it.",
    ),
    "TD0342": Entry(
        "'{buffer}' cannot be reduced along dimension {dim}: its elements are dealt to the threads across rows",
        "give the fragment a layout in which a thread's run of elements divides the rows",
        "A reduction combines the threads that share a row. With a layout whose runs cross the ends of rows there is no "
        "regular group of such threads.",
    ),
    "TD0343": Entry(
        "{atom} reads rows of 16 bytes of '{buffer}', which its layout does not keep together and aligned",
        "annotate a layout that moves whole runs of 16 bytes, such as T.make_swizzled_layout, and begin rows at their multiples",
        "A lane gives the address of a row of a matrix, which the instruction reads as one aligned piece of memory.",
    ),
    # ---- TD04: pipelines
    "TD0401": Entry(
        "{what}= has {got} entries, but the pipelined loop has {want} statements to schedule",
        "give one entry per statement; scalar assignments and allocations are not counted",
        "stage= and order= of T.Pipelined name a pipeline stage and a place in the order for each statement of the "
        "body: copies, fills, gemms, parallel loops, and so on. An if that is only a part of the body is one statement.",
    ),
    "TD0402": Entry(
        "{what}= is no schedule: {why}",
        "stages start from 0, and every statement has its own place in the order",
        "Entries of -1 asked older compilers for warp specialisation; leave stage= and order= out for an automatic "
        "schedule.",
    ),
    "TD0403": Entry(
        "the schedule breaks a dependence: statement {first} must run before statement {second} ({kind} of '{buffer}')",
        "give statement {second} a later stage, or the same stage and a later place in the order",
        "A statement of stage s runs iteration k together with stage 0 of iteration k + s. What one statement writes "
        "and another reads must keep its order.",
    ),
    "TD0404": Entry(
        "the schedule moves statement {first} and statement {second} past a barrier",
        "leave synchronisation inside pipelined loops to the compiler, or give all statements one stage",
        "A barrier or asynchronous wait written by hand is ordered with every statement of the loop.",
    ),
    "TD0405": Entry(
        "the schedule needs {needed} copies of '{buffer}', because statement {second} writes it for the next iteration "
        "before statement {first} is done, but {why}",
        "give statements {first} and {second} the same stage, with statement {second} earlier in the order only if it is "
        "earlier in the body",
        "Only shared tiles that each iteration writes completely before it reads them are kept in several versions; "
        "registers, global tensors and values carried from one iteration to the next exist once.",
    ),
    "TD0406": Entry(
        "statement {second} reads what statement {first} copies before the group of the copy is committed",
        "end the group before its first reader, or leave group= out",
        "A group of asynchronous copies is committed after its last member in the order, and can be waited for only then.",
    ),
    "TD0407": Entry(
        "the producer of T.annotate_ws_schedule cannot copy '{tile}': {why}",
        "leave '{tile}' out of the schedule: those who compute then copy it",
        "A producer is a warpgroup of its own. It makes copies from global to shared memory whose place does not depend "
        "on what the others compute, and whose tile is filled at one place and read later in the same block.",
    ),
    "TD0408": Entry(
        "'{first}' and '{second}' cannot share the barriers of a T.WSPipeline: {why}",
        "give each of them a T.WSPipeline of its own",
        "The tiles of a T.WSPipeline arrive together and are given back together: they are copied one after the other, "
        "and the same statements read them.",
    ),
    "TD0409": Entry(
        "T.annotate_ws_schedule cannot be kept: {why}",
        "leave the schedule out, or change what is in its way",
        "The launch has one producer beside the threads that compute, and both execute the same loops.",
    ),
    "TD0410": Entry(
        "the tiles of T.annotate_ws_schedule ({tiles}) take {needed} bytes of shared memory, {name} allows {limit} per block",
        "choose a smaller depth, or smaller tiles",
        "A T.WSPipeline has `depth` versions of each of its tiles, all of them at the same time.",
    ),
    "TD0411": Entry(
        "128 threads with {producer} registers and {threads} with {consumer} need {needed}, the block has {dealt}",
        "lower one of the two: what the producer gives away is all that the others can get",
        "A block gets its registers at launch, equally many for each thread (rounded down to a multiple of 8). The roles "
        "deal them anew; a role that asks for more than is left waits for ever. 0 keeps those of the launch.",
    ),
    "TD0412": Entry(
        "the schedule of T.annotate_ws_schedule is not legal: {why}",
        "docs/language.md says what a schedule of roles has to keep: T.WSSchedule, T.WSScope, T.WSSync",
        "Each operation belongs to one role. Roles exchange data through pipelines, which one role fills and others "
        "empty, between the words that open and close them, once in each turn of one scope.",
    ),
    # ---- TD05: memory
    "TD0501": Entry(
        "the kernel needs {needed} bytes of shared memory, {name} allows {limit} per block:\n{table}",
        "{advice}",
        "All shared tiles of a block lie in one arena; tiles whose lifetimes do not overlap share bytes. Pipelined tiles "
        "exist once per version.",
    ),
    "TD0502": Entry(
        "threads of the block exchange data through shared memory '{buffer}' inside a branch that not all of them take",
        "move the exchange out of the branch, or make its condition the same for the whole block",
        "Between a write of one thread and an access of another a barrier of the whole block is needed, and a barrier must be "
        "reached by all threads. A condition on thread indices or on values in registers does not guarantee that.",
    ),
    "TD0503": Entry(
        "{what} has the dtype {dtype}, whose elements have no address of their own",
        "tensors and tiles may have it; a single value is an int8 (of int4), uint8 (of uint4) or float16 (of float4_e2m1fn)",
        "No memory access reaches half a byte. Tensors of 4-bit numbers are bytes in the IR, with two numbers in each.",
    ),
    "TD0504": Entry(
        "the index {value} does not fit in 64 bits",
        "use smaller numbers in indices and offsets",
        "Indices are computed without overflow: in 32 bits where they provably fit, in 64 otherwise.",
    ),
    "TD0505": Entry(
        "{what} has {count} points, a block works on {limit} at most",
        "give each block a smaller tile, and launch more blocks",
        "Threads and registers are dealt to the points of a tile one by one when the kernel is compiled.",
    ),
    "TD0506": Entry(
        "fragment '{name}' is used by {first}, and by {second}",
        "give each role a fragment of its own, and pass values through shared memory",
        "A fragment is spread over the registers of the threads that work with it. The roles of T.ws blocks are different "
        "threads; a role keeps its fragments where its blocks follow each other, also in a loop, without other work "
        "between them.",
    ),
    "TD0507": Entry(
        "{what} does not exist on {target}",
        "compile for sm_90a, or leave copies and products to T.copy, T.gemm and T.Pipelined",
        "Barriers that count bytes, the copy engine and moving registers came with Hopper, compute capability 9.0. "
        "T.Pipelined overlaps copies with products on every target, by what it has.",
    ),
    "TD0508": Entry(
        "'{name}' is {how} before T.pdl_sync, and {earlier} by an earlier launch, which may still run",
        "move it below T.pdl_sync; above it only what no earlier launch writes may be read",
        "A launch with T.pdl_sync begins before the launches before it are over. Only after the wait what they wrote is there.",
    ),
    "TD0509": Entry(
        "the loop over '{name}' is a pipeline of {stages} stages; {limit} are the most",
        "two to four stages hide the time of copies; more than there are iterations are never of use",
        "Each stage has its tiles in shared memory, and a block has no room for so many. The planner simulates the stages "
        "one by one.",
    ),
    "TD0510": Entry(
        "{name} asks for {size} bytes of shared memory; {target} has {limit} a block",
        "ask for fewer shared_bytes",
    ),
    "TD0520": Entry(
        "each version of '{name}' has {bytes} bytes, but its {swizzle}-byte swizzle repeats after {period}",
        "make the tile a multiple of {period} bytes, or annotate a layout with a smaller swizzle",
        "The copy engine and the tensor core permute the bytes of a tile by bits of their address, so each version of a tile "
        "must begin where the pattern does: at a multiple of 1024, 512 or 256 bytes.",
    ),
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
        "pass a dense torch tensor, a NumPy array, or anything with __cuda_array_interface__ or __dlpack__",
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
        "leave the backend out, and pass tensors of the CPU, to run on the CPU",
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
    "TD0623": Entry(
        "@tiledsl.kernel makes a kernel of a Python function, but a {given} was given",
        "write it directly above `def`",
        "The decorator reads the source of the function, so it takes no classes, methods or built-in functions.",
    ),
    "TD0624": Entry(
        "{what} of @tiledsl.kernel must be {expected}, not {given}",
        'for example out_idx=-1 or options={{"software-pipeline": {{"fuse_barrier": False}}}}',
    ),
    "TD0625": Entry(
        "a {given} is no stream",
        "pass a stream of torch, CuPy or cuda-python, or its handle as an integer",
    ),
    "TD0626": Entry(
        "'{name}' is read-only, but '{kernel}' writes it",
        "pass a copy: {name}.copy()",
        "The kernel stores to this tensor, and its owner marks the memory as not to be written.",
    ),
    "TD0627": Entry(
        "a kernel's parameter cannot be called '{name}'",
        "choose another name",
        "Calls of a kernel take stream= and backend=, compile() takes tensors= and target=, for themselves; a method "
        "with 'self' is not a kernel.",
    ),
    "TD0628": Entry(
        "'{kernel}' has no compile-time parameter '{name}'",
        "it has: {known}",
        "compile() and trace() take compile-time parameters by name, and in constant style the sizes of T.const.",
    ),
    "TD0629": Entry("'{name}' is on {device}", "move it to the CPU or to an NVIDIA GPU"),
    "TD0630": Entry(
        "the edited text has no kernel '{name}'; it has: {known}",
        "keep 'TDS_KERNEL(...) {name}(...)' and 'TDS_EXPORT({name})', each at the start of a line",
        "with_source runs edited CUDA text in the place of the emitted one, which the call launches by the names of its kernels.",
    ),
    "TD0631": Entry(
        "'{name}' of the edited text has {given}, but is launched with {expected}",
        "change the body only; parameters and block size belong to the call",
        "with_source keeps the call as it was: its arguments and the size of its blocks. min_blocks, the second bound, may "
        "be changed.",
    ),
    "TD0632": Entry(
        "the device functions above the kernels were edited, or belong to another kernel",
        "leave what stands above the first kernel as it was, or pass the kernels alone; helpers may stand between them",
        "For NVRTC the text begins with the device functions that it uses. On the CPU others take their place, so an edit "
        "there would be lost.",
    ),
    "TD0633": Entry(
        "backend '{name}' executes the IR, not edited CUDA text",
        "choose backend 'cpu' (needs a C++ compiler) or 'cuda'",
        "with_source replaces the emitted text only; the NumPy executions run what it was emitted from.",
    ),
    "TD0634": Entry("{what} must be {expected}, not {given}"),
    "TD0635": Entry("'{kernel}' has no size or scalar '{name}'", "it has {known}"),
    "TD0636": Entry(
        "'{name}' points to {have} elements, as far as its tensor reaches; {shape} with strides {strides} needs {need}",
        "pass a tensor with as much memory",
        "Of what is passed for a T.ptr the memory from its first element to its last counts, whatever its shape.",
    ),
    "TD0640": Entry(
        "'{name}' returns what T.empty made, and out_idx={given} names further results",
        "leave out_idx away: what the function returns is what the call returns",
        "Of a kernel's results the caller must know one order.",
    ),
    "TD0641": Entry(
        "{what} is {given}, for which there is nothing in tiledsl",
        "known are: {known}",
    ),
    "TD0642": Entry(
        "'{name}' returned a {given}: @tilelang.jit takes a function that returns a T.prim_func, or one with T.Kernel in it",
        "end the function with `return main`, where main is decorated with @T.prim_func",
        "A function without T.Kernel of its own makes kernels: it is called with their sizes, and gives one of them.",
    ),
    "TD0643": Entry(
        "'{name}' has a size that is known only in a call: ({shape})",
        "pass input_tensors=[...]",
        "A profiler makes inputs of the shapes in the signature, which are not numbers here.",
    ),
    "TD0644": Entry(
        "the reference gives {given} results, the kernel {wanted}",
        "return one for each result in their order; for a kernel without out_idx one for each tensor that it writes, or nothing "
        "after writing its arguments",
    ),
    "TD0650": Entry(
        "tensor '{name}' of {dtype} cannot be moved by the copy engine",
        "the element types are {known}",
        "Tensor maps know the element types of the CUDA driver's CUtensorMapDataType.",
    ),
    "TD0651": Entry(
        "tensor map of '{name}': {what}{dimension} is {value}; it must be {rule}",
        "choose another tile, or pass a tensor with padded rows",
        "The copy engine of sm_90 takes only tensors and boxes that the CUDA driver's cuTensorMapEncodeTiled accepts. "
        "Dimensions are counted from 0, outermost first.",
    ),
    "TD0652": Entry(
        "tensor map of '{name}': a row of the box has {inner} bytes, the swizzle {swizzle}",
        "let rows of the box have as many bytes as the swizzle, or choose a narrower swizzle",
        "With a swizzle of 32, 64 or 128 bytes the innermost dimension of a box holds exactly that many bytes.",
    ),
    "TD0653": Entry(
        "tensor '{name}' begins at address {address}, which is no multiple of 16",
        "pass an array that begins at a multiple of 16 bytes: views of parts of arrays often do not",
        "The copy engine of sm_90 needs tensors that are aligned to 16 bytes.",
    ),
    "TD0654": Entry(
        "'{entry}' cannot be launched: grid {axis} has {extent} blocks, its clusters {blocks} along that axis",
        "choose a grid that is a multiple of the cluster, and let blocks without work return",
        "The blocks of a cluster run together, so the hardware takes only grids that consist of whole clusters.",
    ),
    "TD0670": Entry(
        "configs of @tiledsl.autotune are no configurations: {given}",
        'give a list of dicts, [{{"block": 64}}, {{"block": 128}}], or lists by name, {{"block": [64, 128]}}, or a function of these',
        "A configuration names values of compile-time parameters. A dict of lists stands for all combinations.",
    ),
    "TD0671": Entry(
        "a configuration names '{name}', which is no parameter that can be tuned",
        "choose from {known}",
        "Of a kernel its compile-time parameters can be tuned, of a function that makes kernels all of its parameters.",
    ),
    "TD0672": Entry(
        "{what} needs {needed} {resource}, {target} has {limit}",
        "leave the configuration out, or give each block a smaller tile or more threads",
        "Configurations that cannot fit a block of the target are left out before anything is compiled. The registers of a "
        "thread are those that are left when all threads of a block have as many.",
    ),
    "TD0673": Entry(
        "{what} cannot be kept as JSON, or read from it: {problem}",
        "let configurations consist of numbers, strings, booleans and lists of these",
        "Results of a search are kept in the cache and exported as JSON.",
    ),
    "TD0674": Entry(
        "none of the {count} configurations of '{kernel}' can be taken:\n{reasons}",
        "a configuration must fit the target, give what the reference gives, and end in time",
        "A search measures only what was verified. The reasons are listed with how often each occurred.",
    ),
    "TD0675": Entry(
        "a progress bar needs the package rich or tqdm",
        "pip install 'tiledsl[tune]', or leave progress= out",
        "Without progress=True a bar is shown on a terminal where one of these is installed.",
    ),
    "TD0676": Entry(
        "there is no reference for '{kernel}': its tiles could not be executed in NumPy: {problem}",
        "give @tiledsl.autotune a ref=, or a longer timeout=",
        "Every configuration is verified before it is measured. Without ref= against what the tile stage means in NumPy.",
    ),
    "TD0677": Entry(
        "'{name}' tunes a kernel or a function that makes one, but got a {given}",
        "write @tiledsl.autotune above @tiledsl.kernel, or above a function that returns a kernel",
    ),
    "TD0678": Entry(
        "'{name}' is not tuned yet, and a CUDA graph is being captured",
        "call it once before the capture, or {name}.tune(...)",
        "A search compiles, runs and synchronises, which cannot be part of a graph.",
    ),
    # ---- TD07: IR text and command line
    "TD0701": Entry(
        "{found} cannot stand here",
        "expected {expected}",
        "The text of the IR does not follow its grammar. docs/ir.md shows the form of every statement.",
    ),
    "TD0702": Entry(
        "no {what} named '{name}' is bound here",
        "bind it before its use, in this block or an outer one",
        "In the text of the IR a name is bound by a parameter, a size, let, alloc, view, a loop or a launch, and holds "
        "to the end of the enclosing block.",
    ),
    "TD0703": Entry(
        "'{name}' is bound here already",
        "choose another name",
        "Within its scope a name of the IR's text stands for one variable or buffer.",
    ),
    "TD0704": Entry("unknown {what} '{word}'", "choose one of {known}"),
    "TD0705": Entry("{what} needs the option '{name}'", "write {what}({name}=...)"),
    "TD0706": Entry(
        "'{name}' names several buffers",
        "give the buffers different names",
        "The tables at the head of a launch name buffers of any block of its body; there the name is not unique.",
    ),
    "TD0707": Entry("{name} takes {arity} arguments, not {count}"),
    "TD0708": Entry("'{value}' is no {dtype}", "write its dtype, as in float32(0.5)"),
    "TD0709": Entry(
        "'{kernel}' is neither at the tile stage nor wholly lowered: {problem}",
        "run the remaining passes with `tiledsl opt FILE.tir -p ...`, or start from the tile stage",
        "Text from the middle of the pipeline runs in the interpreters (`tiledsl run`), but it may lack barriers or "
        "machine integers, so it is not compiled.",
    ),
    "TD0710": Entry("cannot read '{path}': {problem}"),
    "TD0711": Entry("'{item}' is no NAME=VALUE", "write for example M=1024 or dtype=float16"),
    "TD0712": Entry("'{path}' has no kernel '{name}'", "it has {known}"),
    "TD0713": Entry("which kernel of '{path}'?", "write {path}:NAME; kernels: {known}; functions: {functions}"),
    "TD0714": Entry("running '{path}' raised {kind}: {problem}"),
    "TD0719": Entry("'{name}' makes a kernel, but cannot be called: {problem}", "pass its parameters: -a NAME=VALUE"),
    "TD0715": Entry("cannot write '{path}': {problem}"),
    "TD0716": Entry("there is no error '{name}'", "similar ones: {known}; `tiledsl explain` lists all"),
    "TD0717": Entry("there is no instruction '{name}'", "choose one of {known}"),
    "TD0718": Entry(
        "{what}: expected {expected}, got {got}",
        "name sizes with --size NAME=VALUE, and give arrays in an .npz file under the parameters' names",
    ),
    "TD0720": Entry(
        "the kernel is not well-formed: {problem}",
        explanation="IR text must keep the rules that the passes keep: everything bound once and before its use, "
        "accesses of the right rank and version, equal dtypes, operands in the memories and shapes that it takes.",
    ),
    "TD0721": Entry("the option '{name}' of {what} is {type}, not {value!r}"),
    "TD0722": Entry(
        "'{path}' is the IR after '{name}'",
        "continue with the next pass: --from {next}",
        "--from names the first pass that runs. A dump NN-PASS.tir is what PASS made, so the pipeline goes on after it.",
    ),
    "TD0723": Entry("--until {until} comes before --from {start}", "the order of the passes is in docs/passes.md"),
    "TD0724": Entry(
        "'{path}' has no kernel and no case '{name}'",
        "kernels: {known}; cases: {cases}",
        "A file may have a function cases() that gives tiledsl.testing.Case objects; `tiledsl check` takes their names, and "
        "patterns such as 'gemm-*'.",
    ),
    "TD0725": Entry("'{pattern}' names {count} files", "name one: {files}"),
    "TD0734": Entry(
        "there is no block ({block}) in the launch of '{kernel}'",
        "give the numbers of a block as --block x,y,z, each from 0",
    ),
    "TD0735": Entry("'{kernel}' has no launch '{name}'", "choose one of {known}"),
    "TD0736": Entry("'{text}' is no block", "write its numbers with commas: --block 0,1 or --block 0,0,2"),
    "TD0730": Entry(
        "'{name}' changes what the kernel '{kernel}' computes: {problem}",
        "a bug in tiledsl, not in the kernel: please report it with {bundle}; `tiledsl repro {bundle}` shows it again",
        "With TILEDSL_VALIDATE=1 or validate=True the kernel runs before and after every pass, and as emitted C++, on "
        "inputs for which its sums are exact. All must agree bit for bit, but for the rounding of sums where tiles "
        "are dealt to threads. The directory holds both programs, the inputs, and a README.md with the commands.",
    ),
    "TD0731": Entry(
        "'{kernel}' cannot be validated: on inputs made for it, its first stage reports: {problem}",
        "say with T.assume what the kernel expects of its sizes and indices; if it holds, correct what is reported",
        "Validation makes inputs from the IR: small integers, sizes of a few tiles, indices inside of their dimensions. "
        "The kernel must run on them in the tile interpreter.",
    ),
    "TD0732": Entry(
        "the program is not interesting to begin with: {problem}",
        "the command must fail for it; with --passes it must exit with 0",
        "`tiledsl reduce` keeps a smaller program only if the command exits with what it exits with for the first one.",
    ),
    "TD0733": Entry("'{path}' holds no dumps of consecutive passes", "write them with TILEDSL_DUMP=all"),
    "TD0760": Entry(
        "'{source}' is no pipeline: cannot read '{rest}'",
        "write pass names separated by commas, options in braces: expand-lets,software-pipeline{{stages=3}}",
    ),
    "TD0761": Entry("there is no pass '{name}'", "the passes are {known}"),
    "TD0762": Entry("the pass '{name}' has no option '{option}'", "its options: {known}"),
    "TD0763": Entry(
        "the option '{option}' of pass '{name}' is {kind}, not '{value}'",
        "docs/passes.md lists the options of every pass",
    ),
    "TD0764": Entry(
        "TILEDSL_DUMP names '{name}', which is no pass",
        "write all, or names with commas: {known}",
    ),
    # ---- TD08: execution on the CPU
    "TD0801": Entry(
        "argument '{name}': expected {expected}, got {got}",
        "pass NumPy arrays of the parameter's element type, in the shape that the kernel declares",
        "The NumPy executions bind dynamic sizes from the shapes of the arrays and work on them in place.",
    ),
    "TD0802": Entry(
        "'{buffer}' is accessed out of bounds: {what} is {index}, the extent is {extent} ({where})",
        "check the index, or guard the access",
        "Global accesses of tile programs are guarded by the compiler; an index into shared memory or registers, and "
        "any index after lowering, must lie inside the buffer.",
    ),
    "TD0803": Entry(
        "'{buffer}{place}' is read before anything was written there ({where})",
        "fill or copy into '{buffer}' first; T.clear sets a tile to zero",
        "Shared memory, fragments and registers hold arbitrary bits until they are written. On a GPU such a read often "
        "seems to work, as old contents happen to be zero.",
    ),
    "TD0804": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} and {other} by thread {other_thread}, {block}, with no "
        "barrier in between",
        "put a barrier between the two",
        "Two threads touch the same bytes of shared memory, at least one of them writes, and no barrier orders them: "
        "the GPU may run them in either order.",
    ),
    "TD0805": Entry(
        "'{buffer}{place}' is accessed while an asynchronous copy into it is in flight ({where})",
        "wait for the copy's group, or for the phase of its mbarrier, before the access; a barrier must follow the wait for "
        "a group if another thread issued it",
        "Until the wait that covers its group, the destination of an asynchronous copy holds old bytes, new bytes or "
        "a mix.",
    ),
    "TD0806": Entry(
        "'{buffer}' is accessed {bytes} bytes at a time at byte {offset}, which is no multiple of {bytes} ({where})",
        "align the index, or use a narrower access",
        "A vector access must be aligned to its own size; on a GPU a misaligned one stops the kernel.",
    ),
    "TD0807": Entry(
        "a barrier is reached by {active} of {threads} threads ({where})",
        "move the barrier out of the branch or loop that only some threads take",
        "All threads of the block must reach the same barrier, else the kernel hangs or memory is not ordered.",
    ),
    "TD0808": Entry(
        "the kernel ends while asynchronous copies into '{buffer}' are in flight ({where})",
        "commit and wait for every group before the end",
        "The shared memory of a finished block belongs to the next one, which a late copy would overwrite.",
    ),
    "TD0809": Entry(
        "assertion failed: {message} ({where})",
        explanation="The condition of an assert statement or a T.device_assert is false for this thread.",
    ),
    "TD0810": Entry(
        "an assumption does not hold ({where})",
        "drop the T.assume or correct its condition: the compiler relies on it",
        "T.assume is a promise; where it is broken the compiled kernel computes anything.",
    ),
    "TD0811": Entry(
        "{what} is executed by some threads of a warp only ({where})",
        "let all 32 threads of the warp reach it; choose its operands by the condition instead",
        "Shuffles, votes and tensor-core instructions exchange registers between all threads of a warp.",
    ),
    "TD0812": Entry(
        "{what} depends on the thread, but the tile statement is executed by the whole block",
        "use it in scalar code only, or make the value the same for all threads",
        "Tile statements (copy, gemm, parallel loops ...) are executed by all threads of the block together.",
    ),
    "TD0813": Entry(
        "{what} store different values to the same element of '{buffer}' ({where})",
        "make the index distinct for every point, or use an atomic operation",
        "The iterations of a parallel loop, and the threads of a block, run in no order: who writes last is not "
        "determined.",
    ),
    "TD0814": Entry(
        "blocks {block} and {other} access '{buffer}{place}' and at least one of them writes",
        "use atomic operations, or split the work into two launches",
        "The blocks of a launch run in no order and there is no barrier between them.",
    ),
    "TD0815": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} goes through the async proxy, which may not yet see "
        "{other} by thread {other_thread}, {block}",
        "put fence.proxy.async between the write and the barrier before the asynchronous access",
        "The copy engine and the tensor cores of sm_90 reach shared memory by a way of their own. What threads wrote "
        "becomes visible there by a proxy fence; a barrier alone orders the threads only.",
    ),
    "TD0816": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} and {other} of thread {other_thread}, {block}, with no wait "
        "for the phase of the mbarrier that the copy completes",
        "wait on the copy's mbarrier with the parity of that phase, and let it expect all bytes of the copy",
        "A bulk load has arrived when the phase of its mbarrier has completed, for those who waited for that phase.",
    ),
    "TD0817": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} and {other} of thread {other_thread}, {block}, which has not "
        "been waited for",
        "wait for the bulk group (cp.async.bulk.wait_group, .read for the source) before the memory is used again",
        "A bulk store reads shared memory and writes global memory at any time until its group has been waited for.",
    ),
    "TD0818": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} and {other} issued by thread {other_thread}, {block}, with no "
        "wgmma.wait_group in between",
        "wait for the group of the wgmma before its operands are overwritten",
        "wgmma reads its operands from shared memory at any time until the group that it was committed to is waited for.",
    ),
    "TD0819": Entry(
        "race on '{buffer}{place}': {access} by thread {thread} and {other} issued by thread {other_thread}, {block}, which "
        "may not be over",
        "let the block that gets the tile say that it has waited for it, by T.barrier_arrive(..., cluster_mask=) or "
        "T.cluster_sync(), and wait for that before the tile is written again",
        "A copy to the shared memory of another block reads its source at any time until the bytes are there. Only the "
        "mbarrier of the other block tells, and those who have waited for it.",
    ),
    "TD0820": Entry(
        "{name} cannot run in NumPy",
        "tell T.import_source(text, references={{...}}) what the function computes, in Python, or "
        "T.CUDASourceCodeKernel(..., reference=...) what the kernel does, or run on the CPU device (backend 'cpu', needs "
        "a C++ compiler) or on a GPU",
        "A function of the user's own CUDA source has a meaning in the NumPy executions only by a Python reference.",
    ),
    "TD0821": Entry(
        "the reference of {name} returns {value} where one {dtype} is expected",
        "return a number: the reference is called for one thread at a time",
        "A reference of T.import_source does what the CUDA function does, for one thread; pointers are NumPy arrays that "
        "it may change.",
    ),
    "TD0822": Entry(
        "{name} is CUDA text, which cannot run on the CPU device",
        "tell T.CUDASourceCodeKernel(..., reference=...) in Python what the kernel does, or write it with the device API: "
        "TDS_KERNEL(128) {name}(...) {{ ... }} and TDS_EXPORT({name})",
        "The CPU device runs what is written with the functions of namespace tds, as the emitted text is; other CUDA text "
        "is compiled for GPUs alone.",
    ),
    "TD0823": Entry(
        "the reference of {name} returns {value}, which nothing would see",
        "change the arrays that it is given, and return nothing",
        "The reference of a kernel stands for a whole launch: it gets the tensors as NumPy arrays and writes into them.",
    ),
    "TD0830": Entry(
        "the block cannot go on: {threads} ({where})",
        "let all threads reach the same barriers, shuffles and tensor-core operations",
        "Every thread that has not ended waits for others that never arrive. On a GPU the kernel would hang.",
    ),
    "TD0831": Entry(
        "threads meet at different barriers: {first} and {second} ({where})",
        "move the barrier out of the branch, or give the two barriers different numbers",
        "A barrier counts arrivals, so a GPU lets threads pass that wait in different places; what they then read is not "
        "what was meant.",
    ),
    "TD0832": Entry(
        "a shuffle gives lane {lane} the value of lane {source}, which does not exist ({where})",
        "use a number of threads that is a multiple of 32",
        "The last warp of the block is not full, and a shuffle reads from one of its missing lanes.",
    ),
    "TD0833": Entry(
        "the blocks of this launch wait for each other and have {threads} threads; the CPU device runs up to {limit} "
        "together",
        "check the kernel on a smaller problem",
        "A kernel whose blocks exchange values through fences and atomic flags needs all of its blocks at the same time. "
        "Each thread has a stack of its own, of which a process can only have so many.",
    ),
    "TD0834": Entry(
        "lane {lane} has {found} for a value that its warp has in common, lane 0 has {first} ({where})",
        "pass what depends on the number of the warp alone, as 'thread // 32'",
        "The compiler was told that a value is the same in all lanes of a warp, and keeps one for all. It is not.",
    ),
    "TD0835": Entry(
        "threads arrive twice in one phase of barrier {barrier} ({where})",
        "let those that arrive without waiting be answered by as many that wait, turn by turn",
        "A named barrier counts arrivals, not threads: one that arrives twice stands for another, which has not come.",
    ),
    "TD0836": Entry(
        "the block ends in the middle of a phase of barrier {barrier}: {arrived} of {count} threads have arrived",
        "let as many threads wait at a named barrier, or arrive there, as its count says, in every phase",
        "Threads have arrived and gone on, and nobody waits for them any more: a wait is missing, or a count is wrong.",
    ),
    # What sm_90a has: 840-848 and 858-859 mbarriers, 849-852 and 860-862 wgmma, 853-854 and 863 bulk copies,
    # 855 registers, 856-857 clusters.
    "TD0840": Entry(
        "{what} at {barrier}, which is no initialised mbarrier ({where})",
        "initialise it with mbarrier_init, and let a barrier of the block follow",
        "An mbarrier is 8 bytes of shared memory that one thread initialises before anybody uses it.",
    ),
    "TD0841": Entry(
        "mbarrier {barrier} gets {arrivals} arrivals, but its phase waits for {pending} of {count} only ({where})",
        "initialise it with as many arrivals as each phase has, and wait for a phase before arriving in the next",
        "Too many arrivals in one phase: the count at the initialisation is too small, somebody arrives twice, or runs ahead.",
    ),
    "TD0842": Entry(
        "mbarrier {barrier} expects {bytes} bytes: its counter holds up to 1048575 ({where})",
        "expect in each phase what the copies of that phase bring",
        "The transaction count of an mbarrier is limited to 2**20 - 1 bytes in either direction.",
    ),
    "TD0843": Entry(
        "the kernel ends while the mbarrier {barrier} is in use: {state}",
        "let expected bytes and arrivals equal what comes in every phase",
        "A phase that has begun and does not end: bytes that were expected and never came, or arrivals that were too few.",
    ),
    "TD0844": Entry(
        "the mbarrier {barrier} is initialised or invalidated while it is in use: {state} ({where})",
        "initialise each barrier once; call mbarrier_inval before its bytes are used for something else",
        "The state of an mbarrier lies in its 8 bytes. To initialise them again while it is valid is undefined.",
    ),
    "TD0845": Entry(
        "the mbarrier {barrier} is used, but {problem} ({where})",
        "let a barrier of the block, or of the cluster, follow the initialisation",
        "A thread may use an mbarrier only after its initialisation, which another thread does, has become visible.",
    ),
    "TD0846": Entry(
        "a bulk copy completes on the mbarrier {barrier}, whose initialisation the copy engine may not see ({where})",
        "call fence_mbarrier_init after mbarrier_init, in the same thread",
        "The copy engine reaches shared memory through the async proxy, which sees initialisations after a fence only.",
    ),
    "TD0847": Entry(
        "mbarrier {barrier} is one more than 64 in this block ({where})",
        "use fewer barriers",
        "The CPU device follows up to 64 mbarriers a block.",
    ),
    "TD0848": Entry(
        "mbarrier {barrier} is initialised with {count} arrivals ({where})", "count from 1 to 1048575 arrivals"
    ),
    "TD0849": Entry(
        "the threads of a warpgroup call different wgmma ({where})",
        "let all 128 threads call it with the same descriptors, shape and accumulators",
        "wgmma is one instruction of four warps: all threads give the same operands.",
    ),
    "TD0850": Entry(
        "registers are used while wgmma adds to them ({where})",
        "wait for the group with wgmma_wait first",
        "From wgmma to the wait that covers it its accumulators belong to the tensor core.",
    ),
    "TD0851": Entry(
        "registers of operand A were changed while wgmma read them ({where})",
        "wait for the group with wgmma_wait before writing to them",
        "wgmma reads its operands at any time until the wait that covers it.",
    ),
    "TD0852": Entry(
        "the kernel ends while wgmma is in flight ({where})",
        "commit and wait for every group before the sums are used",
        "wgmma that no wgmma_wait covers, for example as its group was not committed, may not have been executed.",
    ),
    "TD0853": Entry(
        "the kernel ends while bulk stores read shared memory at {barrier} ({where})",
        "commit them and call bulk_wait_read<0> before the end",
        "The shared memory of a finished block belongs to the next one.",
    ),
    "TD0854": Entry(
        "a copy by tensor map has {given} coordinates, but the map needs {expected} (rank {rank}; {where})",
        "give one coordinate for each dimension, for im2col also the offsets in the filter; im2col cannot be stored",
        "The instruction names the rank that the tensor map has.",
    ),
    "TD0855": Entry(
        "setmaxnreg: {problem} ({where})",
        "let warps with little work give up registers first; the sum must fit the block's share of 65536",
        "setmaxnreg moves registers between the warps of a block. All warps of a warpgroup call it alike; values are "
        "multiples of 8 from 24 to 256.",
    ),
    "TD0856": Entry(
        "cluster barrier: {problem} ({where})",
        "call cluster_arrive and cluster_wait in turn, or cluster_sync",
        "Every thread of the cluster arrives once for each phase and then waits for it.",
    ),
    "TD0857": Entry(
        "shared memory of another block: {problem} ({where})",
        "let a cluster_sync be the last thing that blocks do whose memory others use",
        "Shared memory of a block of the cluster exists from its start to its end.",
    ),
    "TD0858": Entry(
        "a copy brings {bytes} bytes to mbarrier {barrier}, which expects {expected} in this phase ({where})",
        "let the arrival of the phase expect the bytes of all its copies, before the copies are issued",
        "A copy engine always brings whole boxes, what lies outside of the tensor as zeros. Bytes that nobody expected end "
        "a phase early, or the next one never.",
    ),
    "TD0859": Entry(
        "a wait for phase {phase} of mbarrier {barrier} is two phases behind: phase {now} has begun ({where})",
        "let those who fill a buffer wait until it has been released before they begin its next phase",
        "Phases are told apart by their parity. Who is two behind sees the parity of the phase that he waits for, and may "
        "wait for ever.",
    ),
    "TD0860": Entry(
        "wgmma without wgmma_fence since its registers were used ({where})",
        "call wgmma_fence before the first wgmma, and after a wait before the next",
        "wgmma reads and writes registers by itself; the fence orders that after what the threads did with them.",
    ),
    "TD0861": Entry(
        "'{buffer}' is overwritten while {what} reads it ({where})",
        "wait for the group of {what} first; for stores a wait for their sources is enough",
        "Products of the tensor core and stores of the copy engine read their operands at any time until they are waited "
        "for.",
    ),
    "TD0862": Entry(
        "'{buffer}' is used while an asynchronous product adds to it ({where})",
        "commit the product and wait for its group first",
        "From its issue to the wait that covers it the sums of a product belong to the tensor core. Only another product "
        "may add to them.",
    ),
    "TD0863": Entry(
        "the copy engine reads '{buffer}' out of bounds, which gives 0, but its safe value is {value} ({where})",
        "copy without the copy engine, or use another safe value",
        "The copy engine fills what lies outside of a tensor with zeros.",
    ),
    "TD0864": Entry(
        "the metadata of a sparse matrix says that of 4 neighbours numbers {first} and {second} are kept "
        "(row {row} of the tile or instruction, group {group})",
        "the first must be below the second: make metadata with tiledsl.sparse.compress, and where tiles reach over the "
        "end of the matrix give it the safe value 0x4444: T.annotate_safe_value({{E: 0x4444}})",
        "mma.sp is undefined for metadata that names an element twice, or the later one first. What a copy reads outside "
        "of a tensor is 0, which names the first element twice.",
    ),
    "TD0865": Entry(
        "'{buffer}' is overwritten while the copy engine takes it to another block ({where})",
        "let the block that gets the tile say that it has waited for it, by T.barrier_arrive(..., cluster_mask=) or "
        "T.cluster_sync(), and wait for that before the tile is written again",
        "A copy to the shared memory of another block reads its source at any time until the bytes are there. Only the "
        "mbarrier of the other block tells, and those who have waited for it.",
    ),
    "TD0890": Entry(
        "'{name}' depends on the schedule: {difference} (under {schedule} and {other})",
        "look for values that threads or blocks exchange without a barrier, or for atomic updates whose order matters",
        "`tiledsl check` runs a kernel under many legal orders of its threads and its asynchronous copies. A GPU may choose "
        "any of them, so a result that differs is not determined. Tensors with floating-point atomic adds are compared "
        "within a tolerance.",
    ),
    "TD0891": Entry(
        "'{name}' differs between executions: {difference} ({execution} and {other})",
        "`tiledsl bisect` finds the first pass whose output differs",
        "The executions of one kernel on the CPU mean the same. Where they differ by more than the rounding of sums in "
        "another order, the kernel reads something undefined, or the compiler has a bug.",
    ),
    "TD0892": Entry(
        "'{name}' is not what the reference gives: {difference}",
        "the executions agree with each other, so look at what the kernel says: TILEDSL_DUMP=all, `tiledsl run FILE.tir`",
        "The results of the kernel are outside of the tolerance around those of the reference, which a Case or a test "
        "gives. Of the two values the first one is the kernel's.",
    ),
    # ---- TD09: environment
    "TD0910": Entry(
        "the C++ compiler '{command}' cannot be run",
        "set TILEDSL_CXX to the command of a C++17 compiler",
        "The CPU device compiles the emitted C++ with the compiler named by TILEDSL_CXX, or else c++, g++ or clang++.",
    ),
    "TD0911": Entry(
        "no C++ compiler was found",
        "install g++ or clang++, or 'pip install ziglang'; or use the NumPy executions (backend 'simt')",
        "The CPU device compiles the emitted C++ with the host's compiler: TILEDSL_CXX, c++, g++, clang++, or zig's from "
        "PyPI. Without one, kernels run in NumPy.",
    ),
    "TD0912": Entry(
        "{compiler} rejects {what}:\n{log}",
        "this is a bug in tiledsl unless the kernel calls CUDA source of your own, or the compiler is older than C++17",
        "The compiler's log follows; #line directives make it name lines of your Python file.",
    ),
    "TD0913": Entry(
        "the cache directory '{path}' cannot be made: {problem}",
        "set TILEDSL_CACHE_DIR to a directory that can be written",
        "The CPU device keeps its runtime and the libraries of kernels there.",
    ),
    "TD0914": Entry("there is no GPU '{name}' with the target {target}", "choose one of {known}"),
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
    "TD0906": Entry(
        "the page needs the package '{package}'",
        "pip install 'tiledsl[trace]'",
        "`tiledsl trace` and `tiledsl timeline` render their pages with jinja2 and pygments, which nothing else needs.",
    ),
    "TD0905": Entry("nvdisasm was not found", "pip install 'tiledsl[sass]', or put CUDA's nvdisasm on the PATH"),
    "TD0920": Entry(
        "TILEDSL_CACHE_SIZE is '{given}'",
        "give a number of bytes, with k, M, G or T if you like: 500 MB, 2GB, 0 for any size",
        "The entries that were not used for longest are removed when the cache has more than that.",
    ),
    "TD0904": Entry("TILEDSL_LOG is '{level}'", "choose one of {known}"),
    "TD0901": Entry(
        "unknown target '{name}'",
        "choose one of {known}",
        "Targets are named as the CUDA compiler names them, for example sm_80 or sm_90a.",
    ),
}
