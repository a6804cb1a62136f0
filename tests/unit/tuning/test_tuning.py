"""Searches with made-up times: what is tried, refused, verified, measured, kept and found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objectives import MadeUp

import tiledsl
import tiledsl.language as T
from tiledsl.cli import main
from tiledsl.errors import TileError
from tiledsl.target import target_named
from tiledsl.testing import Draw
from tiledsl.tuning import Autotuned, Estimate, Outcome, Status, TuningResult, export_results, import_results
from tiledsl.tuning.fit import require_fits
from tiledsl.tuning.result import best_of
from tiledsl.tuning.space import configurations
from tiledsl.tuning.verify import Tolerance, differs, digest

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
M = T.dynamic("M")


@tiledsl.kernel(out_idx=-1)
def doubled(
    A: T.Tensor((M,), T.float32), B: T.Tensor((M,), T.float32), threads: int, factor: float = 2.0, block: int = 128
):
    with T.Kernel(T.ceildiv(M, block), threads=threads) as bx:
        for i in T.Parallel(block):
            B[bx * block + i] = A[bx * block + i] * factor


def factory(size: int, threads: int = 32):
    @tiledsl.kernel(out_idx=-1)
    def tripled(A: T.Tensor((size,), T.float32), B: T.Tensor((size,), T.float32)):
        with T.Kernel(1, threads=threads):
            for i in T.Parallel(size):
                B[i] = A[i] * 3.0

    return tripled


A = np.arange(200, dtype=np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TILEDSL_BACKEND", "simt")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "measured.txt"


def tuned(log: Path, configs: Any, fn: Any = doubled, how: dict[int, str] | None = None, **options: Any) -> Autotuned:
    chosen = {"objective": MadeUp(log, how or {}), "ref": lambda A: 2 * A, **options}
    return tiledsl.autotune(configs=configs, **chosen)(fn)


def measured(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def statuses(result: TuningResult) -> list[str]:
    return [o.status.value for o in result.outcomes]


# ---- one search


def test_every_fate_of_a_configuration(log: Path) -> None:
    configs = [
        {"threads": 32},
        {"threads": 64, "factor": 2.5},
        {"threads": 2048},
        {"threads": 32, "factor": 2},
        {"threads": 96},
        {"threads": 160},
        {"threads": 64},
        {"threads": 224},
    ]
    result = tuned(log, configs, how={96: "hang", 160: "crash", 224: "raise"}, timeout=15.0).tune(A)
    wanted = ["measured", "wrong", "pruned", "same", "slow", "crashed", "measured", "failed"]
    assert statuses(result) == wanted, str(result)
    assert (result.config, result.best.ms) == ({"threads": 64}, 1000 / 64)
    reasons = [o.reason.partition("\n")[0] for o in result.outcomes]
    assert reasons[1].startswith("'B': 199 of 200 elements differ, the first is [1]: 2.5 and 2.0")
    assert reasons[2].startswith("TD0224")
    assert reasons[3] == "the same code as threads=32"
    assert (reasons[4], reasons[7]) == ("took longer than 15 s", "ValueError: no luck")
    assert measured(log) == [f"{n} {{'M': 200}}" for n in (32, 96, 160, 64, 224)], "what is wrong is never measured"
    assert "wrong" in str(result) and "1 slow" in str(result)
    assert result.outcomes[0].registers > 0


def test_none_is_right(log: Path) -> None:
    with pytest.raises(TileError, match=r"TD0674: none of the 2 configurations of 'doubled'") as raised:
        tuned(log, {"threads": [32, 64]}, ref=lambda A: A).tune(A)
    assert "2 x wrong: 'B': 199 of 200 elements differ" in str(raised.value)
    with pytest.raises(TileError, match=r"(?s)TD0674.*1 x pruned: TD0224"):
        tuned(log, {"threads": [2048]}).tune(A)
    assert measured(log) == []


def test_without_a_reference_the_tiles_are_it(log: Path) -> None:
    result = tuned(log, [{"threads": 32}, {"threads": 64, "factor": 2.5}], ref=None).tune(A)
    assert statuses(result) == ["measured", "wrong"]


def test_tolerances(log: Path) -> None:
    near = {"ref": lambda A: 2 * A + 0.01, "configs": [{"threads": 32}], "log": log}
    with pytest.raises(TileError, match="TD0674"):
        tuned(**near).tune(A)
    assert tuned(**near, atol=0.1).tune(A).best.ms
    assert tuned(log, [{"threads": 32}], ref=lambda A: 2 * A + (A == 5), mismatched=0.01).tune(A).best.ms


def test_results_of_an_earlier_call_are_not_taken_for_its_own(log: Path) -> None:
    @tiledsl.kernel
    def lazy(A: T.Tensor((64,), T.float32), B: T.Tensor((64,), T.float32), threads: int):
        with T.Kernel(1, threads=threads):
            for i in T.Parallel(32):
                B[i] = A[i]

    a = np.ones(64, np.float32)
    with pytest.raises(TileError, match=r"TD0674"):
        tuned(log, [{"threads": 32}], fn=lazy, ref=lambda A, B: {"B": A}).tune(a, a.copy())


# ---- what is decorated


def test_a_kernel_is_run_with_the_best(log: Path) -> None:
    search = tuned(log, {"threads": [32, 64, 128]})
    assert np.array_equal(search(A), 2 * A)
    assert np.array_equal(search(A, factor=2.0, backend="tile"), 2 * A)
    assert len(measured(log)) == 3, "another call, but the same code and the same inputs"
    assert search.best(A).lowered.source.entries[0].threads == 128
    assert search.__name__ == "doubled" and isinstance(search.fn, tiledsl.TileKernel)


def test_a_configuration_that_is_named_is_taken(log: Path) -> None:
    assert np.array_equal(tuned(log, {"threads": [32, 64]})(A, threads=96), 2 * A)
    assert np.array_equal(tuned(log, {"threads": [32, 64]}, fn=factory)(64, 64)(A[:64]), 3 * A[:64])
    assert measured(log) == []


def test_a_function_that_makes_kernels(log: Path) -> None:
    search = tuned(log, {"threads": [32, 64]}, fn=factory, ref=lambda A: 3 * A)
    kernel = search(64)
    assert isinstance(kernel, tiledsl.TileKernel) and search(64) is kernel
    assert kernel.compile().lowered.source.entries[0].threads == 64
    assert np.array_equal(kernel(A[:64]), 3 * A[:64])
    assert len(measured(log)) == 2


def test_inputs_of_one_s_own(log: Path) -> None:
    seen: list[Any] = []

    def ref(A: Any) -> Any:
        seen.append(A)
        return 3 * A

    def inputs(draw: Draw) -> dict[str, Any]:
        return {"A": draw(64, dtype=np.float32) + 100}

    tuned(log, {"threads": [32]}, fn=factory, ref=ref, inputs=inputs).tune(64)
    assert 99 <= seen[0].min() <= seen[0].max() <= 101


def test_what_is_no_kernel(log: Path) -> None:
    with pytest.raises(TileError, match=r"TD0677: 'made' tunes a kernel or a function that makes one, but got a int"):
        tuned(log, {"threads": [1]}, fn=lambda threads: 3 if threads else 4).__class__(
            made, {"threads": [1]}, tuned(log, []).options
        )()
    with pytest.raises(TileError, match="TD0677"):
        tiledsl.autotune(configs=[])(3)


def made(threads: int) -> int:
    return threads


def test_tuning_switched_off(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_TUNE", "off")
    search = tuned(log, {"threads": [2048, 96, 64]})
    assert np.array_equal(search(A), 2 * A)
    assert search.best(A).lowered.source.entries[0].threads == 96
    assert measured(log) == []


# ---- configurations


@given(st.lists(st.integers(0, 3), max_size=4), st.lists(st.sampled_from("xy"), max_size=3))
def test_products_are_all_combinations_in_order(a: list[int], b: list[str]) -> None:
    wanted = list(dict.fromkeys((i, s) for i in a for s in b))
    if wanted:
        found = configurations({"a": a, "b": b}, {}, ("a", "b"))
        assert [(c["a"], c["b"]) for c in found] == wanted
    else:
        with pytest.raises(TileError, match="TD0670"):
            configurations({"a": a, "b": b}, {}, ("a", "b"))


def test_functions_of_the_arguments() -> None:
    arguments = {"size": 3, "dtype": "f"}
    assert configurations(lambda size: [{"a": size}], arguments, "a") == ({"a": 3},)
    assert configurations(lambda **given: {"a": [len(given)]}, arguments, "a") == ({"a": 2},)


@pytest.mark.parametrize("wrong", [3, [3], [{1: 2}], {"a": 3}, {"a": "xyz"}, [], lambda: None])
def test_what_are_no_configurations(wrong: Any) -> None:
    with pytest.raises(TileError, match="TD0670"):
        configurations(wrong, {}, ("a",))


def test_names_that_there_are_not(log: Path) -> None:
    with pytest.raises(TileError, match=r"TD0671.*'warps'.*\n.*block, factor, threads"):
        tuned(log, [{"warps": 3}]).tune(A)


# ---- what fits


@pytest.mark.parametrize(
    ("tile", "threads", "what"),
    [
        ((512, 512), 128, "fragment 'c' needs 2048 registers a thread, sm_80 has 255"),
        ((256, 256), 1024, ""),
        ((512, 256), 1024, "fragment 'c' needs 128 registers a thread, sm_80 has 64"),
        ((64, 64), 128, ""),
    ],
)
def test_fragments(tile: tuple[int, int], threads: int, what: str) -> None:
    @tiledsl.kernel
    def k(A: T.Tensor(tile, T.float32)):
        with T.Kernel(1, threads=threads):
            c = T.alloc_fragment(tile, T.float32)
            T.copy(A, c)
            T.copy(c, A)

    if what:
        with pytest.raises(TileError, match=f"TD0672: {what}"):
            require_fits(k.trace(), target_named("sm_80"))
    else:
        require_fits(k.trace(), target_named("sm_80"))


def test_operands_of_a_product() -> None:
    @tiledsl.kernel
    def k(A: T.Tensor((256, 256), T.float16), C: T.Tensor((256, 256), T.float32)):
        with T.Kernel(1, threads=512):
            a, b = T.alloc_shared((256, 256), T.float16), T.alloc_shared((256, 256), T.float16)
            c = T.alloc_fragment((256, 256), T.float32)
            T.copy(A, a)
            T.copy(A, b)
            T.clear(c)
            T.gemm(a, b, c)
            T.copy(c, C)

    with pytest.raises(TileError, match=r"TD0672: the product of a, b needs 262144 bytes of shared memory, sm_80 has"):
        require_fits(k.trace(), target_named("sm_80"))
    with pytest.raises(TileError, match="TD0501"):
        k.compile(target="sm_80")


# ---- executors


@contextmanager
def dask() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, processes=True)
    with cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


EXECUTORS = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    "dask": dask,
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_any_executor_compiles(log: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiledsl.runtime.nvrtc._compile", _compiled_elsewhere)
    with EXECUTORS[kind]() as executor:
        if kind == "threads":
            monkeypatch.undo()
        result = tuned(log, {"threads": [32, 64]}, executor=executor, cache=False).tune(A)
    assert statuses(result) == ["measured", "measured"]
    assert all(o.registers for o in result.outcomes)


def _compiled_elsewhere(*_: object) -> None:
    raise AssertionError("compiled in this process")


class Broken(ThreadPoolExecutor):
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        return super().submit(_gone)


def _gone() -> None:
    raise ConnectionError("the cluster is gone")


def test_an_executor_that_breaks(log: Path) -> None:
    with (
        Broken(1) as executor,
        pytest.raises(TileError, match=r"TD0674.*\n.*2 x failed: not compiled: ConnectionError"),
    ):
        tuned(log, {"threads": [32, 64]}, executor=executor).tune(A)


# ---- what is kept


def test_found_again_by_another_process(log: Path) -> None:
    """Another object of the decorator has nothing in common with the first but the disk."""
    configs = [{"threads": 32, "block": 128}, {"threads": 64, "block": 64}]
    first = tuned(log, configs, ref=double).tune(A)
    again = tuned(log, configs, ref=double)
    assert again.tune(A).as_data() == first.as_data()
    assert len(measured(log)) == 2
    assert again.tune(A[:100]).about != first.about
    assert len(measured(log)) == 4, "another shape is another call"


def double(A: Any) -> Any:
    return 2 * A


def test_one_more_configuration_costs_one_measurement(log: Path) -> None:
    tuned(log, {"threads": [32, 64]}, ref=double).tune(A)
    result = tuned(log, {"threads": [32, 64, 128]}, ref=double).tune(A)
    assert [line.split()[0] for line in measured(log)] == ["32", "64", "128"]
    assert [o.ms for o in result.outcomes] == [1000 / 32, 1000 / 64, 1000 / 128]


def test_results_are_for_the_hardware_the_inputs_and_the_reference(log: Path) -> None:
    tuned(log, {"threads": [32]}, ref=double).tune(A)
    tuned(log, {"threads": [32]}, ref=double, objective=MadeUp(log, hardware="another")).tune(A)
    assert len(measured(log)) == 2
    tuned(log, {"threads": [32]}, ref=lambda A: A + A).tune(A + 1)
    assert len(measured(log)) == 3
    with pytest.raises(TileError, match="TD0674"):
        tuned(log, {"threads": [32]}, ref=lambda A: A).tune(A)
    tuned(log, {"threads": [32]}, ref=double, cache=False).tune(A)
    assert len(measured(log)) == 4


def test_a_kernel_whose_helper_changed_is_searched_again(log: Path) -> None:
    scale = {"by": 2.0}

    @tiledsl.kernel(out_idx=-1)
    def scaled(A: T.Tensor((64,), T.float32), B: T.Tensor((64,), T.float32), threads: int):
        with T.Kernel(1, threads=threads):
            for i in T.Parallel(64):
                B[i] = A[i] * scale["by"]

    def ref(A: Any) -> Any:
        return A * scale["by"]

    a = A[:64]
    tuned(log, {"threads": [32]}, fn=scaled, ref=ref).tune(a)
    scale["by"] = 5.0
    scaled._compiled.clear()
    assert statuses(tuned(log, {"threads": [32]}, fn=scaled, ref=ref).tune(a)) == ["measured"]
    assert len(measured(log)) == 2


def test_tuples_survive_the_disk(log: Path) -> None:
    def tiles(tile: tuple[int, int] = (8, 8)) -> Any:
        assert isinstance(tile, tuple)
        return factory(64, threads=tile[0] * tile[1])

    for _ in range(2):
        assert tuned(log, {"tile": [(8, 4), (8, 8)]}, fn=tiles, ref=None).tune().config == {"tile": (8, 8)}
    assert len(measured(log)) == 2


def test_calls_with_one_key_are_tuned_once(log: Path) -> None:
    search = tuned(log, {"threads": [32, 64]}, key=lambda A, **_: A.shape[0] // 1000)
    for n in (50, 100, 200):
        assert np.array_equal(search(A[:n]), 2 * A[:n])
    assert len(measured(log)) == 2


def test_export_and_import(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    first = tuned(log, {"threads": [32, 64]}, ref=double).tune(A)
    assert main(["tune", "export", str(tmp_path / "all.json")]) == 0
    assert export_results(tmp_path / "none.json", "other") == 0
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert import_results(tmp_path / "none.json") == []
    assert main(["tune", "import", str(tmp_path / "all.json")]) == 0
    assert tuned(log, {"threads": [32, 64]}, ref=double).tune(A).as_data() == first.as_data()
    assert len(measured(log)) == 2
    capsys.readouterr()
    assert main(["tune", "log", "--kernel", "doubled"]) == 0
    assert "doubled for sm_80: threads=64, 15.62 ms (made-up milliseconds)" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tiledsl results": 1, "results": [{"kernel": "k"}]}'])
def test_files_that_are_no_results(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(TileError, match="TD0673"):
        import_results(tmp_path / "f.json")
    with pytest.raises(TileError, match="TD0673"):
        import_results(tmp_path / "missing.json")


def test_results_travel_as_json() -> None:
    outcomes = (Outcome({"a": 1}, Status.MEASURED, "", 2.0, 1.0, 3.0, (2.0,), "c", 3, 4, 5), Outcome({}, Status.SLOW))
    result = TuningResult("k", "sm_80", "time", {"x": [1]}, outcomes, 1.5)
    assert TuningResult.from_json(result.to_json()) == result
    assert json.loads(result.to_json())["best"] == {"a": 1}
    with pytest.raises(TileError, match="TD0673"):
        TuningResult("k", "sm_80", "time", {"x": object()}, outcomes).to_json()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 9)), min_size=1))
def test_the_best_is_the_first_of_least_rank_that_was_verified(drawn: list[tuple[bool, float]]) -> None:
    outcomes = tuple(
        Outcome({"n": n}, Status.MEASURED if good else Status.WRONG, rank=(ms,)) for n, (good, ms) in enumerate(drawn)
    )
    right = [(ms, n) for n, (good, ms) in enumerate(drawn) if good]
    if right:
        assert best_of("k", outcomes).config == {"n": min(right)[1]}
    else:
        with pytest.raises(TileError, match="TD0674"):
            best_of("k", outcomes)


# ---- the parts


def test_differences() -> None:
    one = {"B": np.ones(4, np.float16)}
    assert differs(one, {"B": np.ones(4)}, Tolerance()) == ""
    assert differs(one, {"B": np.ones(4) + 1e-4}, Tolerance()) == "", "the tolerance is that of the result's dtype"
    assert differs(one, {"B": np.ones(3)}, Tolerance()) == "'B' has the shape (4,), the reference (3,)"
    assert differs(one, {"B": np.array([1, 2, 1, 1])}, Tolerance()).startswith("'B': 1 of 4 elements differ")
    assert differs(one, {"B": np.array([1, 2, 1, 1])}, Tolerance(mismatched=0.25)) == ""


def test_digests_see_everything() -> None:
    a = np.arange(6, dtype=np.int32)
    same = [{"a": a, "s": 1}, {"s": 1, "a": a.copy()}]
    others = [{"a": a + 1, "s": 1}, {"a": a.reshape(2, 3), "s": 1}, {"a": a.view(np.float32), "s": 1}, {"a": a, "s": 2}]
    assert len({digest(v) for v in same}) == 1
    assert len({digest(v) for v in [same[0], *others]}) == 5


def test_the_estimate_says_that_it_is_one() -> None:
    objective = Estimate(target_named("sm_90a"), verified_on="simt")
    result = tiledsl.autotune(configs={"threads": [32, 64]}, ref=double, objective=objective, target="sm_90a")(
        doubled
    ).tune(A)
    assert result.objective == "no GPU was timed: static estimate, the roofline of H200, what spills last"
    report = doubled.compile(threads=32, target="sm_90a").report(M=200)
    assert result.outcomes[0].ms == pytest.approx(report.time * 1e3)


@pytest.mark.parametrize("package", ["rich", "tqdm"])
def test_a_bar(log: Path, capsys: pytest.CaptureFixture[str], package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "tqdm":
        monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    tuned(log, {"threads": [32, 64]}, progress=True).tune(A)
    shown = capsys.readouterr().err
    for phase in ("lowering", "compiling", "measuring"):
        assert f"doubled: {phase}" in shown
    assert "2/2" in shown


def test_a_bar_without_its_package(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("rich.console", "tqdm"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(TileError, match="TD0675"):
        tuned(log, {"threads": [32]}, progress=True).tune(A)
    assert tuned(log, {"threads": [32]}).tune(A).best.ms


def test_no_search_while_a_graph_is_captured(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        is_available = staticmethod(lambda: True)
        is_current_stream_capturing = staticmethod(lambda: True)

    class Torch:
        cuda = Cuda
        Tensor = type("Tensor", (), {})

    monkeypatch.setitem(__import__("sys").modules, "torch", Torch)
    with pytest.raises(TileError, match=r"TD0678: 'doubled' is not tuned yet"):
        tuned(log, {"threads": [32]}).tune(A)
