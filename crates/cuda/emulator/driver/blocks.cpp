#include "blocks.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "state.h"

namespace graft {

static const size_t PAGE = 4096;
static const unsigned char MARK = 0xa5;
#if defined(__SANITIZE_ADDRESS__)
static const size_t MARGIN = 0;  // the sanitizer has margins of its own
#else
static const size_t MARGIN = 256;
#endif

static bool guarded() {
    static const bool chosen = enabled("GRAFT_EMULATED_GUARD", false);
    return chosen;
}

// Of very large blocks, which are workspaces, only the beginning and the end: touching all of it would take longer than
// whatever computes with it.
static void poison(char *start, size_t size) {
    static const bool chosen = enabled("GRAFT_EMULATED_POISON", true);
    const size_t most = 32 << 20, end = 64 << 10;
    if (size > most + end) memset(start + size - end, chosen ? 0xff : 0, end);
    memset(start, chosen ? 0xff : 0, std::min(size, most));
}

static size_t pages(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

// Where the bytes between an allocation's end and the unreadable page begin.
static char *guarded_create(size_t size) {
    size_t used = pages(size);
    char *memory = static_cast<char *>(mmap(nullptr, used + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) return nullptr;
    mprotect(memory + used, PAGE, PROT_NONE);
    memset(memory, MARK, used);
    return memory + (used - size) / 16 * 16;
}

static bool marked(const char *start, size_t size) {
    for (size_t at = 0; at < size; at++) {
        if (static_cast<unsigned char>(start[at]) != MARK) return false;
    }
    return true;
}

static bool guarded_destroy(char *start, size_t size) {
    size_t used = pages(size), before = (used - size) / 16 * 16;
    char *memory = start - before;
    bool whole = marked(memory, before) && marked(start + size, used - size - before);
    // The addresses stay taken for a while, unreadable, so that a use after this is found.
    static std::mutex lock;
    static auto freed = new std::deque<std::pair<char *, size_t>>;
    std::lock_guard<std::mutex> guard(lock);
    mmap(memory, used, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    freed->emplace_back(memory, used + PAGE);
    if (freed->size() > 10000) {
        munmap(freed->front().first, freed->front().second);
        freed->pop_front();
    }
    return whole;
}

// Large blocks that were freed, by their sizes. Fresh pages for each are what an emulated program would wait for most.
struct Kept {
    std::mutex lock;
    std::multimap<size_t, char *> blocks;
    size_t bytes = 0;
};
static Kept &kept() {
    static auto all = new Kept;
    return *all;
}
static const size_t LARGE = 64 << 10, MOST = size_t(2) << 30;

static bool reuses() {
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    static const bool chosen = enabled("GRAFT_EMULATED_REUSE", true);
    return chosen;
#endif
}

static char *take_kept(size_t size) {
    if (size < LARGE || !reuses()) return nullptr;
    std::lock_guard<std::mutex> guard(kept().lock);
    auto found = kept().blocks.find(size);
    if (found == kept().blocks.end()) return nullptr;
    char *memory = found->second;
    kept().blocks.erase(found);
    kept().bytes -= size;
    return memory;
}

static bool keep(char *memory, size_t size) {
    if (size < LARGE || !reuses()) return false;
    std::lock_guard<std::mutex> guard(kept().lock);
    if (kept().bytes + size > MOST) return false;
    kept().blocks.emplace(size, memory);
    kept().bytes += size;
    return true;
}

char *block_create(size_t size) {
    char *start;
    if (guarded()) {
        start = guarded_create(size);
    } else {
        void *memory = take_kept(size);
        if (!memory && posix_memalign(&memory, 256, size + 2 * MARGIN) != 0) return nullptr;
        start = static_cast<char *>(memory) + MARGIN;
        memset(start - MARGIN, MARK, MARGIN);
        memset(start + size, MARK, MARGIN);
    }
    if (start) poison(start, size);
    return start;
}

bool block_destroy(char *start, size_t size) {
    if (guarded()) return guarded_destroy(start, size);
    bool whole = marked(start - MARGIN, MARGIN) && marked(start + size, MARGIN);
    if (keep(start - MARGIN, size)) return whole;
    poison(start, size);
    free(start - MARGIN);
    return whole;
}

bool block_renew(char *start, size_t size) {
    size_t before = MARGIN, behind = MARGIN;
    if (guarded()) {
        before = (pages(size) - size) / 16 * 16;
        behind = pages(size) - size - before;
    }
    bool whole = marked(start - before, before) && marked(start + size, behind);
    poison(start, size);
    return whole;
}

}  // namespace graft
