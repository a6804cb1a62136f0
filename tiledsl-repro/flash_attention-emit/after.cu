TDS_KERNEL(128, 1) flash_attention(const tds::f16* TDS_RESTRICT Q, const tds::f16* TDS_RESTRICT K, const tds::f16* TDS_RESTRICT V, tds::f16* TDS_RESTRICT O) {
  const tds::u32 shared = tds::shared_base();
  const tds::i32 bx = tds::block_x();
  const tds::i32 by = tds::block_y();
  const tds::i32 thread = tds::thread_index();
  const tds::i32 t1 = thread & 7;
  const tds::i32 t8 = thread >> 3;
  const tds::i32 at = (t8 * 8) + ((t8 & 7) ^ t1);
  const tds::i32 t1_1 = thread & 3;
  const tds::i32 t4 = (thread >> 2) & 7;
  const tds::i32 t32 = thread >> 5;
  const tds::i32 t8_1 = (thread >> 3) & 1;
  const tds::i32 t16 = (thread >> 4) & 1;
  const tds::i32 at_1 = (((t32 * 128) + (t8_1 * 64)) + (t1 * 8)) + (t1 ^ t16);
  const tds::i32 at_2 = ((t16 * 64) + (t1 * 8)) + (t1 ^ t8_1);
  const tds::i32 at_3 = ((t8_1 * 64) + (t1 * 8)) + (t1 ^ t16);
#line 30 "/work/main/examples/attention.py"
  const tds::u32 Q_shared = shared + 32768u;
  const tds::u32 K_shared = shared;
  const tds::u32 V_shared = shared + 16384u;
  TDS_LOCAL(float, scores, 32);
  TDS_LOCAL(tds::f16, weights, 32);
  TDS_LOCAL(float, out, 32);
  TDS_LOCAL(float, greatest, 2);
  TDS_LOCAL(float, previous, 2);
  TDS_LOCAL(float, rescale, 2);
  TDS_LOCAL(float, row_sum, 2);
  TDS_LOCAL(float, total, 2);
#line 42
  TDS_UNROLL
  for (tds::i32 r = 0; r < 4; ++r) {
#line 42
    TDS_LOCAL(tds::f16, Q_1, 8);
#line 42
    if ((((bx * 64) + (r * 16)) + t8) < 90) {
#line 42
      tds::load_vector<16>(&Q_1[0], Q + ((((((bx * 64) + t8) * 2) + by) * 64) + (t1 * 8)) + (r * 2048));
    }
#line 42
    TDS_LOCAL(tds::f16, Q_shared_1, 8);
#line 42
    TDS_UNROLL
    for (tds::i32 v = 0; v < 8; ++v) {
#line 42
      Q_shared_1[v] = ((((bx * 64) + (r * 16)) + t8) < 90) ? Q_1[v] : tds::f16{0x0};
    }
#line 42
    tds::store_shared_vector<16>(Q_shared + (tds::u32)((r * 2048) + (at * 16)), &Q_shared_1[0]);
  }
#line 43
  TDS_UNROLL
  for (tds::i32 r_1 = 0; r_1 < 32; ++r_1) {
#line 43
    out[r_1] = 0.0f;
  }
#line 44
  TDS_UNROLL
  for (tds::i32 r_2 = 0; r_2 < 2; ++r_2) {
#line 44
    total[r_2] = 0.0f;
  }
#line 45
  TDS_UNROLL
  for (tds::i32 r_3 = 0; r_3 < 2; ++r_3) {
#line 45
    greatest[r_3] = tds::bitcast<float>(0xff800000u);
  }
#line 48
  TDS_UNROLL
  for (tds::i32 r_4 = 0; r_4 < 4; ++r_4) {
#line 48
    tds::cp_async_16(K_shared + (tds::u32)((r_4 * 2048) + (at * 16)), K + ((((t8 * 2) + by) * 64) + (t1 * 8)) + (r_4 * 2048), true);
  }
#line 48
  tds::cp_async_commit();
#line 69
  TDS_UNROLL
  for (tds::i32 r_5 = 0; r_5 < 4; ++r_5) {
#line 69
    tds::cp_async_16(V_shared + (tds::u32)((r_5 * 2048) + (at * 16)), V + ((((t8 * 2) + by) * 64) + (t1 * 8)) + (r_5 * 2048), true);
  }
#line 69
  tds::cp_async_commit();
#line 48
  if (1 < ((tds::min(90, (bx * 64) + 64) + 63) >> 6)) {
#line 48
    TDS_UNROLL
    for (tds::i32 r_6 = 0; r_6 < 4; ++r_6) {
#line 48
      tds::cp_async_16(K_shared + (tds::u32)(8192 + ((r_6 * 2048) + (at * 16))), K + (((((t8 + 64) * 2) + by) * 64) + (t1 * 8)) + (r_6 * 2048), ((r_6 * 16) + t8) < 26);
    }
  }
#line 48
  tds::cp_async_commit();
#line 69
  tds::cp_async_wait<2>();
#line 69
  if (1 < ((tds::min(90, (bx * 64) + 64) + 63) >> 6)) {
#line 69
    TDS_UNROLL
    for (tds::i32 r_7 = 0; r_7 < 4; ++r_7) {
#line 69
      tds::cp_async_16(V_shared + (tds::u32)(8192 + ((r_7 * 2048) + (at * 16))), V + (((((t8 + 64) * 2) + by) * 64) + (t1 * 8)) + (r_7 * 2048), ((r_7 * 16) + t8) < 26);
    }
  }
#line 69
  tds::cp_async_commit();
#line 47
  TDS_UNROLL_BY(1)
  for (tds::i32 k = 0; k < ((tds::min(90, (bx * 64) + 64) + 63) >> 6); ++k) {
#line 50
    TDS_UNROLL
    for (tds::i32 r_8 = 0; r_8 < 8; ++r_8) {
#line 50
      TDS_UNROLL
      for (tds::i32 r_9 = 0; r_9 < 2; ++r_9) {
#line 50
        TDS_UNROLL
        for (tds::i32 v_1 = 0; v_1 < 2; ++v_1) {
#line 53
          scores[((r_8 * 4) + (r_9 * 2)) + v_1] = (((((((k * 64) + (r_8 * 8)) + (t1_1 * 2)) + v_1) - 1) < ((((bx * 64) + (t32 * 16)) + (r_9 * 8)) + t4)) && ((((k * 32) + (r_8 * 4)) + t1_1) < 45)) ? 0.0f : tds::bitcast<float>(0xff800000u);
        }
      }
    }
#line 56
    tds::barrier();
#line 56
    TDS_UNROLL
    for (tds::i32 k_1 = 0; k_1 < 4; ++k_1) {
#line 56
      TDS_LOCAL(tds::f16, a_regs, 8);
#line 56
      TDS_LOCAL(tds::f16, b_regs, 32);
#line 56
      tds::ldmatrix_x4(&a_regs[0], Q_shared + (tds::u32)(((k_1 * 2) ^ at_1) * 16));
#line 56
      TDS_UNROLL
      for (tds::i32 r_10 = 0; r_10 < 4; ++r_10) {
#line 56
        tds::ldmatrix_x4(&b_regs[r_10 * 8], K_shared + (tds::u32)((k * 8192) + ((r_10 * 2048) + (((k_1 * 2) ^ at_2) * 16))));
      }
#line 56
      TDS_UNROLL
      for (tds::i32 j = 0; j < 8; ++j) {
#line 56
        tds::mma_m16n8k16_f32_f16(&scores[j * 4], &a_regs[0], &b_regs[j * 4]);
      }
    }
#line 48
    tds::cp_async_wait<2>();
#line 48
    tds::cp_async_commit();
#line 57
    TDS_UNROLL
    for (tds::i32 r_11 = 0; r_11 < 2; ++r_11) {
#line 57
      previous[r_11] = greatest[r_11];
    }
#line 58
    TDS_LOCAL(float, greatest_partial, 2);
#line 58
    TDS_UNROLL
    for (tds::i32 r_12 = 0; r_12 < 2; ++r_12) {
#line 58
      greatest_partial[r_12] = tds::bitcast<float>(0xff800000u);
#line 58
      TDS_UNROLL
      for (tds::i32 r_13 = 0; r_13 < 8; ++r_13) {
#line 58
        TDS_UNROLL
        for (tds::i32 r_14 = 0; r_14 < 2; ++r_14) {
#line 58
          greatest_partial[r_12] = tds::max(greatest_partial[r_12], scores[((r_13 * 4) + (r_12 * 2)) + r_14]);
        }
      }
    }
#line 58
    TDS_UNROLL
    for (tds::i32 r_15 = 0; r_15 < 2; ++r_15) {
#line 58
      greatest_partial[r_15] = tds::max(greatest_partial[r_15], tds::shfl_xor(greatest_partial[r_15], 2));
    }
#line 58
    TDS_UNROLL
    for (tds::i32 r_16 = 0; r_16 < 2; ++r_16) {
#line 58
      greatest_partial[r_16] = tds::max(greatest_partial[r_16], tds::shfl_xor(greatest_partial[r_16], 1));
    }
#line 58
    TDS_UNROLL
    for (tds::i32 r_17 = 0; r_17 < 2; ++r_17) {
#line 58
      greatest[r_17] = tds::max(greatest[r_17], greatest_partial[r_17]);
    }
#line 59
    TDS_UNROLL
    for (tds::i32 r_18 = 0; r_18 < 2; ++r_18) {
#line 60
      rescale[r_18] = tds::exp2((previous[r_18] - greatest[r_18]) * 0.1803368777036667f);
    }
#line 61
    TDS_UNROLL
    for (tds::i32 r_19 = 0; r_19 < 8; ++r_19) {
#line 61
      TDS_UNROLL
      for (tds::i32 r_20 = 0; r_20 < 2; ++r_20) {
#line 61
        TDS_UNROLL
        for (tds::i32 v_2 = 0; v_2 < 2; ++v_2) {
#line 62
          scores[((r_19 * 4) + (r_20 * 2)) + v_2] = tds::exp2((scores[((r_19 * 4) + (r_20 * 2)) + v_2] * 0.1803368777036667f) - (greatest[r_20] * 0.1803368777036667f));
        }
      }
    }
#line 63
    TDS_LOCAL(float, row_sum_partial, 2);
#line 63
    TDS_UNROLL
    for (tds::i32 r_21 = 0; r_21 < 2; ++r_21) {
#line 63
      row_sum_partial[r_21] = 0.0f;
#line 63
      TDS_UNROLL
      for (tds::i32 r_22 = 0; r_22 < 8; ++r_22) {
#line 63
        TDS_UNROLL
        for (tds::i32 r_23 = 0; r_23 < 2; ++r_23) {
#line 63
          row_sum_partial[r_21] = row_sum_partial[r_21] + scores[((r_22 * 4) + (r_21 * 2)) + r_23];
        }
      }
    }
#line 63
    TDS_UNROLL
    for (tds::i32 r_24 = 0; r_24 < 2; ++r_24) {
#line 63
      row_sum_partial[r_24] = row_sum_partial[r_24] + tds::shfl_xor(row_sum_partial[r_24], 2);
    }
#line 63
    TDS_UNROLL
    for (tds::i32 r_25 = 0; r_25 < 2; ++r_25) {
#line 63
      row_sum_partial[r_25] = row_sum_partial[r_25] + tds::shfl_xor(row_sum_partial[r_25], 1);
    }
#line 63
    TDS_UNROLL
    for (tds::i32 r_26 = 0; r_26 < 2; ++r_26) {
#line 63
      row_sum[r_26] = row_sum_partial[r_26];
    }
#line 64
    TDS_UNROLL
    for (tds::i32 r_27 = 0; r_27 < 2; ++r_27) {
#line 65
      total[r_27] = (total[r_27] * rescale[r_27]) + row_sum[r_27];
    }
#line 66
    TDS_UNROLL
    for (tds::i32 r_28 = 0; r_28 < 8; ++r_28) {
#line 66
      TDS_UNROLL
      for (tds::i32 r_29 = 0; r_29 < 2; ++r_29) {
#line 66
        tds::f32_to_f16_pair(&weights[(r_28 * 4) + (r_29 * 2)], scores[(r_28 * 4) + (r_29 * 2)], scores[((r_28 * 4) + (r_29 * 2)) + 1]);
      }
    }
#line 67
    TDS_UNROLL
    for (tds::i32 r_30 = 0; r_30 < 8; ++r_30) {
#line 67
      TDS_UNROLL
      for (tds::i32 r_31 = 0; r_31 < 2; ++r_31) {
#line 67
        TDS_UNROLL
        for (tds::i32 v_3 = 0; v_3 < 2; ++v_3) {
#line 68
          out[((r_30 * 4) + (r_31 * 2)) + v_3] = out[((r_30 * 4) + (r_31 * 2)) + v_3] * rescale[r_31];
        }
      }
    }
#line 70
    tds::barrier();
#line 70
    TDS_UNROLL
    for (tds::i32 k_2 = 0; k_2 < 4; ++k_2) {
#line 70
      TDS_LOCAL(tds::f16, b_regs_1, 32);
#line 70
      TDS_UNROLL
      for (tds::i32 r_32 = 0; r_32 < 4; ++r_32) {
#line 70
        tds::ldmatrix_x4_trans(&b_regs_1[r_32 * 8], V_shared + (tds::u32)((k * 8192) + ((k_2 * 2048) + (((r_32 * 2) ^ at_3) * 16))));
      }
#line 70
      TDS_UNROLL
      for (tds::i32 j_1 = 0; j_1 < 8; ++j_1) {
#line 70
        tds::mma_m16n8k16_f32_f16(&out[j_1 * 4], &weights[k_2 * 8], &b_regs_1[j_1 * 4]);
      }
    }
#line 69
    tds::cp_async_wait<2>();
#line 69
    tds::cp_async_commit();
  }
  TDS_UNROLL
  for (tds::i32 r_33 = 0; r_33 < 8; ++r_33) {
#line 71
    TDS_UNROLL
    for (tds::i32 r_34 = 0; r_34 < 2; ++r_34) {
#line 71
      TDS_UNROLL
      for (tds::i32 v_4 = 0; v_4 < 2; ++v_4) {
#line 72
        out[((r_33 * 4) + (r_34 * 2)) + v_4] = out[((r_33 * 4) + (r_34 * 2)) + v_4] / total[r_34];
      }
    }
  }
#line 73
  TDS_UNROLL
  for (tds::i32 r_35 = 0; r_35 < 8; ++r_35) {
#line 73
    TDS_UNROLL
    for (tds::i32 r_36 = 0; r_36 < 2; ++r_36) {
#line 73
      if (((((bx * 64) + (t32 * 16)) + (r_36 * 8)) + t4) < 90) {
#line 73
        TDS_LOCAL(tds::f16, O_1, 2);
#line 73
        tds::f32_to_f16_pair(&O_1[0], out[(r_35 * 4) + (r_36 * 2)], out[((r_35 * 4) + (r_36 * 2)) + 1]);
#line 73
        tds::store_vector<4>(O + (((((((bx * 64) + (t32 * 16)) + t4) * 2) + by) * 64) + (t1_1 * 2)) + ((r_36 * 1024) + (r_35 * 8)), &O_1[0]);
      }
    }
  }
}
TDS_EXPORT(flash_attention)
