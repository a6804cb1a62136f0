"""Seeded bugs in what is lowered to the tensor cores and the copy engine of sm_90a."""

from __future__ import annotations

from bug import Bug

TURNED = "transposed_operands_change_no_product"

FENCES = (
    Bug(
        "fences do not see what a matrix store writes",
        "passes.insert_fences:_Planner.written",
        "if kind is not AccessKind.READ)",
        "if kind is not AccessKind.READ and not isinstance(s, AtomCall))",
        "verify_fences",
    ),
    Bug(
        "no fence for what the next iteration publishes",
        "passes.insert_fences:_Planner.loop",
        "end = {**self.block(s.body, path, dirty, around), **self.left[-1]}",
        "end = dirty if self.block(s.body, path, dirty, around) else {}",
        "verify_fences",
    ),
    Bug(
        "only the copy engine needs fences",
        "passes.insert_fences:_Planner.asynchronously",
        'if queue_of(s) == "product":',
        "if False:",
        "verify_fences",
    ),
    Bug(
        "a fence of shared memory counts for tensors too",
        "passes.insert_fences:_Planner.publish",
        "fenced = {p.buffer.space for p in why}",
        "fenced = {b.space for b in dirty}",
        "verify_fences_of_tensors",
    ),
    Bug(
        "tensors that threads wrote are copied without a fence",
        "passes.insert_fences:_Planner.statement",
        "dirty = self.publish(path, dirty, own, KINDS)",
        "dirty = self.publish(path, dirty, own)",
        "verify_fences_of_tensors",
    ),
)
OPERANDS = (
    Bug(
        "a transposed operand is still read as before",
        "passes.transpose_operands:_Turned.product",
        'made = replace(made, b=_whole(tiles["b"]), transpose_b=True)',
        'made = replace(made, b=_whole(tiles["b"]))',
        TURNED,
    ),
    Bug(
        "another version is transposed",
        "passes.transpose_operands:_Turned.product",
        "Transpose(_operand(gemm, name), _whole(tile), span=gemm.span)",
        "Transpose(replace(_operand(gemm, name), version=_operand(gemm, name).version and Const(0)), _whole(tile))",
        TURNED,
    ),
)
TENSOR_CORES = (
    Bug(
        "warpgroups begin one instruction apart",
        "passes.lower_tiles.wgmma:_operand_a",
        "group * rows + at.i * M",
        "group * M + at.i * M",
        "warpgroup_products_are_those_of_the_tile_stage",
        60,
    ),
    Bug(
        "repeats along n read the same columns",
        "passes.lower_tiles.wgmma:_operand_b",
        "group * columns + at.j * (columns // plan.repeats[1])",
        "group * (columns // plan.repeats[1])",
        "warpgroup_products_are_those_of_the_tile_stage",
        60,
    ),
    Bug(
        "a product that clears adds",
        "passes.lower_tiles.wgmma:lower_wgmma",
        "lt(0, at.step) if plan.k_steps > 1 else FALSE",
        "TRUE",
        "warpgroup_products_are_those_of_the_tile_stage",
    ),
    Bug(
        "a product that clears keeps only its last step",
        "passes.lower_tiles.wgmma:lower_wgmma",
        "lt(0, at.step) if plan.k_steps > 1 else FALSE",
        "FALSE",
        "warpgroup_products_are_those_of_the_tile_stage",
    ),
    Bug(
        "the majors of a and b are exchanged",
        "passes.lower_tiles.wgmma:_majors",
        "for p in (plan.a, plan.b)",
        "for p in (plan.b, plan.a)",
        "warpgroup_products_are_those_of_the_tile_stage",
        60,
    ),
    Bug(
        "a descriptor names the first version",
        "passes.lower_tiles.wgmma:_descriptor",
        "region.version)",
        "None if region.version is None else Const(0))",
        "warpgroup_products_are_those_of_the_tile_stage",
    ),
    Bug(
        "steps of a held operand lie one instruction apart",
        "passes.lower_tiles.wgmma:_held",
        "at.step * (plan.repeats[0] * each)",
        "at.step * each",
        "warpgroup_products_are_those_of_the_tile_stage",
        60,
    ),
    Bug(
        "leading and stride of a descriptor are exchanged",
        "analysis.descriptors:describe",
        "return Matrix(k_major, across, down, swizzle)",
        "return Matrix(k_major, down, across, swizzle)",
        "descriptors_name_the_bytes_of_the_layout",
    ),
    Bug(
        "without a swizzle the major does not matter",
        "analysis.descriptors:describe",
        "if swizzle == 0 and not k_major:",
        "if False:",
        "descriptors_name_the_bytes_of_the_layout",
    ),
    Bug(
        "boxes across panels",
        "analysis.tensor_boxes:_run",
        "n = gcd(extent, moving[-1].extent, start)",
        "pass",
        "boxes_put_each_element_where_the_layout_has_it",
    ),
    Bug(
        "boxes shorter than their swizzle",
        "analysis.tensor_boxes:_inner",
        "if swizzle and inner != swizzle:",
        "if False:",
        "tiles_go_through_shared_memory_by_the_copy_engine",
    ),
    Bug(
        "boxes anywhere in shared memory",
        "analysis.tensor_boxes:_aligned",
        "if step * bits // 8 % ALIGNMENT:",
        "if False:",
        "boxes_put_each_element_where_the_layout_has_it",
    ),
    Bug(
        "all boxes go to the first one's place",
        "passes.lower_tiles.copy_engine:_boxes",
        "_address(ctx, tile, steps), _corner",
        "_address(ctx, tile, None), _corner",
        "tiles_go_through_shared_memory_by_the_copy_engine",
    ),
    Bug(
        "one run of bytes leaves the tensor",
        "passes.lower_tiles.copy_engine:_inside",
        "if not isinstance(whole, int) or low < 0 or high + extent > whole:",
        "if not isinstance(whole, int):",
        "tiles_go_through_shared_memory_by_the_copy_engine",
        200,
    ),
    Bug(
        "one run of bytes for rows that lie apart",
        "passes.lower_tiles.copy_engine:_is_run",
        "return all(n == whole for",
        "return True or all(n == whole for",
        "tiles_go_through_shared_memory_by_the_copy_engine",
        60,
    ),
)
