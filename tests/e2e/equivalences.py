"""Faults that change nothing that a kernel may be asked for, by kernel, kind, text and place, and why.

Rows of sm_90a name the place by launch, role and loop (`places.py`): of the roles that the compiler makes, 1 copies
and 2 computes. None covers a fault that is caught (`verdicts.Score`), so patterns are as narrow as what survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Equivalent:
    """Faults that change nothing that a kernel may be asked for: patterns of case, kind and text, and why."""

    case: str
    kind: str
    what: str
    reason: str

    def covers(self, case: str, kind: str, what: str) -> bool:
        pairs = ((self.case, case), (self.kind, kind), (self.what, what))
        return all(re.fullmatch(pattern, given) for pattern, given in pairs)


_PADDING = "chooses what the padding of a tile holds, rows or columns that no store writes"
_INSIDE = "columns or rows beyond the tensor are never stored, and what is read instead lies in the tensor's memory"
_UNUSED = "the copy is of a tile that nobody reads; element guards keep it in bounds"
# order-globals separates the read of R by all replicas of an element from the write by one of them.
_WORKSPACE = "the barrier of the reduction's workspace, added later, also stands between the read and the write of R"
_ONE_WARP = "the replicas are lanes of one warp, which the shuffles of the reduction bring together after the read of R"
# On sm_90a.
_LAST_ROLE = "no other threads are left for the last role"
_FENCED = "what threads wrote into registers of this product, they wrote before the fence of the product before it"
_UNAWAITED = "the tiles of the last turns are released, but no more are copied"
_REGISTERS = "ptxas makes do with the registers of the launch then: slower, but the same"
_COMMITTED = "the commit behind the next product takes this one with it, and both are waited for together"
_EARLIER = "the producer has just waited for other tiles, which the consumers give back after these"
_THROUGH_THE_RING = (
    "tiles of this turn come when all consumers have given back those of a turn that ends after the reads"
)
_TWO_HEADS = "with two heads, nobody reads what is counted for a third"
_ONLY_THREADS = "the fence is for the copy engine, which no barrier of these kernels waits for"
_MEETING = "all threads of the role have just waited at the barrier where the roles meet"
_FENCES = "there is another fence on the way from the write to the product"
_ONE_TILE = "no block stores two tiles by the copy engine, so nothing is reused"
_ONE_WARPGROUP = "all threads have waited for the same product of their warpgroup"
_STORED = "the last tile is stored by threads, which have waited for those before"
_DIAGONAL = "lists begin with the block on the diagonal, and no other is masked"
_ONE_GROUP = "there is one group: what is counted for the next is not read"
_TILES = "bulk-stores cannot tell that the tiles of all turns are different ones; they are"
_ONE_ROW = "a tile of one row, on which neither swizzles nor pipelines act; the case is there for the empty split"
_FULL = "no row of a tile is of another group, or beyond the last one"
_LISTED = "what lists and starts name lies in the tensors"
_SOME_TURNS = "the loop has turns in each case"
_MASKS = "the mask that is left out elsewhere hides nothing there"
_ZEROES = "beyond K the weights meet zeros of A, whatever finite number they are; columns beyond N are never stored"
_LATER = "threads meet at another barrier before they first wait for a tile"
_ONE_TURN = "the loop over the keys has one turn, which does not use the second slot"
_ONE_PART = "one block of keys at most is not whole, so the loop over such blocks has at most one turn"
_DIAGONAL_FOLLOWS = "the blocks on the diagonal, which follow, are more than it brings ahead: the condition holds"
_LOADED = "what is copied is not read: products and stores have the guard too"
_FENCED_ANYWAY = "who made the barrier executes a fence for the copy engine before the blocks meet and send"
_MEET_FIRST = "the blocks meet again before any of them sends"
_MEET_LAST = "the blocks have met after the last tile came, and reach nothing of each other's any more"
_ONE_EACH = "each block is told of one tile, whosever it is, and all meet before they use theirs"
_FENCE = r"(wgmma_fence|Fence\[product\]) removed, "
_AFTER = "role 2 in loop 1 after loop 1 #1"
_TURNED = "(hopper-)?(tf32|e4m3|e5m2|e4m3-e5m2|int8)-(NN|TN|TT)"  # operands are transposed
_MANY = "(persistent|dynamic|stream-k)"  # tiles for each block


def _on_sm90() -> Iterator[Equivalent]:
    """Places are named by launch, role and loop (`places.py`): role 1 copies, role 2 computes."""
    row = _sm90
    yield row(".*", "guard", r"guard 'if \(warp >= \d+\)' dropped, (launch 2|at the start) #1", _LAST_ROLE)
    sends, start = "ring-of-4|exchange-of-2", "removed, at the start #1"
    yield row(
        sends, "fence_mbarrier_init|Fence", rf"(fence_mbarrier_init|Fence\[barrier_init\]) {start}", _FENCED_ANYWAY
    )
    yield row(sends, "cluster_sync|ClusterBarrier", rf"(cluster_sync|ClusterBarrier) {start}", _MEET_FIRST)
    last = r"(cluster_sync|ClusterBarrier) removed, after loop 1 #1"
    yield row("exchange-of-2", "cluster_sync|ClusterBarrier", last, _MEET_LAST)
    yield row("exchange-of-2", "bulk_copy_cluster", "bulk_copy_cluster told elsewhere, in loop 1 #1", _ONE_EACH)
    yield row(".*", "setmaxnreg_inc|SetRegisters", r"(setmaxnreg_inc|SetRegisters) removed, .*role 2 #1", _REGISTERS)
    # The products of a loop: into the same sums as the one before, or of what was computed before that.
    fence, arrive = "wgmma_fence|Fence", "mbarrier_arrive(_ranks)?|Arrive|guard"
    drained = rf"1-stages|block-sparse|hopper-scaled|warp-specialized|{_TURNED}"  # each product is waited for
    drained += "|producers-dequantised-consumer"
    own = rf"(?!gemm-({drained}|hopper-{_MANY}|grouped-persistent|cluster-persistent))"
    yield row(f"{own}(gemm|block-sparse-list)-.*", fence, rf"{_FENCE}role 2 in loop \d #1", _FENCED)
    yield row(f"gemm-hopper-{_MANY}.*", fence, rf"{_FENCE}role 2 in loop 1 (in loop 1 #1|#2)", _FENCED)
    yield row("gemm-grouped-persistent-(even|ragged)", fence, rf"{_FENCE}role 2( in loop 1){{3}} #1", _FENCED)
    yield row("gemm-grouped-persistent-one", fence, rf"{_FENCE}role 2( in loop 1){{2}} #1", _FENCED)
    yield row("gemm-cluster-persistent-.*", fence, rf"{_FENCE}role 2 in loop 1 in loop 1 #1", _FENCED)
    yield row("dependent-launch-.*", fence, rf"{_FENCE}launch 2 role 2 in loop 1 #1", _FENCED)
    beside = "role 2 (in loop [12]|after loop 1) #2"  # the product of the turn before
    yield row("attention-(?!backward|hopper-block-sparse-d64$).*", fence, rf"{_FENCE}{beside}", _FENCED)
    yield row("attention-backward-.*", fence, rf"{_FENCE}launch 2 role 2 in loop 1.* #(2|5|10)", _FENCED)
    yield row("mla-decode-.*", fence, rf"{_FENCE}role 2( in loop [12]| after loop 1)? #[23]", _FENCED)
    once = f"(gemm-(?!hopper-{_MANY}|grouped-persistent)|block-sparse-(?!copy)).*"
    yield row(once, arrive, rf"{_release('A_shared_B_shared')}, role 2 after loop \d #1", _UNAWAITED)
    yield row("gemm-hopper-persistent-128x64x320", arrive, rf"{_release('A_shared_B_shared')}, {_AFTER}", _UNAWAITED)
    release = _release("Y_shared_W_shared")
    yield row("dependent-launch-.*", arrive, rf"{release}, launch 2 role 2 after loop 1 #1", _UNAWAITED)
    ends = "role 2 after loop [12] #[12]"
    yield row("attention-(?!backward).*", arrive, rf"{_release('[KV]_shared')}, {ends}", _UNAWAITED)
    yield row("convolution-.*", fence, rf"{_FENCE}role 2 in loop 1 #1", _FENCED)
    yield row("convolution-.*", arrive, rf"{_release('data_shared_filter_shared')}, role 2 after loop 1 #1", _UNAWAITED)
    counted = r"('\((slot_5 == 1|next_2 == 0)\)'|Select '(slot_1 == 1|next == 0)') .*, role 2 in loop 1 #1"
    yield row("convolution-few-channels", "selection", counted, "of three turns, the slot after the second is 0")
    ends = "role 2 (after loop 1 #[12]|in loop 2 #1|after loop 2 #1)"
    yield row("mla-decode-.*", arrive, rf"{_release('K[Vr]_shared')}, {ends}", _UNAWAITED)
    wait, place = "mbarrier_wait|Await", "(launch 2 )?role 1( in loop 1)+ #1"
    yield row("attention-backward-.*", wait, rf".* (lse|dO|delta)_shared_empty removed, {place}", _EARLIER)
    yield row("mla-decode-.*", wait, rf".* Kr_shared_empty removed, {place}", _EARLIER)
    commit = "wgmma_commit|AsyncCommit"
    yield row("attention-backward-.*", commit, r".* removed, launch 2 role 2 in loop 1.* #(4|9)", _COMMITTED)
    yield row("mla-decode-.*", commit, r".* removed, role 2( in loop [12]| after loop 1)? #1", _COMMITTED)
    barrier = "barrier_named|Barrier"
    yield row("attention-backward-d64-136", barrier, r".* removed, launch 2 role 2 in loop 1 #1", _THROUGH_THE_RING)
    through = r".* removed, launch 2 role 2 in loop 1 in loop 2 #1"
    yield row("attention-backward-d128-causal-320", barrier, through, _THROUGH_THE_RING)
    counted = r".*(slot_4 == 0|'phase_2' not stepped).*, launch 2 role 2 in loop 1 after loop 1 #1"
    yield row("attention-backward-d64-136", "swizzle|counter", counted, _TWO_HEADS)
    yield from _padding_on_sm90()
    yield from _turned_on_sm90()
    yield from _stores_on_sm90()
    yield from _by_hand_on_sm90()
    yield from _one_role_on_sm90()
    yield from _producers_on_sm90()
    yield from _lists_on_sm90()


def _sm90(case: str, kind: str, what: str, reason: str) -> Equivalent:
    return Equivalent(f"({case})-sm_90a".replace("$)", "-sm_90a)"), kind, what, reason)


def _release(tiles: str) -> str:
    """The arrival that gives tiles back, and the choice of who makes it. Of an arrival more the interpreter knows."""
    arrival = rf"(mbarrier_arrive(_ranks)?|Arrive) {tiles}_empty"
    return rf"({arrival} (removed|twice|not at block \d)|guard .* of {arrival} dropped)"


def _padding_on_sm90() -> Iterator[Equivalent]:
    row, selection = _sm90, "selection"
    yield row("attention-backward-d64-136", selection, r".* < 136\)' .*, at the start #[12]", _PADDING)
    yield row("attention-backward-d64-136", selection, r".* < 17\)' .*, launch 2 role 2 in loop 1.* #1", _PADDING)
    yield row("gemm-odd", selection, r"'\(t1_1 < 45\)' .*, at the start #1", _PADDING)
    yield row("gemm-dynamic-.*", selection, r".* \+ t1_1\) < n\)\)' .*, at the start #1", _PADDING)
    yield row("decode-split-.*", selection, r".* < 4\)' .*, at the start #1", _PADDING)
    yield row("decode-split-1", "swizzle", r"swizzle by '(t\d+(_1)?\);|at_[124]\) \* 16\)\);)' .*", _ONE_ROW)
    yield row("decode-split-1", "cp_async_(commit|wait)", r"cp_async_(commit .*#[56]|wait .*#3)", _ONE_ROW)
    turned = r"Binary '(t1( >> 1)? \^ t(8|16)|t32 \* 4 \+ t16 \^ t1|k \* 2 \^ at_1)' .*"
    yield row("decode-split-1", "swizzle", turned, _ONE_ROW)
    yield row("decode-split-1", "AsyncCommit|AsyncWait", r"Async(Commit.* #[56]|Wait.* #3)", _ONE_ROW)
    yield row("decode-split-1", "version", r"'[KV]_shared' .*", _ONE_ROW)


def _turned_on_sm90() -> Iterator[Equivalent]:
    """Operands that one warpgroup transposes before its product."""
    row, turned = _sm90, f"gemm-{_TURNED}"
    yield row(turned, "barrier_named", r"barrier_named removed, role 2 in loop 1 #1", _ONE_WARPGROUP)
    yield row(turned, "mbarrier_arrive|Arrive|guard", rf"{_release('[AB]_shared')}, role 2 after loop 1 #1", _UNAWAITED)
    yield row("gemm-.*-NN", "mbarrier_wait|Await", r".* B_shared_empty removed, role 1 in loop 1 #1", _EARLIER)
    yield row(
        "gemm-.*-TN",
        "fence_proxy_async|Fence",
        r"(fence_proxy_async|Fence\[async_proxy\]) removed, role 2 in loop 1 #1",
        _FENCES,
    )


def _stores_on_sm90() -> Iterator[Equivalent]:
    """Tiles that the copy engine stores."""
    row, barrier = _sm90, "barrier_named|Barrier"
    wait, read = r"(bulk_wait (removed|lets|as)|AsyncWait\[store\]).*, ", r"(bulk_wait_read|AsyncWait\[store\]).*, "
    many = f"gemm-hopper-({_MANY})-(?!short).*|gemm-grouped-persistent-one|gemm-cluster-persistent-.*"
    yield row(many, "bulk_wait|AsyncWait", rf"{wait}role 2 in loop 1 after loop 1 #[12]", _TILES)
    short = r"(bulk_wait .*, role 2 in loop 1 #1|AsyncWait\[store\] (for .*#1|(removed|lets).*role 2 in loop 1 #2))"
    yield row("gemm-hopper-persistent-short-.*", "bulk_wait|AsyncWait", short, _TILES)
    yield row("gemm-grouped-persistent-(even|ragged)", "bulk_wait", rf"{wait}role 2( in loop 1){{2}} after.*", _TILES)
    yield row(
        "gemm-grouped-persistent-(even|ragged)", barrier, r".* role 2 in loop 1( in loop 1 after loop 1 #3| #1)", _TILES
    )
    yield row("gemm-grouped-persistent-(ragged|one)", "bulk_wait_read", r".*, role 2 after loop 1 #1", _STORED)
    yield row("gemm-grouped-persistent-one", barrier, r".* role 2 in loop 1 after loop 1 #3", _TILES)
    yield row(
        "gemm-grouped-persistent-.*", "fence_proxy_async_global|Fence", r".*async(_proxy)?_global.* removed.*", _TILES
    )
    yield row("gemm-hopper-stream-k-.*", barrier, rf".* {_AFTER}", _TILES)
    single = "gemm-hopper-persistent-128x64x320"
    yield row(single, f"bulk_wait_read|AsyncWait|{barrier}", rf"({read}|barrier.*){_AFTER}", _ONE_TILE)
    single = "gemm-hopper-stream-k-200x72x200"
    yield row(single, f"bulk_wait_read|AsyncWait|{barrier}", rf"({read}{_AFTER}|barrier.*after loop 1 #2)", _ONE_TILE)
    yield row(single, "selection", rf".*slot_5 == 1.*{_AFTER}", "each tile takes an even number of turns")
    some = r"guard 'if .* of mbarrier_wait A_shared_B_shared_full dropped, role 2 in loop 1 #1"
    yield row("gemm-hopper-(stream-k|dynamic)-.*", "guard", some, _SOME_TURNS)
    yield row(
        "gemm-hopper-stream-k-600x64x168", "guard", r".*< 600.* launch 2 after loop 1 #1", "the ragged tile is whole"
    )
    yield row("gemm-split-k-60x100x200", "predicate", r".* < 25' says, role 2 #1", _INSIDE)


def _by_hand_on_sm90() -> Iterator[Equivalent]:
    """Roles that are written by hand, and kernels without roles."""
    row, fence = _sm90, r"(fence_proxy_async|Fence\[async_proxy\]) removed, "
    threads = "gemm-(warp-specialized-(barrierpipe_threads|copy_gemm_0_1)|odd|dynamic|producers-(words|dynamic)).*"
    yield row(threads, "fence_mbarrier_init|Fence", r"(fence_mbarrier|Fence\[barrier_init\]).*", _ONLY_THREADS)
    meeting = "gemm-warp-specialized-copy_gemm_0_1.*"
    yield row(meeting, "barrier_named|Barrier", r".* removed, role [12] in loop 1 #1", _MEETING)
    yield row(meeting, "fence_proxy_async|Fence", rf"{fence}role [12] in loop 1 #1", _FENCES)
    yield row("gemm-warp-specialized-copy_gemm_0_1-136.*", "guard", r"guard .*by < 1.*, role 2 in loop 1 #1", _INSIDE)
    alone = "gemm-odd|gemm-dynamic-.*|block-sparse-list-.*-one-role"
    yield row(alone, "fence_proxy_async|Fence", rf"{fence}in loop 1 #[12]", _FENCES)


def _one_role_on_sm90() -> Iterator[Equivalent]:
    """All threads copy and multiply, so they meet in each turn."""
    row, barrier, arrive = _sm90, "barrier|Barrier", "mbarrier_arrive|Arrive|guard"
    alone = "decode-split-.*|gemm-hopper-one-role-([23]-stages|persistent)|block-sparse-.*-one-role"
    yield row(alone, barrier, r"(b|B)arrier removed, at the start #1", _LATER)
    single = "gemm-hopper-one-role-.*"
    yield row(single, barrier, r"(b|B)arrier removed, in loop 1( in loop 1)? #1", _ONE_WARPGROUP)
    single = "attention-hopper-one-role-.*"
    yield row(single, barrier, r"(b|B)arrier removed, (in loop [12]|after loop 1) #[12]", _ONE_WARPGROUP)
    yield row(
        "attention-hopper-one-role-.*causal",
        "guard",
        r"guard 'if \(k < .*' dropped, in loop 1 #[12]",
        _DIAGONAL_FOLLOWS,
    )
    yield row("gemm-hopper-one-role-persistent", "bulk_wait", r".*, in loop 1 after loop 1 #1", _TILES)
    part = "role 2 in loop 2 #1"  # of the block of keys that is not whole
    yield row("attention-hopper-packed-d128", arrive, rf"{_release('[KV]_shared')}, {part}", _UNAWAITED)
    counted = rf".*('(slot|phase)_[67]' not|slot_[89] == 0).*, {part}"
    yield row("attention-hopper-packed-d128", "swizzle|selection|counter", counted, _ONE_PART)
    second = r".* [KV]_shared_full (removed|counts an arrival more), at the start #2"
    yield row("decode-split-1", "mbarrier_init|InitBarrier", second, _ONE_TURN)


def _producers_on_sm90() -> Iterator[Equivalent]:
    """Threads that copy beside the copy engine, or convert what it brings."""
    row, selection = _sm90, "selection"
    some = r"(guard 'if .* of mbarrier_wait A_shared_B_shared_full dropped|If '0 < .*' taken as true), role 2 #1"
    yield row("gemm-producers-dynamic-.*", "guard", some, _SOME_TURNS)
    yield row("gemm-producers-gathered-128x64x384", "predicate", r"copy whatever .*Rows.*", _LISTED)
    columns = r"'\(\(\(bx \* 16\) \+ t1\) < 18\)' .*"
    yield row("gemm-producers-dequantised-.*-200x144x328", selection, columns, _PADDING)
    yield row("gemm-producers-dequantised-producer-200x144x328", selection, r".* < 41\) && .*", _ZEROES)
    consumer = "gemm-producers-dequantised-consumer-.*"
    yield row(consumer, "mbarrier_wait|Await", r".* W_shared_empty removed, role 1 in loop 1 #1", _EARLIER)
    arrive = "mbarrier_arrive|Arrive|guard"
    yield row(consumer, arrive, rf"{_release('A_shared')}, role 2 after loop 1 #1", _UNAWAITED)
    bias = r"'\(\(\(bx \* 8\) \+ r\) < 9\)' .*, launch 2 role 2 #1"
    yield row("dependent-launch-80x72x264", selection, bias, _PADDING)


def _lists_on_sm90() -> Iterator[Equivalent]:
    """What lists, starts and masks say."""
    row, guard = _sm90, "guard"
    yield row("gemm-grouped-.*", guard, r"guard 'if \(\(\(-1ll\).*", _LISTED)
    yield row("gemm-grouped-(even|ragged|one)", "selection", r".*\(-1\) <.*group_1.*, role 2 after loop \d #1", _LISTED)
    whole = r"guard 'if .*(<= end_2|< \(tds::i64\)end_2|end_1 - .*127ll|< \(tds::i64\)end_1\)).*"
    yield row("gemm-grouped-(persistent-)?(even|one)", guard, whole, _FULL)
    yield row("gemm-grouped-(persistent-)?even", "swizzle", r"swizzle by 't1\);' dropped, role 2 #1", _FULL)
    counted = r"'(group|tiles|before)(_1)?' not stepped, role [12]( after loop 1)? #1"
    yield row("gemm-grouped-(persistent-)?one", "counter", counted, _ONE_GROUP)
    yield row(
        "block-sparse-list-.*|attention-hopper-.*-listed", "selection", r"'\(n(_1)? < \d(ll)?\)' always.*", _LISTED
    )
    yield row("attention-hopper-.*-listed", "selection", r".* - 1\) < .*, role 2 in loop 1 #1", _DIAGONAL)
    yield row("block-sparse-list-.*-one-role", "selection|predicate", r".*\(-1ll\) <.*, at the start #1", _LISTED)
    yield row("block-sparse-copy-.*-one-role", "predicate", r".*\(-1ll\) <.*, in loop 1 #1", _LISTED)
    ahead = r"guard .*(\* 5\)\)\)' dropped, at the start|\(k \+ 1\)\)\)\)' dropped, in loop 1) #1"
    yield row("block-sparse-mask-one-role", guard, ahead, _LOADED)
    ahead = r"guard 'if \(tds::load\(Blocks( \+ (\(n \+ 1\)|6))?\) >= 0\)' dropped.*"
    yield row("block-sparse-copy-.*-one-role", guard, ahead, _LOADED)
    yield row("block-sparse-mask-one-role", "predicate", r".* < 9' says, at the start #1", _INSIDE)
    causal = "attention-hopper-(d64-causal-window-200x200|d128-causal-150x150|d256-causal-130x130|packed-d64-causal)"
    yield row(causal, guard, r"guard 'if .*\(bx \* [48]\).*k_2.* dropped, role 2 in loop 1 #1", _MASKS)
    yield row(
        "attention-hopper-packed-d128", guard, r"guard 'if .*length_1 (< 32|- .*64ll).*dropped, role 2.* #1", _MASKS
    )
    yield row("attention-hopper-packed-.*", guard, r"guard 'if \(0 < .*of mbarrier_wait K_shared_full.*", _SOME_TURNS)
    yield row("attention-hopper-packed-.*", guard, r"guard 'if \(\(\(-1ll\).*", _LISTED)


EQUIVALENT = (
    Equivalent(
        r"(softmax|rms-norm|attention|decode|gemm-odd|gemm-dynamic)(?!.*-sm_90a).*",
        *("selection", r".*'.* < [^']*' .*taken as true.*", _PADDING),
    ),
    Equivalent(r"gemm-(ragged|constant-style)", "predicate|selection", r".*", _INSIDE),
    Equivalent(r"gemm-split-k-60x100x200", "predicate", r".* < 25' says, at the start #1", _INSIDE),
    Equivalent(r"gemm-odd", "guard", r".*\bk < 4\b.*", _UNUSED),
    Equivalent(r"gemm-dynamic.*", "guard", r".*(if \(|')(0|ko) < .*", _UNUSED),
    Equivalent(r"gemm-block-sparse", "guard", r".*Mask.*", f"{_UNUSED}; the product of the tile keeps its guard"),
    Equivalent(r"attention-d.*-causal.*", "guard", r".*(if \(|')[01] < .*", _UNUSED),
    Equivalent(
        r"decode-split-(128|100)(-sm_90a)?",
        "selection",
        r".*total\[.* > 0.*",
        "no split is empty; decode-split-1 has one",
    ),
    Equivalent(
        r"decode-split-1(-sm_90a)?", "selection", r".*total\[.* > 0.* #2", "log2(0) is the -inf that is selected"
    ),
    Equivalent(
        r"decode-split-1",
        "swizzle|cp_async_(commit|wait)|AsyncCommit|AsyncWait|counter|version",
        ".*",
        _ONE_ROW,
    ),
    Equivalent(r"reduce-(sum|max)-dim0-accumulate", "barrier|Barrier", r".*", _WORKSPACE),
    Equivalent(r"reduce-(sum|max)-dim1-accumulate", "Barrier", r".*", _ONE_WARP),
    *_on_sm90(),
)


def reason(case: str, kind: str, what: str) -> str | None:
    """Why such a fault cannot be seen; None if it must be caught."""
    return next((e.reason for e in EQUIVALENT if e.covers(case, kind, what)), None)
