"""Element types, one row each: printer, parser, type rules, CPU executions and emitter read this table."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from tiledsl.ir.frozen import dataclass


class Kind(Enum):
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    INDEX = "index"
    HANDLE = "handle"


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """One of the rows below, so that `is` and `==` are the same.

    `bits` is the size in memory of one element; `numpy` the name of its host type in NumPy or ml_dtypes.

    `exponent` and `mantissa` are the explicit bits of a float (mantissa without the hidden one), 0 otherwise.
    """

    name: str
    bits: int
    kind: Kind
    numpy: str
    exponent: int = 0
    mantissa: int = 0

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.FLOAT

    @property
    def is_integer(self) -> bool:
        """Signed, unsigned or index; not bool."""
        return self.kind in (Kind.INT, Kind.UINT, Kind.INDEX)

    @property
    def int_range(self) -> tuple[int, int]:
        """Least and greatest value, inclusive. Raises ValueError for a type that is neither integer nor bool."""
        match self.kind:
            case Kind.BOOL:
                return 0, 1
            case Kind.INT | Kind.INDEX:
                return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
            case Kind.UINT:
                return 0, (1 << self.bits) - 1
        raise ValueError(f"{self.name} is not an integer type")

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        """In another process too it is the row of that name, and no copy."""
        return _row, (self.name,)


def _row(name: str) -> DType:
    return DTYPES[name]


def _int(bits: int) -> DType:
    return DType(f"int{bits}", bits, Kind.INT, f"int{bits}")


def _uint(bits: int) -> DType:
    return DType(f"uint{bits}", bits, Kind.UINT, f"uint{bits}")


def _float(name: str, bits: int, exponent: int, mantissa: int, numpy: str | None = None) -> DType:
    return DType(name, bits, Kind.FLOAT, numpy or name, exponent, mantissa)


# An index is a mathematical integer: it does not wrap. The pass narrow-indices gives each one a machine width.
INDEX = DType("index", 64, Kind.INDEX, "int64")
BOOL = DType("bool", 8, Kind.BOOL, "bool")
HANDLE = DType("handle", 64, Kind.HANDLE, "uint64")
INT4, INT8, INT16, INT32, INT64 = (_int(b) for b in (4, 8, 16, 32, 64))
UINT4, UINT8, UINT16, UINT32, UINT64 = (_uint(b) for b in (4, 8, 16, 32, 64))
FLOAT64 = _float("float64", 64, 11, 52)
FLOAT32 = _float("float32", 32, 8, 23)
TFLOAT32 = _float("tfloat32", 32, 8, 10, "float32")  # a float32 of which the tensor core reads the top 19 bits
FLOAT16 = _float("float16", 16, 5, 10)
BFLOAT16 = _float("bfloat16", 16, 8, 7)
FLOAT8_E4M3 = _float("float8_e4m3fn", 8, 4, 3)
FLOAT8_E5M2 = _float("float8_e5m2", 8, 5, 2)
FLOAT8_E4M3FNUZ = _float("float8_e4m3fnuz", 8, 4, 3)
FLOAT8_E5M2FNUZ = _float("float8_e5m2fnuz", 8, 5, 2)
FLOAT8_E8M0 = _float("float8_e8m0fnu", 8, 8, 0)
FLOAT6_E2M3 = _float("float6_e2m3fn", 8, 2, 3)  # stored in the low six bits of a byte
FLOAT6_E3M2 = _float("float6_e3m2fn", 8, 3, 2)
FLOAT4_E2M1 = _float("float4_e2m1fn", 4, 2, 1)

DTYPES: dict[str, DType] = {
    t.name: t
    for t in (
        *(INDEX, BOOL, HANDLE, INT4, INT8, INT16, INT32, INT64, UINT4, UINT8, UINT16, UINT32, UINT64),
        *(FLOAT64, FLOAT32, TFLOAT32, FLOAT16, BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, FLOAT8_E4M3FNUZ, FLOAT8_E5M2FNUZ),
        *(FLOAT8_E8M0, FLOAT6_E2M3, FLOAT6_E3M2, FLOAT4_E2M1),
    )
}

# Other spellings that users have in their fingers; the printer never writes them.
ALIASES: dict[str, str] = {
    "float": "float32",
    "half": "float16",
    "double": "float64",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "tf32": "tfloat32",
    "int": "int32",
    "float8_e4m3": "float8_e4m3fn",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "float4_e2m1": "float4_e2m1fn",
}
