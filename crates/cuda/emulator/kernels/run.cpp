#include "run.h"

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "fiber.h"
#include "graft_kernel.h"

// Variables of this library lie in .data, because everything in .bss is shared memory of kernels: see `poison_shared`.
#define GRAFT_DATA __attribute__((section(".data"), visibility("hidden")))

GRAFT_DATA GraftIndex threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0}, blockDim = {1, 1, 1}, gridDim = {1, 1, 1};

extern char __bss_start __attribute__((visibility("hidden")));
extern char _end __attribute__((visibility("hidden")));

namespace graft {
namespace {

const size_t WARP = 32;

// The threads of a warp that exchange values. Values of one exchange stay until the next but one, when every lane has
// read them.
struct Warp {
    size_t arrived, lanes;
    unsigned generation;
    const char *file;
    int line;
    uint64_t values[2][WARP];
};

struct Block {
    const KernelEntry *kernel = nullptr;
    void (*body)(void *) = nullptr;
    void *data = nullptr;
    size_t threads = 0, started = 0, finished = 0, waiting = 0;
    std::vector<Warp> warps;
    std::vector<Fiber *> of_thread, unused;
    std::deque<Fiber *> ready;
    unsigned barrier = 0;  // how many were passed
    size_t votes[2];       // of this barrier and the one before it
    Fiber scheduler{};
    Fiber *current = nullptr;
    bool reversed = false, failed = false;
    char error[512];
};

GRAFT_DATA Block *block = nullptr;

[[gnu::format(printf, 1, 2)]] void fail(const char *format, ...) {
    if (block->failed) return;
    block->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(block->error, sizeof block->error, format, arguments);
    va_end(arguments);
}

// The coordinates of the thread with this number.
GraftIndex index_of(unsigned thread) {
    if (thread < blockDim.x) return {thread, 0, 0};
    unsigned row = thread / blockDim.x;
    return {thread % blockDim.x, row % blockDim.y, row / blockDim.y};
}

// File names are literals: of one file they are mostly the very same.
bool same_file(const char *one, const char *other) { return one == other || strcmp(one, other) == 0; }

void leave() { fiber_switch(block->current, &block->scheduler); }

// Stops the running thread until another one puts it into `ready`.
void wait(const char *file, int line) {
    Fiber *self = block->current;
    self->file = file;
    self->line = line;
    leave();
    threadIdx = {self->index[0], self->index[1], self->index[2]};
}

// What a fiber does: run threads that nobody has begun, until there are none.
void work() {
    fiber_entered();
    for (;;) {
        while (block->started < block->threads && !block->failed) {
            size_t thread = block->started++;
            if (block->reversed) thread = block->threads - 1 - thread;
            block->current->thread = thread;
            block->of_thread[thread] = block->current;
            threadIdx = index_of(unsigned(thread));
            block->current->index[0] = threadIdx.x;
            block->current->index[1] = threadIdx.y;
            block->current->index[2] = threadIdx.z;
            block->body(block->data);
            block->of_thread[thread] = nullptr;
            block->finished++;
        }
        block->unused.push_back(block->current);
        leave();
    }
}

// Runs until every thread has ended, or none can go on.
void schedule() {
    while (!block->failed) {
        Fiber *next;
        if (!block->ready.empty()) {
            next = block->ready.front();
            block->ready.pop_front();
        } else if (block->started < block->threads) {
            if (block->unused.empty()) {
                block->unused.push_back(fiber_create());
                fiber_prepare(block->unused.back(), work);
            }
            next = block->unused.back();
            block->unused.pop_back();
        } else {
            break;
        }
        block->current = next;
        fiber_switch(&block->scheduler, next);
    }
    if (block->finished == block->threads || block->failed) return;
    for (size_t thread = 0; thread < block->threads; thread++) {
        if (Fiber *fiber = block->of_thread[thread]) {
            fail(
                "%s: thread %zu of block (%u, %u, %u) waits at %s:%d for threads that never come; %zu of %zu threads "
                "have returned (a barrier or shuffle must be reached by all of them)",
                block->kernel->name, thread, blockIdx.x, blockIdx.y, blockIdx.z, fiber->file, fiber->line, block->finished,
                block->threads);
        }
    }
}

// Static arrays of kernels are all that this library has in .bss, as words here.
struct Shared {
    uint64_t *begin, *end;
};
Shared all_shared() {
    auto up = [](char *at) { return reinterpret_cast<uint64_t *>((reinterpret_cast<uintptr_t>(at) + 7) & ~uintptr_t(7)); };
    uint64_t *begin = up(&__bss_start), *end = up(&_end) - 1;
    return {begin, end < begin ? begin : end};
}

// Shared memory begins as anything: as NaNs.
__attribute__((no_sanitize("address"), optimize("no-tree-loop-distribute-patterns"))) void poison(Shared shared) {
    for (uint64_t *word = shared.begin; word < shared.end; word++) *word = ~uint64_t(0);
}

// From the first to the last word that was written since it was poisoned.
__attribute__((no_sanitize("address"))) Shared written(Shared shared) {
    while (shared.begin < shared.end && *shared.begin == ~uint64_t(0)) shared.begin++;
    while (shared.begin < shared.end && shared.end[-1] == ~uint64_t(0)) shared.end--;
    return shared;
}

void start_block(size_t threads) {
    block->threads = threads;
    block->started = block->finished = block->waiting = 0;
    block->warps.resize((threads + WARP - 1) / WARP);
    for (size_t warp = 0; warp < block->warps.size(); warp++) {
        block->warps[warp].arrived = 0;
        block->warps[warp].generation = 0;
        block->warps[warp].lanes = threads - warp * WARP < WARP ? threads - warp * WARP : WARP;
    }
    block->of_thread.assign(threads, nullptr);
}

// After a failure fibers hold threads that will never go on: they are given up.
void abandon() {
    block->ready.clear();
    for (Fiber *fiber : block->of_thread) {
        if (!fiber) continue;
        fiber_prepare(fiber, work);
        block->unused.push_back(fiber);
    }
}

}  // namespace

const char *run_grid(const KernelEntry &kernel, Dimensions grid, Dimensions dimensions, void (*body)(void *), void *data) {
    if (!block) {
        block = new Block;
        const char *order = getenv("GRAFT_EMULATED_ORDER");
        block->reversed = order && !strcmp(order, "reverse");
    }
    block->kernel = &kernel;
    block->body = body;
    block->data = data;
    block->failed = false;
    gridDim = {grid.x, grid.y, grid.z};
    blockDim = {dimensions.x, dimensions.y, dimensions.z};
    // The first block shows what shared memory the kernel uses; later ones find that poisoned again.
    Shared shared = all_shared();
    size_t blocks = grid.count();
    for (size_t number = 0; number < blocks && !block->failed; number++) {
        size_t at = block->reversed ? blocks - 1 - number : number;
        blockIdx = {unsigned(at % grid.x), unsigned(at / grid.x % grid.y), unsigned(at / grid.x / grid.y)};
        poison(shared);
        start_block(dimensions.count());
        schedule();
        if (number == 0) shared = written(shared);
    }
    if (!block->failed) return nullptr;
    abandon();
    return block->error;
}

}  // namespace graft

using namespace graft;

int graft_syncthreads(int vote, const char *file, int line, int reduce) {
    size_t &votes = block->votes[block->barrier & 1];
    if (block->waiting == 0) votes = 0;
    votes += vote != 0;
    block->waiting++;
    Fiber *self = block->current;
    self->file = file;
    self->line = line;
    if (block->waiting == block->threads) {
        for (size_t place = 0; place < block->threads; place++) {
            Fiber *other = block->of_thread[block->reversed ? block->threads - 1 - place : place];
            if (other->line != line || !same_file(other->file, file)) {
                fail("%s: threads %zu and %zu of block (%u, %u, %u) wait at different barriers, %s:%d and %s:%d",
                     block->kernel->name, self->thread, other->thread, blockIdx.x, blockIdx.y, blockIdx.z, file, line,
                     other->file, other->line);
            }
            block->ready.push_back(other);
        }
        block->waiting = 0;
        block->barrier++;
    }
    wait(file, line);
    if (reduce == GRAFT_COUNT) return int(votes);
    return reduce == GRAFT_AND ? votes == block->threads : votes != 0;
}

const uint64_t *graft_exchange(unsigned mask, uint64_t value, const char *file, int line) {
    size_t thread = block->current->thread, lane = thread % WARP;
    Warp &warp = block->warps[thread / WARP];
    if (mask != 0xffffffffu) fail("%s: %s:%d: masks other than 0xffffffff are not emulated", block->kernel->name, file, line);
    if (warp.arrived > 0 && (warp.line != line || !same_file(warp.file, file))) {
        fail("%s: lanes of a warp of block (%u, %u, %u) exchange values at different places, %s:%d and %s:%d",
             block->kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, file, line, warp.file, warp.line);
    }
    if (block->failed) wait(file, line);
    auto values = warp.values[warp.generation & 1];
    if (warp.arrived == 0) memset(values, 0xff, sizeof warp.values[0]);
    warp.file = file;
    warp.line = line;
    values[lane] = value;
    if (++warp.arrived < warp.lanes) {
        wait(file, line);
        return values;
    }
    warp.arrived = 0;
    warp.generation++;
    size_t first = thread - lane;
    for (size_t other = 0; other < warp.lanes; other++) {
        if (other != lane) block->ready.push_back(block->of_thread[first + other]);
    }
    return values;
}

size_t graft_lane() { return block->current->thread % WARP; }

void graft_trap(const char *file, int line) {
    fail("%s: __trap() at %s:%d", block->kernel->name, file, line);
    wait(file, line);
}
