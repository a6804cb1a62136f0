// C = A @ B on sm_90a: one warpgroup loads tiles, two multiply them, 64 x 128 of C each.
//
// A is (M, K), its tiles K-major; B is (K, N), its tiles contiguous along n. Both lie in shared memory with the 128-byte
// swizzle, in STAGES versions; `full` says that a version has arrived, `empty` that it may be overwritten. The sums leave
// through shared memory. With PERSISTENT each block computes several tiles, and phases run on from tile to tile.
constexpr int BLOCK_M = 128, BLOCK_N = 128, BLOCK_K = 64, STAGES = 3;
constexpr int A_BYTES = BLOCK_M * BLOCK_K * 2, B_BYTES = BLOCK_K * BLOCK_N * 2;
constexpr int STAGE_BYTES = A_BYTES + B_BYTES;
constexpr int A_AT = 0, B_AT = STAGES * A_BYTES, C_AT = STAGES * STAGE_BYTES, BARRIERS_AT = C_AT + BLOCK_M * BLOCK_N * 2;

TDS_KERNEL(384, 1) gemm(TDS_TENSOR_MAP a, TDS_TENSOR_MAP b, TDS_TENSOR_MAP c, int steps, int tiles_n, int tiles) {
  const tds::u32 shared = tds::shared_base();
  const tds::u32 full = shared + BARRIERS_AT, empty = full + 8 * STAGES;
  const int thread = tds::thread_index();
  const int role = thread / 128;
  if (thread == 0) {
    tds::tma_prefetch(a);
    tds::tma_prefetch(b);
    for (int s = 0; s < STAGES; ++s) {
      tds::mbarrier_init(full + 8 * s, 1);
      tds::mbarrier_init(empty + 8 * s, 2);
    }
    tds::fence_mbarrier_init();
  }
  tds::barrier();
  if (role == 0) {
    tds::setmaxnreg_dec<24>();
    if (thread == 0) {
      int step = 0;
      for (int tile = tds::block_x(); tile < tiles; tile += GRID) {
        const int m = tile / tiles_n * BLOCK_M, n = tile % tiles_n * BLOCK_N;
        for (int k = 0; k < steps; ++k, ++step) {
          const int s = step % STAGES, phase = step / STAGES;
          tds::mbarrier_wait(empty + 8 * s, (phase & 1) ^ 1);
          tds::mbarrier_arrive_expect_tx(full + 8 * s, STAGE_BYTES);
          tds::tma_load(shared + A_AT + s * A_BYTES, a, full + 8 * s, k * BLOCK_K, m);
          tds::tma_load(shared + B_AT + s * B_BYTES, b, full + 8 * s, n, k * BLOCK_K);
          tds::tma_load(shared + B_AT + s * B_BYTES + B_BYTES / 2, b, full + 8 * s, n + 64, k * BLOCK_K);
        }
      }
    }
  } else {
    tds::setmaxnreg_inc<240>();
    const int group = role - 1, warp = thread / 32 % 4, lane = thread % 32;
    const tds::u32 c_at = shared + C_AT + group * (64 * BLOCK_N * 2);
    TDS_LOCAL(float, sums, 64);
    int step = 0;
    for (int tile = tds::block_x(); tile < tiles; tile += GRID) {
      const int m = tile / tiles_n * BLOCK_M, n = tile % tiles_n * BLOCK_N;
      for (int k = 0; k < steps; ++k, ++step) {
        const int s = step % STAGES, phase = step / STAGES;
        tds::mbarrier_wait(full + 8 * s, phase & 1);
        tds::wgmma_hold<64>(tds::view<float>(sums));
        tds::wgmma_fence();
        TDS_UNROLL
        for (int i = 0; i < BLOCK_K / 16; ++i) {
          const tds::u64 a_at = tds::wgmma_descriptor(shared + A_AT + s * A_BYTES + group * 8192 + i * 32, 16, 1024, 1, 0);
          const tds::u64 b_at = tds::wgmma_descriptor(shared + B_AT + s * B_BYTES + i * 2048, 8192, 1024, 1, 0);
          tds::wgmma_m64n128k16_f32_f16_ss<1, 1, 0, 1>(tds::view<float>(sums), a_at, b_at, k + i > 0);
        }
        tds::wgmma_commit();
        tds::wgmma_wait<0>();
        tds::wgmma_hold<64>(tds::view<float>(sums));
        if (thread % 128 == 0) tds::mbarrier_arrive(empty + 8 * s);
      }
      if (thread % 128 == 0) tds::bulk_wait_read<0>();
      tds::barrier_named(1 + group, 128);
      TDS_UNROLL
      for (int j = 0; j < 8; ++j) {
        TDS_LOCAL(tds::f16, halves, 8);
        TDS_UNROLL
        for (int i = 0; i < 8; i += 2) tds::f32_to_f16_pair(tds::view<tds::f16>(halves) + i, sums[8 * j + i], sums[8 * j + i + 1]);
        const int row = warp * 16 + lane % 16, unit = j % 4 * 2 + lane / 16;
        tds::stmatrix_x4(c_at + j / 4 * 8192 + row * 128 + ((unit ^ row % 8) << 4), tds::view<tds::f16>(halves));
      }
      tds::fence_proxy_async();
      tds::barrier_named(1 + group, 128);
      if (thread % 128 == 0) {
        tds::tma_store(c, c_at, n, m + group * 64);
        tds::tma_store(c, c_at + 8192, n + 64, m + group * 64);
        tds::bulk_commit();
      }
    }
    if (thread % 128 == 0) tds::bulk_wait_read<0>();
  }
}
TDS_EXPORT(gemm)
