// O = softmax(Q K^T * scale) V on sm_90a, heads of 64, 128 rows of Q a block: one warpgroup loads, two compute 64 rows each.
//
// Q, K, V are (heads * sequence, 64), 16-bit floats, in shared memory with the 128-byte swizzle; K and V in STAGES
// versions, each with barriers of its own. The scores of the next block are computed while P V of this one is in flight;
// P is operand A from registers, whose fragment is that of the scores. `scale` is in units of log2(e).
constexpr int ROWS = 128, COLUMNS = 64, HEAD = 64, STAGES = 2;
constexpr int Q_BYTES = ROWS * HEAD * 2, K_BYTES = COLUMNS * HEAD * 2;
constexpr int Q_AT = 0, K_AT = Q_BYTES, V_AT = K_AT + STAGES * K_BYTES, BARRIERS_AT = V_AT + STAGES * K_BYTES;

TDS_KERNEL(384, 1) attention(TDS_TENSOR_MAP q, TDS_TENSOR_MAP k, TDS_TENSOR_MAP v, float* o, int sequence, float scale) {
  const tds::u32 shared = tds::shared_base();
  const tds::u32 q_full = shared + BARRIERS_AT, k_full = q_full + 8, k_empty = k_full + 8 * STAGES;
  const tds::u32 v_full = k_empty + 8 * STAGES, v_empty = v_full + 8 * STAGES;
  const int thread = tds::thread_index(), role = thread / 128;
  const int first_row = tds::block_y() * sequence + tds::block_x() * ROWS, blocks = sequence / COLUMNS;
  if (thread == 0) {
    tds::mbarrier_init(q_full, 1);
    for (int s = 0; s < STAGES; ++s) {
      tds::mbarrier_init(k_full + 8 * s, 1);
      tds::mbarrier_init(k_empty + 8 * s, 8);
      tds::mbarrier_init(v_full + 8 * s, 1);
      tds::mbarrier_init(v_empty + 8 * s, 8);
    }
    tds::fence_mbarrier_init();
  }
  tds::barrier();
  if (role == 0) {
    tds::setmaxnreg_dec<24>();
    if (thread / 32 == 0 && tds::elect_one()) {
      tds::mbarrier_arrive_expect_tx(q_full, Q_BYTES);
      tds::tma_load(shared + Q_AT, q, q_full, 0, first_row);
      for (int j = 0; j < blocks; ++j) {
        const int s = j % STAGES, parity = (j / STAGES & 1) ^ 1, row = tds::block_y() * sequence + j * COLUMNS;
        tds::mbarrier_wait(k_empty + 8 * s, parity);
        tds::mbarrier_arrive_expect_tx(k_full + 8 * s, K_BYTES);
        tds::tma_load(shared + K_AT + s * K_BYTES, k, k_full + 8 * s, 0, row);
        tds::mbarrier_wait(v_empty + 8 * s, parity);
        tds::mbarrier_arrive_expect_tx(v_full + 8 * s, K_BYTES);
        tds::tma_load(shared + V_AT + s * K_BYTES, v, v_full + 8 * s, 0, row);
      }
    }
  } else {
    tds::setmaxnreg_inc<240>();
    const int group = role - 1, warp = thread / 32 % 4, lane = thread % 32;
    TDS_LOCAL(float, out, 32);
    TDS_LOCAL(float, scores, 32);
    TDS_LOCAL(tds::f16, p, 32);
    TDS_LOCAL(float, greatest, 2);
    TDS_LOCAL(float, total, 2);
    TDS_LOCAL(float, shrink, 2);
    TDS_UNROLL
    for (int i = 0; i < 32; ++i) out[i] = 0.0f;
    for (int half = 0; half < 2; ++half) {
      greatest[half] = -1e30f;
      total[half] = 0.0f;
      shrink[half] = 1.0f;
    }
    tds::mbarrier_wait(q_full, 0);
    for (int j = 0; j <= blocks; ++j) {
      if (j < blocks) {
        tds::mbarrier_wait(k_full + 8 * (j % STAGES), j / STAGES & 1);
        tds::wgmma_hold<32>(tds::view<float>(scores));
        tds::wgmma_fence();
        TDS_UNROLL
        for (int i = 0; i < HEAD / 16; ++i) {
          const tds::u64 q_at = tds::wgmma_descriptor(shared + Q_AT + group * 8192 + i * 32, 16, 1024, 1, 0);
          const tds::u64 k_at = tds::wgmma_descriptor(shared + K_AT + j % STAGES * K_BYTES + i * 32, 16, 1024, 1, 0);
          tds::wgmma_m64n64k16_f32_f16_ss(tds::view<float>(scores), q_at, k_at, i > 0);
        }
        tds::wgmma_commit();
      }
      if (j > 0) {
        const int s = (j - 1) % STAGES;
        tds::mbarrier_wait(v_full + 8 * s, (j - 1) / STAGES & 1);
        tds::wgmma_hold<32>(tds::view<float>(out));
        tds::wgmma_fence();
        TDS_UNROLL
        for (int i = 0; i < COLUMNS / 16; ++i) {
          const tds::u64 v_at = tds::wgmma_descriptor(shared + V_AT + s * K_BYTES + i * 2048, 8192, 1024, 1, 0);
          tds::wgmma_m64n64k16_f32_f16_rs<1, 1, 0, 1>(tds::view<float>(out), tds::view<tds::f16>(p) + 8 * i, v_at, true);
        }
        tds::wgmma_commit();
      }
      if (j < blocks) {
        if (j > 0)
          tds::wgmma_wait<1>();
        else
          tds::wgmma_wait<0>();
        tds::wgmma_hold<32>(tds::view<float>(scores));
        tds::warp_sync(0xffffffffu);
        if (lane == 0) tds::mbarrier_arrive(k_empty + 8 * (j % STAGES));
        for (int half = 0; half < 2; ++half) {
          float most = greatest[half];
          TDS_UNROLL
          for (int i = 0; i < 32; ++i)
            if (i / 2 % 2 == half) most = tds::max(most, scores[i]);
          most = tds::max(most, tds::shfl_xor(most, 1));
          most = tds::max(most, tds::shfl_xor(most, 2));
          shrink[half] = tds::exp2((greatest[half] - most) * scale);
          greatest[half] = most;
          float sum = 0.0f;
          TDS_UNROLL
          for (int i = 0; i < 32; ++i)
            if (i / 2 % 2 == half) {
              scores[i] = tds::exp2((scores[i] - most) * scale);
              sum += scores[i];
            }
          total[half] = total[half] * shrink[half] + sum;
        }
      }
      tds::wgmma_wait<0>();
      tds::wgmma_hold<32>(tds::view<float>(out));
      tds::warp_sync(0xffffffffu);
      if (j > 0 && lane == 0) tds::mbarrier_arrive(v_empty + 8 * ((j - 1) % STAGES));
      if (j < blocks) {
        TDS_UNROLL
        for (int i = 0; i < 32; ++i) out[i] = out[i] * shrink[i / 2 % 2];
        TDS_UNROLL
        for (int i = 0; i < 32; i += 2) tds::f32_to_f16_pair(tds::view<tds::f16>(p) + i, scores[i], scores[i + 1]);
      }
    }
    for (int half = 0; half < 2; ++half) {
      total[half] = total[half] + tds::shfl_xor(total[half], 1);
      total[half] = total[half] + tds::shfl_xor(total[half], 2);
    }
    const int row = first_row + group * 64 + warp * 16 + lane / 4;
    TDS_UNROLL
    for (int i = 0; i < 32; i += 2) {
      TDS_LOCAL(float, pair, 2);
      pair[0] = out[i] / total[i / 2 % 2];
      pair[1] = out[i + 1] / total[i / 2 % 2];
      tds::store_vector<8>(o + (row + i / 2 % 2 * 8) * HEAD + i / 4 * 8 + lane % 4 * 2, tds::view<float>(pair));
    }
  }
}
TDS_EXPORT(attention)
