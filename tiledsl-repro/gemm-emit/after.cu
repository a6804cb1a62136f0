TDS_KERNEL(128, 1) gemm(const tds::f16* TDS_RESTRICT A, const tds::f16* TDS_RESTRICT B, tds::f16* TDS_RESTRICT C) {
  const tds::u32 shared = tds::shared_base();
  const tds::i32 bx = tds::block_x();
  const tds::i32 by = tds::block_y();
  const tds::i32 thread = tds::thread_index();
  const tds::i32 t1 = thread & 3;
  const tds::i32 t4 = thread >> 2;
  const tds::i32 at = (t4 * 4) + (((t4 >> 1) & 3) ^ t1);
  const tds::i32 t1_1 = thread & 15;
  const tds::i32 t16 = thread >> 4;
  const tds::i32 at_1 = (((t1_1 >> 3) * 256) + (t16 * 8)) + ((t1_1 & 7) ^ t16);
  const tds::i32 t1_2 = thread & 7;
  const tds::i32 t8 = (thread >> 3) & 1;
  const tds::i32 t16_1 = (thread >> 4) & 1;
  const tds::i32 t32 = (thread >> 5) & 1;
  const tds::i32 t64 = thread >> 6;
  const tds::i32 at_2 = (((t32 * 256) + (t8 * 32)) + (t1_2 * 4)) + ((t1_2 >> 1) ^ t16_1);
  const tds::i32 at_3 = (((t64 * 256) + (t8 * 64)) + (t1_2 * 8)) + (t1_2 ^ t16_1);
  const tds::i32 t4_1 = (thread >> 2) & 7;
#line 34 "/work/main/examples/gemm.py"
  const tds::u32 A_shared = shared;
  const tds::u32 B_shared = shared + 24576u;
  TDS_LOCAL(float, C_local, 128);
  TDS_UNROLL
  for (tds::i32 r = 0; r < 128; ++r) {
#line 37
    C_local[r] = 0.0f;
  }
#line 42
  TDS_UNROLL
  for (tds::i32 r_1 = 0; r_1 < 4; ++r_1) {
#line 42
    tds::cp_async_16(A_shared + (tds::u32)((r_1 * 2048) + (at * 16)), A + ((((by * 128) + t4) * 4096) + (t1 * 8)) + (r_1 * 131072), true);
  }
#line 46
  TDS_UNROLL
  for (tds::i32 r_2 = 0; r_2 < 4; ++r_2) {
#line 46
    tds::cp_async_16(B_shared + (tds::u32)((r_2 * 1024) + (at_1 * 16)), B + ((t16 * 4096) + ((bx * 128) + (t1_1 * 8))) + (r_2 * 32768), true);
  }
#line 46
  tds::cp_async_commit();
#line 42
  TDS_UNROLL
  for (tds::i32 r_3 = 0; r_3 < 4; ++r_3) {
#line 42
    tds::cp_async_16(A_shared + (tds::u32)(8192 + ((r_3 * 2048) + (at * 16))), A + ((((by * 128) + t4) * 4096) + ((t1 * 8) + 32)) + (r_3 * 131072), true);
  }
#line 46
  TDS_UNROLL
  for (tds::i32 r_4 = 0; r_4 < 4; ++r_4) {
#line 46
    tds::cp_async_16(B_shared + (tds::u32)(8192 + ((r_4 * 1024) + (at_1 * 16))), B + (((t16 + 32) * 4096) + ((bx * 128) + (t1_1 * 8))) + (r_4 * 32768), true);
  }
#line 46
  tds::cp_async_commit();
  tds::i32 slot = 2;
  tds::i32 slot_1 = 0;
#line 38
  TDS_UNROLL_BY(1)
  for (tds::i32 k = 0; k < 7; ++k) {
    const tds::i32 slot_2 = slot;
    const tds::i32 slot_3 = slot_1;
    tds::cp_async_wait<1>();
#line 42
    tds::barrier();
#line 42
    if (k < 5) {
#line 42
      TDS_UNROLL
      for (tds::i32 r_5 = 0; r_5 < 4; ++r_5) {
#line 42
        tds::cp_async_16(A_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_2 * (tds::u32)8192) + (tds::u32)((r_5 * 2048) + (at * 16))), A + ((((by * 128) + t4) * 4096) + (((k * 32) + (t1 * 8)) + 64)) + (r_5 * 131072), true);
      }
#line 46
      TDS_UNROLL
      for (tds::i32 r_6 = 0; r_6 < 4; ++r_6) {
#line 46
        tds::cp_async_16(B_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_2 * (tds::u32)8192) + (tds::u32)((r_6 * 1024) + (at_1 * 16))), B + (((((k * 32) + t16) + 64) * 4096) + ((bx * 128) + (t1_1 * 8))) + (r_6 * 32768), true);
      }
    }
#line 46
    tds::cp_async_commit();
    TDS_UNROLL
    for (tds::i32 k_1 = 0; k_1 < 2; ++k_1) {
#line 47
      TDS_LOCAL(tds::f16, a_regs, 32);
#line 47
      TDS_LOCAL(tds::f16, b_regs, 32);
#line 47
      TDS_UNROLL
      for (tds::i32 r_7 = 0; r_7 < 4; ++r_7) {
#line 47
        tds::ldmatrix_x4(&a_regs[r_7 * 8], A_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_3 * (tds::u32)8192) + (tds::u32)((r_7 * 1024) + (((k_1 * 2) ^ at_2) * 16))));
      }
#line 47
      TDS_UNROLL
      for (tds::i32 r_8 = 0; r_8 < 4; ++r_8) {
#line 47
        tds::ldmatrix_x4_trans(&b_regs[r_8 * 8], B_shared + (tds::u32)(tds::i32)((tds::u32)(tds::i32)((tds::u32)slot_3 * (tds::u32)8192) + (tds::u32)((k_1 * 2048) + (((r_8 * 2) ^ at_3) * 16))));
      }
#line 47
      TDS_UNROLL
      for (tds::i32 i = 0; i < 4; ++i) {
#line 47
        TDS_UNROLL
        for (tds::i32 j = 0; j < 8; ++j) {
#line 47
          tds::mma_m16n8k16_f32_f16(&C_local[(i * 32) + (j * 4)], &a_regs[i * 8], &b_regs[j * 4]);
        }
      }
    }
    slot = slot_3;
    slot_1 = (slot_3 == 2) ? 0 : (tds::i32)((tds::u32)slot_3 + (tds::u32)1);
  }
#line 56
  TDS_UNROLL
  for (tds::i32 r_9 = 0; r_9 < 4; ++r_9) {
#line 56
    TDS_UNROLL
    for (tds::i32 r_10 = 0; r_10 < 8; ++r_10) {
#line 56
      TDS_UNROLL
      for (tds::i32 r_11 = 0; r_11 < 2; ++r_11) {
#line 56
        TDS_LOCAL(tds::f16, C_1, 2);
#line 56
        tds::f32_to_f16_pair(&C_1[0], C_local[((r_9 * 32) + (r_10 * 4)) + (r_11 * 2)], C_local[(((r_9 * 32) + (r_10 * 4)) + (r_11 * 2)) + 1]);
#line 56
        tds::store_vector<4>(C + (((((by * 128) + (t32 * 64)) + t4_1) * 4096) + (((bx * 128) + (t64 * 64)) + (t1 * 2))) + (((r_9 * 65536) + (r_11 * 32768)) + (r_10 * 8)), &C_1[0]);
      }
    }
  }
}
TDS_EXPORT(gemm)
