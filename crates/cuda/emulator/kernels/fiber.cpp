#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(start, size)
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace graft {

// In .data, because everything in .bss is shared memory of kernels.
#define GRAFT_DATA __attribute__((section(".data")))

#if defined(__SANITIZE_ADDRESS__)
static const size_t STACK = 512 << 10;
#else
static const size_t STACK = 64 << 10;
#endif

Fiber *fiber_create() {
    const size_t page = 4096;
    char *memory = static_cast<char *>(
        mmap(nullptr, STACK + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
        perror("emulator: no memory for the stack of a thread");
        abort();
    }
    (void)VALGRIND_STACK_REGISTER(memory + page, memory + page + STACK);
    // Stacks begin at different places of their pages, or a cache could hold few of them at once.
    GRAFT_DATA static size_t made = 0;
    return new Fiber{nullptr, memory + page, made++ * 320 % page / 64 * 64, 0, {}, "", 0, nullptr};
}

#if defined(__x86_64__)

// Saves the registers that a function must keep, and goes on where `to` saved its own.
extern "C" void graft_switch_stack(void **from, void *to);
asm(R"(
.text
.hidden graft_switch_stack
.globl graft_switch_stack
.type graft_switch_stack, @function
graft_switch_stack:
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
.size graft_switch_stack, .-graft_switch_stack
)");

void fiber_prepare(Fiber *fiber, void (*entry)()) {
    ASAN_UNPOISON_MEMORY_REGION(fiber->stack, STACK);
    auto top = reinterpret_cast<void **>(fiber->stack + STACK - fiber->offset);
    *--top = nullptr;  // where a call would have left its return address: keeps the stack aligned
    *--top = reinterpret_cast<void *>(entry);
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    fiber->pointer = top;
}

static void switch_stack(Fiber *from, Fiber *to) { graft_switch_stack(&from->pointer, to->pointer); }

#else

static ucontext_t *context(Fiber *fiber) {
    if (!fiber->pointer) fiber->pointer = new ucontext_t;
    return static_cast<ucontext_t *>(fiber->pointer);
}

void fiber_prepare(Fiber *fiber, void (*entry)()) {
    getcontext(context(fiber));
    context(fiber)->uc_stack.ss_sp = fiber->stack;
    context(fiber)->uc_stack.ss_size = STACK - fiber->offset;
    context(fiber)->uc_link = nullptr;
    makecontext(context(fiber), entry, 0);
}

static void switch_stack(Fiber *from, Fiber *to) { swapcontext(context(from), context(to)); }

#endif

#if defined(__SANITIZE_ADDRESS__)
// The caller's own stack, as the sanitizer told it when the first fiber began.
GRAFT_DATA static const void *caller_stack = nullptr;
GRAFT_DATA static size_t caller_size = 0;

void fiber_entered() {
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    caller_stack = bottom;
    caller_size = size;
}

void fiber_switch(Fiber *from, Fiber *to) {
    const void *bottom = to->stack ? to->stack : caller_stack;
    __sanitizer_start_switch_fiber(&from->sanitizer, bottom, to->stack ? STACK : caller_size);
    switch_stack(from, to);
    const void *old;
    size_t size;
    __sanitizer_finish_switch_fiber(from->sanitizer, &old, &size);
    if (from->stack) {
        caller_stack = old;
        caller_size = size;
    }
}
#else
void fiber_entered() {}
void fiber_switch(Fiber *from, Fiber *to) { switch_stack(from, to); }
#endif

}  // namespace graft
