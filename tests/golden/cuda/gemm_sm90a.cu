TDS_KERNEL(384, 1) gemm(TDS_TENSOR_MAP A_map, TDS_TENSOR_MAP B_map, TDS_TENSOR_MAP C_map) {
  const tds::u32 shared = tds::shared_base();
  const tds::i32 bx = tds::block_x();
  const tds::i32 by = tds::block_y();
  const tds::i32 t = tds::thread_index();
  if (tds::thread_index() == 0) { tds::tma_prefetch(A_map); tds::tma_prefetch(B_map); tds::tma_prefetch(C_map); }
  const int warp = tds::warp_uniform(tds::thread_index() / 32);
#line 10 "kernel.tir"
  const tds::u32 As = shared;
  const tds::u32 Bs = shared + 49152u;
  const tds::u32 Cs = shared + 98304u;
  const tds::u32 full = shared + 131072u;
  const tds::u32 empty = shared + 131104u;
  if (t == 0) {
    TDS_UNROLL
    for (tds::i32 s = 0; s < 3; ++s) {
#line 17
      tds::mbarrier_init(full + (tds::u32)(s * 8), 1);
      tds::mbarrier_init(empty + (tds::u32)(s * 8), 2);
    }
    tds::fence_mbarrier_init();
  }
  tds::barrier();
  if (warp < 4) {
    const tds::i32 p = t;
    tds::setmaxnreg_dec<40>();
    if (p == 0) {
      TDS_UNROLL_BY(1)
      for (tds::i32 k = 0; k < 5; ++k) {
#line 28
        tds::mbarrier_wait(empty + (tds::u32)(tds::floor_mod(k, 3) * 8), tds::floor_mod(tds::floor_div(k, 3) + 1, 2));
        tds::mbarrier_arrive_expect_tx(full + (tds::u32)(tds::floor_mod(k, 3) * 8), 32768);
        tds::tma_load(As + (tds::u32)(tds::floor_mod(k, 3) * 16384), A_map, full + (tds::u32)(tds::floor_mod(k, 3) * 8), k * 64, by * 128);
        TDS_UNROLL
        for (tds::i32 n = 0; n < 2; ++n) {
#line 32
          tds::tma_load(Bs + (tds::u32)((tds::floor_mod(k, 3) * 16384) + (n * 8192)), B_map, full + (tds::u32)(tds::floor_mod(k, 3) * 8), (bx * 128) + (n * 64), k * 64);
        }
      }
    }
  } else if (warp >= 4) {
    const tds::i32 c = t - 128;
    tds::setmaxnreg_inc<232>();
    const tds::i32 group = tds::warp_uniform(tds::floor_div(c, 128));
    TDS_LOCAL(float, acc, 64);
    TDS_UNROLL
    for (tds::i32 i = 0; i < 64; ++i) {
#line 42
      acc[i] = 0.0f;
    }
    TDS_UNROLL_BY(1)
    for (tds::i32 k_1 = 0; k_1 < 5; ++k_1) {
#line 45
      tds::mbarrier_wait(full + (tds::u32)(tds::floor_mod(k_1, 3) * 8), tds::floor_mod(tds::floor_div(k_1, 3), 2));
      tds::wgmma_hold<64>(tds::view<float>(acc));
      tds::wgmma_fence();
      TDS_UNROLL
      for (tds::i32 i_1 = 0; i_1 < 4; ++i_1) {
#line 49
        tds::wgmma_m64n128k16_f32_f16_ss<1, 1, 0, 1>(tds::view<float>(acc), tds::wgmma_descriptor_at<16, 1024, 1>(As, (tds::u32)((tds::floor_mod(k_1, 3) * 1024) + ((group * 512) + (i_1 * 2)))), tds::wgmma_descriptor_at<8192, 1024, 1>(Bs, (tds::u32)((tds::floor_mod(k_1, 3) * 1024) + (i_1 * 128))), true);
      }
      tds::wgmma_commit();
      tds::wgmma_wait<0>();
      tds::wgmma_hold<64>(tds::view<float>(acc));
      if (tds::floor_mod(c, 128) == 0) {
        tds::mbarrier_arrive(empty + (tds::u32)(tds::floor_mod(k_1, 3) * 8));
      }
    }
    TDS_UNROLL
    for (tds::i32 j = 0; j < 8; ++j) {
#line 59
      TDS_LOCAL(tds::f16, halves, 8);
      TDS_UNROLL
      for (tds::i32 i_2 = 0; i_2 < 4; ++i_2)
      tds::f32_to_f16_pair(&halves[i_2 * 2], acc[(j * 8) + (i_2 * 2)], acc[(j * 8) + ((i_2 * 2) + 1)]);
      const tds::i32 row = (tds::floor_mod(tds::floor_div(c, 32), 4) * 16) + tds::floor_mod(c, 16);
      const tds::i32 unit = (tds::floor_mod(j, 4) * 2) + tds::floor_div(tds::floor_mod(c, 32), 16);
      tds::stmatrix_x4(Cs + (tds::u32)((((group * 16384) + (tds::floor_div(j, 4) * 8192)) + (row * 128)) + (((unit ^ tds::floor_mod(row, 8)) << 3) * 2)), &halves[0ll]);
    }
    tds::fence_proxy_async();
    tds::barrier_named(2, 256);
    if (c == 0) {
      TDS_UNROLL
      for (tds::i32 g = 0; g < 2; ++g) {
#line 71
        TDS_UNROLL
        for (tds::i32 n_1 = 0; n_1 < 2; ++n_1) {
#line 72
          tds::tma_store(C_map, Cs + (tds::u32)((g * 16384) + (n_1 * 8192)), (bx * 128) + (n_1 * 64), (by * 128) + (g * 64));
        }
      }
    }
    tds::bulk_commit();
    tds::bulk_wait_read<0>();
  }
}
TDS_EXPORT(gemm)
