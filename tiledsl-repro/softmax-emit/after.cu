TDS_KERNEL(128, 1) softmax(const float* TDS_RESTRICT X, float* TDS_RESTRICT Y) {
  const tds::i32 bx = tds::block_x();
  const tds::i32 thread = tds::thread_index();
  const tds::i32 t1 = thread & 31;
  const tds::i32 t32 = thread >> 5;
#line 19 "/work/main/examples/normalisation.py"
  TDS_LOCAL(float, x, 8);
  TDS_LOCAL(float, greatest, 2);
  TDS_LOCAL(float, total, 2);
  TDS_UNROLL
  for (tds::i32 r = 0; r < 2; ++r) {
#line 23
    TDS_LOCAL(float, X_1, 4);
#line 23
    if ((t1 < 25) && ((((bx * 8) + (r * 4)) + t32) < 13)) {
#line 23
      tds::load_vector<16>(&X_1[0], X + ((((bx * 8) + t32) * 100) + (t1 * 4)) + (r * 400));
    }
#line 23
    TDS_UNROLL
    for (tds::i32 v = 0; v < 4; ++v) {
#line 23
      x[(r * 4) + v] = (t1 < 25) ? (((((bx * 8) + (r * 4)) + t32) < 13) ? X_1[v] : 0.0f) : tds::bitcast<float>(0xff800000u);
    }
  }
#line 24
  TDS_LOCAL(float, greatest_partial, 2);
#line 24
  TDS_UNROLL
  for (tds::i32 r_1 = 0; r_1 < 2; ++r_1) {
#line 24
    greatest_partial[r_1] = tds::bitcast<float>(0xff800000u);
#line 24
    TDS_UNROLL
    for (tds::i32 r_2 = 0; r_2 < 4; ++r_2) {
#line 24
      greatest_partial[r_1] = tds::max(greatest_partial[r_1], x[(r_1 * 4) + r_2]);
    }
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_3 = 0; r_3 < 2; ++r_3) {
#line 24
    greatest_partial[r_3] = tds::max(greatest_partial[r_3], tds::shfl_xor(greatest_partial[r_3], 16));
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_4 = 0; r_4 < 2; ++r_4) {
#line 24
    greatest_partial[r_4] = tds::max(greatest_partial[r_4], tds::shfl_xor(greatest_partial[r_4], 8));
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_5 = 0; r_5 < 2; ++r_5) {
#line 24
    greatest_partial[r_5] = tds::max(greatest_partial[r_5], tds::shfl_xor(greatest_partial[r_5], 4));
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_6 = 0; r_6 < 2; ++r_6) {
#line 24
    greatest_partial[r_6] = tds::max(greatest_partial[r_6], tds::shfl_xor(greatest_partial[r_6], 2));
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_7 = 0; r_7 < 2; ++r_7) {
#line 24
    greatest_partial[r_7] = tds::max(greatest_partial[r_7], tds::shfl_xor(greatest_partial[r_7], 1));
  }
#line 24
  TDS_UNROLL
  for (tds::i32 r_8 = 0; r_8 < 2; ++r_8) {
#line 24
    greatest[r_8] = greatest_partial[r_8];
  }
#line 25
  TDS_UNROLL
  for (tds::i32 r_9 = 0; r_9 < 2; ++r_9) {
#line 25
    TDS_UNROLL
    for (tds::i32 v_1 = 0; v_1 < 4; ++v_1) {
#line 26
      x[(r_9 * 4) + v_1] = tds::exp2((x[(r_9 * 4) + v_1] - greatest[r_9]) * 1.4426950216293335f);
    }
  }
#line 27
  TDS_LOCAL(float, total_partial, 2);
#line 27
  TDS_UNROLL
  for (tds::i32 r_10 = 0; r_10 < 2; ++r_10) {
#line 27
    total_partial[r_10] = 0.0f;
#line 27
    TDS_UNROLL
    for (tds::i32 r_11 = 0; r_11 < 4; ++r_11) {
#line 27
      total_partial[r_10] = total_partial[r_10] + x[(r_10 * 4) + r_11];
    }
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_12 = 0; r_12 < 2; ++r_12) {
#line 27
    total_partial[r_12] = total_partial[r_12] + tds::shfl_xor(total_partial[r_12], 16);
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_13 = 0; r_13 < 2; ++r_13) {
#line 27
    total_partial[r_13] = total_partial[r_13] + tds::shfl_xor(total_partial[r_13], 8);
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_14 = 0; r_14 < 2; ++r_14) {
#line 27
    total_partial[r_14] = total_partial[r_14] + tds::shfl_xor(total_partial[r_14], 4);
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_15 = 0; r_15 < 2; ++r_15) {
#line 27
    total_partial[r_15] = total_partial[r_15] + tds::shfl_xor(total_partial[r_15], 2);
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_16 = 0; r_16 < 2; ++r_16) {
#line 27
    total_partial[r_16] = total_partial[r_16] + tds::shfl_xor(total_partial[r_16], 1);
  }
#line 27
  TDS_UNROLL
  for (tds::i32 r_17 = 0; r_17 < 2; ++r_17) {
#line 27
    total[r_17] = total_partial[r_17];
  }
#line 28
  TDS_UNROLL
  for (tds::i32 r_18 = 0; r_18 < 2; ++r_18) {
#line 28
    TDS_UNROLL
    for (tds::i32 v_2 = 0; v_2 < 4; ++v_2) {
#line 29
      x[(r_18 * 4) + v_2] = x[(r_18 * 4) + v_2] / total[r_18];
    }
  }
#line 30
  TDS_UNROLL
  for (tds::i32 r_19 = 0; r_19 < 2; ++r_19) {
#line 31
    if (t1 < 25) {
      if ((((bx * 8) + (r_19 * 4)) + t32) < 13) {
#line 32
        tds::store_vector<16>(Y + ((((bx * 8) + t32) * 100) + (t1 * 4)) + (r_19 * 400), &x[r_19 * 4]);
      }
    }
  }
}
TDS_EXPORT(softmax)
