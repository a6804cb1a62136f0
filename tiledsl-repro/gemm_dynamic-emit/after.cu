TDS_KERNEL(128, 1) gemm_dynamic(const tds::f16* TDS_RESTRICT A, const tds::f16* TDS_RESTRICT B, tds::f16* TDS_RESTRICT C, tds::i32 m, tds::i32 k, tds::i32 n) {
  const tds::u32 shared = tds::shared_base();
  const tds::i32 bx = tds::block_x();
  const tds::i32 by = tds::block_y();
  const tds::i32 thread = tds::thread_index();
  const tds::i32 t1 = thread & 31;
  const tds::i32 t32 = thread >> 5;
  const tds::i32 t1_1 = thread & 63;
  const tds::i32 t64 = thread >> 6;
  const tds::i32 t1_2 = thread & 7;
  const tds::i32 t8 = (thread >> 3) & 1;
  const tds::i32 t16 = (thread >> 4) & 1;
  const tds::i32 t32_1 = (thread >> 5) & 1;
  const tds::i32 at = (((t32_1 * 128) + (t8 * 32)) + (t1_2 * 4)) + ((t1_2 >> 1) ^ t16);
  const tds::i32 at_1 = ((t8 * 64) + (t1_2 * 8)) + (((t64 * 4) + t16) ^ t1_2);
  const tds::i32 t1_3 = thread & 3;
  const tds::i32 t4 = (thread >> 2) & 7;
#line 68 "/work/main/examples/gemm.py"
  const tds::u32 A_shared = shared;
  const tds::u32 B_shared = shared + 8192u;
  TDS_LOCAL(float, C_local, 32);
  TDS_UNROLL
  for (tds::i32 r = 0; r < 32; ++r) {
#line 71
    C_local[r] = 0.0f;
  }
  if (0 < (tds::i32)(((tds::i64)k + 31ll) >> 5ll)) {
#line 73
    TDS_UNROLL
    for (tds::i32 r_1 = 0; r_1 < 16; ++r_1) {
#line 73
      tds::store_shared<tds::f16>(A_shared + (tds::u32)(((((r_1 * 128) + (t32 * 32)) + t1) ^ (((r_1 & 1) * 16) + ((t32 >> 1) * 8))) * 2), (((((by * 64) + (r_1 * 4)) + t32) < m) && (t1 < k)) ? tds::load(A + (((tds::i64)(((by * 64) + (r_1 * 4)) + t32) * (tds::i64)k) + (tds::i64)t1)) : tds::f16{0x0});
    }
#line 74
    TDS_UNROLL
    for (tds::i32 r_2 = 0; r_2 < 16; ++r_2) {
#line 74
      tds::store_shared<tds::f16>(B_shared + (tds::u32)(((((r_2 * 128) + (t64 * 64)) + t1_1) ^ (((r_2 & 3) * 16) + (t64 * 8))) * 2), ((((r_2 * 2) + t64) < k) && (((bx * 64) + t1_1) < n)) ? tds::load(B + (((tds::i64)((r_2 * 2) + t64) * (tds::i64)n) + (tds::i64)((bx * 64) + t1_1))) : tds::f16{0x0});
    }
  }
  tds::i32 slot = 1;
  tds::i32 slot_1 = 0;
#line 72
  TDS_UNROLL_BY(1)
  for (tds::i32 ko = 0; ko < (tds::i32)(((tds::i64)k + 31ll) >> 5ll); ++ko) {
    const tds::i32 slot_2 = slot;
    const tds::i32 slot_3 = slot_1;
#line 73
    tds::barrier();
#line 73
    if (ko < ((tds::i32)(((tds::i64)k + 31ll) >> 5ll) - 1)) {
#line 73
      TDS_UNROLL
      for (tds::i32 r_3 = 0; r_3 < 16; ++r_3) {
#line 73
        tds::store_shared<tds::f16>(A_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_2 * (tds::u32)4096) + (tds::u32)(((((r_3 * 128) + (t32 * 32)) + t1) ^ (((r_3 & 1) * 16) + ((t32 >> 1) * 8))) * 2)), (((((by * 64) + (r_3 * 4)) + t32) < m) && (((ko * 32) + t1) < (k - 32))) ? tds::load(A + (((tds::i64)(((by * 64) + (r_3 * 4)) + t32) * (tds::i64)k) + ((tds::i64)((ko * 32) + t1) + 32ll))) : tds::f16{0x0});
      }
#line 74
      TDS_UNROLL
      for (tds::i32 r_4 = 0; r_4 < 16; ++r_4) {
#line 74
        tds::store_shared<tds::f16>(B_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_2 * (tds::u32)4096) + (tds::u32)(((((r_4 * 128) + (t64 * 64)) + t1_1) ^ (((r_4 & 3) * 16) + (t64 * 8))) * 2)), (((((ko * 32) + (r_4 * 2)) + t64) < (k - 32)) && (((bx * 64) + t1_1) < n)) ? tds::load(B + ((((tds::i64)(((ko * 32) + (r_4 * 2)) + t64) + 32ll) * (tds::i64)n) + (tds::i64)((bx * 64) + t1_1))) : tds::f16{0x0});
      }
    }
#line 75
    TDS_UNROLL
    for (tds::i32 k_1 = 0; k_1 < 2; ++k_1) {
#line 75
      TDS_LOCAL(tds::f16, a_regs, 16);
#line 75
      TDS_LOCAL(tds::f16, b_regs, 16);
#line 75
      TDS_UNROLL
      for (tds::i32 r_5 = 0; r_5 < 2; ++r_5) {
#line 75
        tds::ldmatrix_x4(&a_regs[r_5 * 8], A_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_3 * (tds::u32)4096) + (tds::u32)((r_5 * 1024) + (((k_1 * 2) ^ at) * 16))));
      }
#line 75
      TDS_UNROLL
      for (tds::i32 r_6 = 0; r_6 < 2; ++r_6) {
#line 75
        tds::ldmatrix_x4_trans(&b_regs[r_6 * 8], B_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_3 * (tds::u32)4096) + (tds::u32)((k_1 * 2048) + (((r_6 * 2) ^ at_1) * 16))));
      }
#line 75
      TDS_UNROLL
      for (tds::i32 i = 0; i < 2; ++i) {
#line 75
        TDS_UNROLL
        for (tds::i32 j = 0; j < 4; ++j) {
#line 75
          tds::mma_m16n8k16_f32_f16(&C_local[(i * 16) + (j * 4)], &a_regs[i * 8], &b_regs[j * 4]);
        }
      }
    }
    slot = slot_3;
    slot_1 = slot_2;
  }
#line 76
  TDS_UNROLL
  for (tds::i32 r_7 = 0; r_7 < 2; ++r_7) {
#line 76
    TDS_UNROLL
    for (tds::i32 r_8 = 0; r_8 < 4; ++r_8) {
#line 76
      TDS_UNROLL
      for (tds::i32 r_9 = 0; r_9 < 2; ++r_9) {
#line 76
        TDS_UNROLL
        for (tds::i32 v = 0; v < 2; ++v) {
#line 76
          if (((((((by * 64) + (t32_1 * 32)) + (r_7 * 16)) + (r_9 * 8)) + t4) < m) && ((((((bx * 64) + (t64 * 32)) + (r_8 * 8)) + (t1_3 * 2)) + v) < n)) {
#line 76
            tds::store(C + (((tds::i64)(((((by * 64) + (t32_1 * 32)) + (r_7 * 16)) + (r_9 * 8)) + t4) * (tds::i64)n) + (tds::i64)(((bx * 64) + (t64 * 32)) + (t1_3 * 2))) + ((r_8 * 8) + v), tds::f32_to_f16(C_local[(((r_7 * 16) + (r_8 * 4)) + (r_9 * 2)) + v]));
          }
        }
      }
    }
  }
}
TDS_EXPORT(gemm_dynamic)
