"""Mutable variables, while, break, continue, elif, loops with a start and a step."""

import tiledsl.language as T


def kernel(limit: T.int32, B: T.Tensor((8,), "int32")):
    with T.Kernel(1, threads=32):
        total = T.alloc_var("int32", 0)
        for i in range(10, 0, -3):  # 10, 7, 4, 1
            total += i
        B[0] = total
        steps = T.alloc_var("int32", init=0)
        while total > 1:
            steps = steps + 1
            if total % 2 == 0:
                total = total // 2
            elif total > 40:
                total = total - 1
                continue
            else:
                total = 3 * total + 1
            if steps >= 5:
                break
        B[1] = total
        B[2] = steps
        kind = T.alloc_var("int32", 7)
        if 2 < limit <= 5 and not limit == 4:
            kind = 1
        elif limit == 4 or limit > 100:
            kind = 2
        B[3] = kind
        B[4] = limit if limit < 3 else -limit
        x, y = 5, B[0]
        B[5], B[6] = y + x, B[0] - 1
        for k in T.serial(2, 8, 2):
            B[7] = k
