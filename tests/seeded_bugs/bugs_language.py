"""Bugs of words that are taken apart where the kernel is traced."""

from __future__ import annotations

from bug import Bug

READ, STORED = "packed_numbers_are_read_as_they_are", "numbers_are_packed_as_they_are_converted"

PACKED = (
    Bug(
        "packed integers have no sign",
        "frontend.packed:number_in",
        'binary("-", bitwise("^", bits, 8), 8)',
        "bits",
        READ,
    ),
    Bug(
        "the exponent of packed floats has the bias of float16",
        "frontend.packed:number_in",
        'binary("*", half, 2.0**14)',
        "half",
        READ,
    ),
    Bug(
        "each byte is read twice",
        "language.packed_copies:Side.number",
        "byte, odd = halves(last)",
        "byte, odd = halves(last)[0], ZERO",
        READ,
    ),
    Bug(
        "numbers half way between two all go down",
        "frontend.packed:_e2m1",
        '"<" if up else "<="',
        '"<="',
        STORED,
    ),
    Bug(
        "what is below the least integer wraps",
        "frontend.packed:bits_of",
        'select(binary("<", whole, low), low, select',
        "(lambda _c, _low, rest: rest)(None, low, select",
        STORED,
    ),
    Bug(
        "the second number goes to the low bits",
        "language.packed_copies:_converting",
        "for n in (0, 1))",
        "for n in (1, 0))",
        STORED,
    ),
)
