"""What the real driver is handed, against a stand-in that reads memory as the driver does: no GPU needed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import pytest

from tiledsl.errors import TileError
from tiledsl.runtime.driver import CudaDriver, Shape, Window
from tiledsl.runtime.packing import MAP_ALIGNMENT, MAP_BYTES
from tiledsl.tensor_map import TensorMap, map_of_window, tensor_map

cuda = pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
SUCCESS = cuda.CUresult.CUDA_SUCCESS
Pointer, Int, U32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
TENSOR, HOW = (Pointer, Int, U32, Pointer, Pointer, Pointer), (Int, Int, Int, Int)
ENCODE_TILED = ctypes.CFUNCTYPE(Int, *TENSOR, Pointer, Pointer, *HOW)
ENCODE_IM2COL = ctypes.CFUNCTYPE(Int, *TENSOR, Pointer, Pointer, U32, U32, Pointer, *HOW)


class Api:
    """cuda.bindings.driver with the calls of a launch replaced; enums and structs are the real ones."""

    def __init__(self, sizes: tuple[int, ...] = (), status: int = 0) -> None:
        self.sizes, self.status = sizes, status
        self.encoded: list[tuple[Any, ...]] = []
        self.launched: list[Any] = []
        self.limits: list[Any] = []
        self.looked_up: list[str] = []
        self._functions = {
            "cuTensorMapEncodeTiled": ENCODE_TILED(self._encode_tiled),
            "cuTensorMapEncodeIm2col": ENCODE_IM2COL(self._encode_im2col),
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(cuda, name)

    def cuGetErrorString(self, status: Any) -> Any:
        return SUCCESS, b"wrong"

    def cuGetProcAddress(self, name: bytes, version: int, flags: int) -> Any:
        assert (version, flags) == (12000, 0)
        self.looked_up.append(name.decode())
        return SUCCESS, ctypes.cast(self._functions[name.decode()], Pointer).value, None

    def cuCtxGetDevice(self) -> Any:
        return SUCCESS, 3

    def cuDeviceGetAttribute(self, attribute: Any, device: int) -> Any:
        assert device == 3
        names = cuda.CUdevice_attribute
        sizes = {names.CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE: 1 << 20}
        return SUCCESS, (sizes | {names.CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE: 1 << 16})[attribute]

    def cuCtxSetLimit(self, limit: Any, size: int) -> Any:
        self.limits.append((limit, size))
        return (SUCCESS,)

    def _encode_tiled(self, to: int, dtype: int, rank: int, at: int, *rest: Any) -> int:
        *arrays, interleave, swizzle, promotion, fill = rest
        kinds = [(ctypes.c_uint64, rank), (ctypes.c_uint64, rank - 1), (ctypes.c_uint32, rank), (ctypes.c_uint32, rank)]
        return self._encoded(to, dtype, rank, at, *_read(kinds, arrays), interleave, swizzle, promotion, fill)

    def _encode_im2col(self, to: int, dtype: int, rank: int, at: int, *rest: Any) -> int:
        shape, strides, lower, upper, channels, pixels, steps, *how = rest
        kinds = [(ctypes.c_uint64, rank), (ctypes.c_uint64, rank - 1), (Int, rank - 2), (Int, rank - 2), (U32, rank)]
        read = _read(kinds, (shape, strides, lower, upper, steps))
        return self._encoded(to, dtype, rank, at, *read, channels, pixels, *how)

    def _encoded(self, to: int, *what: Any) -> int:
        assert to % MAP_ALIGNMENT == 0
        self.encoded.append(what)
        ctypes.memmove(to, bytes(range(128)), 128)
        return self.status

    def _arguments(self, address: int) -> list[bytes]:
        """As the driver copies them: a pointer and the size that the kernel declares for each."""
        pointers = (ctypes.c_void_p * len(self.sizes)).from_address(address)
        assert all(int(p or 0) % MAP_ALIGNMENT == 0 for p, size in zip(pointers, self.sizes) if size == MAP_BYTES)
        return [ctypes.string_at(int(p or 0), size) for p, size in zip(pointers, self.sizes)]

    def cuLaunchKernel(self, f: Any, *how: Any) -> Any:
        self.launched.append((f, *how[:8], self._arguments(how[8])))
        return (SUCCESS,)

    def cuLaunchKernelEx(self, config: Any, f: Any, arguments: int, extra: int) -> Any:
        self.launched.append((f, config, self._arguments(arguments)))
        return (SUCCESS,)


def test_blocks_of_more_than_one_dimension() -> None:
    api = Api()
    CudaDriver(api).launch("f", Shape((3,), 24, 0, block=(8, 3)), 5, [])
    CudaDriver(api).launch("f", Shape((3,), 24, 0, (1, 1), block=(4, 3, 2)), 5, [])
    (_, *how, _), (_, config, _) = api.launched
    assert how == [3, 1, 1, 8, 3, 1, 0, 5]
    assert (config.blockDimX, config.blockDimY, config.blockDimZ) == (4, 3, 2)


@pytest.mark.parametrize(("size", "kept"), [(4096, 4096), (1 << 21, 1 << 20)])
def test_a_window_of_the_cache(size: int, kept: int) -> None:
    api = Api()
    CudaDriver(api).launch("f", Shape((3,), 32, 0, window=Window(0x7000, size, 0.75)), 5, [])
    ((_, config, _),) = api.launched
    assert config.numAttrs == 1 and config.gridDimX == 3
    assert config.attrs[0].id == cuda.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW
    policy = config.attrs[0].value.accessPolicyWindow
    assert (int(policy.base_ptr), policy.num_bytes, policy.hitRatio) == (0x7000, kept, 0.75)
    assert policy.hitProp == cuda.CUaccessProperty.CU_ACCESS_PROPERTY_PERSISTING
    assert policy.missProp == cuda.CUaccessProperty.CU_ACCESS_PROPERTY_STREAMING
    assert api.limits == [(cuda.CUlimit.CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 1 << 16)]


def _read(kinds: Sequence[tuple[Any, int]], arrays: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple((kind * n).from_address(a)) if n else () for (kind, n), a in zip(kinds, arrays, strict=True)]


MAP = tensor_map("A", "bfloat16", (5, 6, 64), (1, 2, 32), swizzle=64)


def test_a_tensor_map_is_encoded_innermost_first() -> None:
    api = Api()
    driver = CudaDriver(api)
    assert driver.encode(MAP, 0x7000_0000_0100) == bytes(range(128))
    assert driver.encode(MAP, 0x100) == bytes(range(128))
    assert api.looked_up == ["cuTensorMapEncodeTiled"]
    (dtype, rank, at, shape, strides, box, steps, interleave, swizzle, promotion, fill), _ = api.encoded
    assert (rank, at, shape, strides, box, steps) == (
        *(3, 0x7000_0000_0100),
        *((64, 6, 5), (128, 768), (32, 2, 1), (1, 1, 1)),
    )
    assert (dtype, interleave, swizzle, promotion, fill) == (
        9,
        0,
        2,
        2,
        0,
    )


def test_a_map_of_images_is_encoded_by_a_function_of_its_own() -> None:
    api = Api()
    driver = CudaDriver(api)
    images = map_of_window("A", "float16", (4, 10, 12, 64), None, (96, 32), 64, (3, 2, 1, 1))
    for m in (images, MAP, images):
        assert driver.encode(m, 0x100) == bytes(range(128))
    assert api.looked_up == ["cuTensorMapEncodeIm2col", "cuTensorMapEncodeTiled"]
    first, _, again = api.encoded
    assert first == again == (
        *(6, 4, 0x100, (64, 12, 10, 4), (128, 1536, 15360)),
        *((-1, -1), (-1, -1), (1, 2, 2, 1), 32, 96),
        *(0, 2, 2, 0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("m", "dtype", "swizzle", "fill"),
    [
        (tensor_map("A", "int8", (64, 64), (8, 32), swizzle=32), 0, 1, 0),
        (tensor_map("A", "float16", (64, 64), (8, 64), swizzle=128), 6, 3, 0),
        (tensor_map("A", "float32", (64,), (64,), fill_nan=True), 7, 0, 1),
    ],
)
def test_enums_are_those_of_the_header(m: TensorMap, dtype: int, swizzle: int, fill: int) -> None:
    api = Api()
    CudaDriver(api).encode(m, 256)
    assert (api.encoded[0][0], api.encoded[0][8], api.encoded[0][10]) == (dtype, swizzle, fill)


def test_what_the_driver_refuses_is_an_error() -> None:
    with pytest.raises(TileError, match=r"TD0615.*CUDA_ERROR_INVALID_VALUE"):
        CudaDriver(Api(status=1)).encode(MAP, 256)


def test_arguments_lie_where_the_driver_reads_them() -> None:
    api = Api(sizes=(128, 128, 8, 4, 2))
    first, second = bytes(range(128)), bytes(range(127, -1, -1))
    CudaDriver(api).launch("f", Shape((2, 3), 256, 1000), 77, [first, second, 0x7FFF_0000_1234, 2**32 - 1, 0x3C00])
    ((*how, given),) = api.launched
    assert how == ["f", 2, 3, 1, 256, 1, 1, 1000, 77]
    assert given == [first, second, (0x7FFF_0000_1234).to_bytes(8, "little"), b"\xff" * 4, b"\x00\x3c"]


def test_no_arguments() -> None:
    api = Api()
    CudaDriver(api).launch("f", Shape((1,), 32, 0), 0, [])
    assert api.launched == [("f", 1, 1, 1, 32, 1, 1, 0, 0, [])]


@pytest.mark.parametrize(("cluster", "dependent"), [((2,), False), ((1, 2), True), ((), True)])
def test_clusters_and_dependent_launches_are_attributes(cluster: tuple[int, ...], dependent: bool) -> None:
    api = Api(sizes=(8,))
    CudaDriver(api).launch("f", Shape((8, 4), 128, 512, cluster, dependent), 5, [9])
    ((f, config, given),) = api.launched
    assert (f, given) == ("f", [(9).to_bytes(8, "little")])
    assert (config.gridDimX, config.gridDimY, config.gridDimZ) == (8, 4, 1)
    assert (config.blockDimX, config.blockDimY, config.blockDimZ) == (128, 1, 1)
    assert (config.sharedMemBytes, int(config.hStream)) == (512, 5)
    by_id = {int(a.id): a.value for a in config.attrs}
    assert config.numAttrs == len(by_id) == bool(cluster) + dependent
    ids = cuda.CUlaunchAttributeID
    if cluster:
        dims = by_id[int(ids.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)].clusterDim
        assert (dims.x, dims.y, dims.z) == (*cluster, 1, 1)[:3]
    if dependent:
        value = by_id[int(ids.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)]
        assert value.programmaticStreamSerializationAllowed == 1
