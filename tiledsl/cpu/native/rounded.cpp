// Arithmetic with a direction of rounding: that of the processor is changed for one operation.
#include <cfenv>

#include "types.h"

namespace {

using namespace tds;

// The direction of this thread, for as long as it lives.
class Direction {
 public:
  explicit Direction(int direction) : before_(std::fegetround()) { std::fesetround(of(direction)); }
  ~Direction() { std::fesetround(before_); }

 private:
  static int of(int direction) {
    switch (direction) {
      case RZ: return FE_TOWARDZERO;
      case RP: return FE_UPWARD;
      case RM: return FE_DOWNWARD;
      default: return FE_TONEAREST;
    }
  }
  int before_;
};

float root(float x) { return __builtin_sqrtf(x); }
double root(double x) { return __builtin_sqrt(x); }
float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

template <class T>
T compute(int operation, T a, T b, T c) {
  switch (operation) {
    case ROUNDED_add: return a + b;
    case ROUNDED_sub: return a - b;
    case ROUNDED_mul: return a * b;
    case ROUNDED_div: return a / b;
    case ROUNDED_rcp: return T(1) / a;
    case ROUNDED_sqrt: return root(a);
    default: return fused(a, b, c);
  }
}

// Operands and result are volatile, so that the operation stays between the changes of direction.
template <class T>
T rounded(int operation, int direction, T a, T b, T c) {
  volatile T x = a, y = b, z = c;
  const Direction held(direction);
  volatile T result = compute<T>(operation, x, y, z);
  return result;
}

}  // namespace

float tds_rt_rounded_f32(int operation, int direction, float a, float b, float c) {
  return rounded(operation, direction, a, b, c);
}
double tds_rt_rounded_f64(int operation, int direction, double a, double b, double c) {
  return rounded(operation, direction, a, b, c);
}
