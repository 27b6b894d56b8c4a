// Stacks of their own for the threads of a block that wait at barriers.
#pragma once
#include <cstddef>

namespace graft {

struct Fiber {
    void *pointer;  // where it stopped: its stack pointer, or a ucontext_t
    char *stack;    // lowest usable byte
    size_t offset;  // of its use from the upper end
    size_t thread;  // which thread of the block it runs, and that thread's coordinates
    unsigned index[3];
    const char *file;  // where that waits
    int line;
    void *sanitizer;
};

// A fiber with a fresh stack.
Fiber *fiber_create();
// Makes `fiber` begin at `entry` when it is switched to next. `entry` must not return.
void fiber_prepare(Fiber *fiber, void (*entry)());
// Stops `from` (a fiber, or one that stands for the caller's own stack) and goes on with `to`.
void fiber_switch(Fiber *from, Fiber *to);
// To be called first by a fiber's entry.
void fiber_entered();

}  // namespace graft
