TDS_KERNEL(32, 1) k(const tds::f16* TDS_RESTRICT A, float* TDS_RESTRICT B, tds::i32 n) {
  const tds::u32 shared = tds::shared_base();
  const tds::i32 bx = tds::block_x();
  const tds::i32 t = tds::thread_index();
#line 3 "/home/user/kernel.py"
  const tds::u32 tile = shared;
#line 3
  TDS_LOCAL(float, pair, 2);
  const tds::i32 g = (bx * 32) + t;
  tds::store_shared<float>(tile + (tds::u32)(128 + (t * 4)), tds::f16_to_f32((g < n) ? tds::load(A + g) : tds::f16{0x0}));
#line 5
  tds::barrier();
  TDS_UNROLL
  for (tds::i32 v = 0; v < 2; ++v) {
#line 6
    pair[v] = tds::load_shared<float>(tile + (tds::u32)(128 + ((t ^ v) * 4)));
  }
#line 7
  if (g < n) {
#line 7
    tds::store(B + g, pair[0] + pair[1]);
  }
}
TDS_EXPORT(k)
