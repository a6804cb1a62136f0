// What compiled kernels and the runtime share: element types, the running thread, the runtime's entry points.
// Includes nothing, so that a kernel compiles in tens of milliseconds.
#pragma once

#define TDS_DEVICE static inline

namespace tds {

typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// Narrow floats are bits; computing with them goes through float.
struct f16 { u16 bits; };
struct bf16 { u16 bits; };
struct e4m3 { u8 bits; };
struct e5m2 { u8 bits; };
struct e4m3fnuz { u8 bits; };
struct e5m2fnuz { u8 bits; };
struct e8m0 { u8 bits; };
struct e2m3 { u8 bits; };
struct e3m2 { u8 bits; };

enum Rounding { RN, RZ, RM, RP, RNA };
// How a format uses its largest exponent: IEEE has infinities and NaNs, FN one NaN, FNUZ only -0 as NaN, FINITE neither.
enum TopOfRange { IEEE, FN, FNUZ, FINITE };

template <class T>
struct type_is {
  typedef T type;
};

template <class To, class From>
TDS_DEVICE To bitcast(From x) {
  static_assert(sizeof(To) == sizeof(From), "bitcast keeps the size");
  To result;
  __builtin_memcpy(&result, &x, sizeof(To));
  return result;
}

// Where a call stands in the user's file: `#line` makes the compiler believe it is there.
struct Site {
  const char* file;
  int line;
};
#define TDS_HERE ::tds::Site at = {__builtin_FILE(), __builtin_LINE()}

// ATOMIC_READ and ATOMIC_WRITE load and store, UPDATE does both; ADDRESS only asks where the bytes are.
enum Access { READ, WRITE, UPDATE, ATOMIC_READ, ATOMIC_WRITE, ADDRESS };
enum Shuffle { SHUFFLE_XOR, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_INDEX };
enum Vote { VOTE_ANY, VOTE_ALL };
enum Operation { ROUNDED_add, ROUNDED_sub, ROUNDED_mul, ROUNDED_div, ROUNDED_rcp, ROUNDED_sqrt, ROUNDED_fma };

// Shared memory starts at this address, so that 0 is never valid.
constexpr u32 SHARED_BASE = 1024;

// What kernel code reads of its own thread without a call. `hot` is the global buffer it touched last, and
// whether this launch writes to it.
struct Thread {
  int block[3];
  int index;
  char* shared;
  u64 shared_size;
  u64 hot_begin;
  u64 hot_size;
  bool hot_written;
  bool holds_registers;  // a tensor core is adding to some of its registers
};

}  // namespace tds

extern "C" {
extern __thread tds::Thread* tds_thread __attribute__((tls_model("initial-exec")));

void tds_rt_barrier(int id, int count, tds::Site at);
void tds_rt_barrier_arrive(int id, int count, tds::Site at);
void tds_rt_syncwarp(tds::u32 lanes, tds::Site at);
tds::u64 tds_rt_shuffle(int kind, tds::u64 value, int argument, tds::Site at);
int tds_rt_vote(int kind, int value, tds::Site at);
void tds_rt_ldmatrix(void* registers, tds::u32 row, int matrices, int transposed, tds::Site at);
void tds_rt_stmatrix(tds::u32 row, const void* registers, int matrices, int transposed, tds::Site at);
void tds_rt_mma(int row, void* d, const void* a, const void* b, const void* e, tds::Site at);

void tds_rt_cp_async(tds::u32 to, const void* from, int bytes, int valid, tds::Site at);
void tds_rt_cp_async_commit();
void tds_rt_cp_async_wait(int pending, tds::Site at);

// The memory of an access, or no return: what is wrong is reported and ends the block.
char* tds_rt_shared(tds::u32 address, int bytes, int access, tds::Site at);
char* tds_rt_global(const void* p, int bytes, int access, tds::Site at);
// Before each atomic access, which follows at once: `access` is UPDATE, ATOMIC_READ or ATOMIC_WRITE.
void* tds_rt_atomic(const void* p, int bytes, int access, tds::Site at);
void tds_rt_fence(tds::Site at);
void tds_rt_use_registers(const void* registers, int bytes, tds::Site at);
[[noreturn]] void tds_rt_bad_register(tds::i64 index, int size, tds::Site at);
[[noreturn]] void tds_rt_check_failed(const char* message, int assumed, tds::Site at);
void tds_rt_print(const char* format, ...);

// `a operation b`, or of one or three operands, in a direction of rounding: rounded.cpp.
float tds_rt_rounded_f32(int operation, int direction, float a, float b, float c);
double tds_rt_rounded_f64(int operation, int direction, double a, double b, double c);
}
