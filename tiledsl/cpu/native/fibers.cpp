// Stacks of fibers, and the switch between them.
#include <sys/mman.h>

#include <cstring>

#include "runtime.h"

extern "C" {
__thread tds::Thread* tds_thread;
}

// Saves the registers that a call preserves on the old stack, and continues on the new one.
#if defined(__x86_64__)
asm(R"(
.text
.globl tds_switch
.type tds_switch, @function
tds_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tds_switch, .-tds_switch
)");
constexpr int FRAME_WORDS = 6, RETURN_WORD = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl tds_switch
.type tds_switch, %function
.p2align 4
tds_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size tds_switch, .-tds_switch
)");
constexpr int FRAME_WORDS = 20, RETURN_WORD = 11;
#else
#error "the CPU device needs a context switch for this processor"
#endif

namespace tds {

// A CUDA thread may have 512 KiB of local memory. Pages that are never touched cost nothing.
constexpr size_t STACK_BYTES = 576 * 1024, GUARD_BYTES = 4096;

char* new_stack() {
  void* memory = mmap(nullptr, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (mprotect(memory, GUARD_BYTES, PROT_NONE)) {  // an overflow stops the program instead of spoiling a neighbour
    munmap(memory, STACK_BYTES + GUARD_BYTES);
    return nullptr;
  }
  return static_cast<char*>(memory) + STACK_BYTES + GUARD_BYTES;
}

void* first_frame(char* stack_top, void (*function)()) {
  void** frame = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack_top) & ~uintptr_t{15});
#if defined(__x86_64__)
  *--frame = nullptr;  // the function finds the stack as a call would leave it
  *--frame = reinterpret_cast<void*>(function);
  frame -= FRAME_WORDS;
  memset(frame, 0, FRAME_WORDS * sizeof(void*));
#else
  frame -= FRAME_WORDS;
  memset(frame, 0, FRAME_WORDS * sizeof(void*));
  frame[RETURN_WORD] = reinterpret_cast<void*>(function);
#endif
  return frame;
}

}  // namespace tds
