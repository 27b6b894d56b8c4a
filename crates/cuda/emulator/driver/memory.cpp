// Allocations: of devices, of their pools, and of the host's memory that devices reach.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "blocks.h"
#include "state.h"

struct CUmemPoolHandle_st {
    int device;
};

namespace graft {

std::mutex memory_lock;

namespace {

enum class Kind { Device, Pool, Host };

struct Allocation {
    size_t size;
    int device;
    Kind kind;
};

std::map<CUdeviceptr, Allocation> &allocations() {
    static auto all = new std::map<CUdeviceptr, Allocation>;
    return *all;
}

// Devices hand memory out in pieces of 512 bytes.
size_t rounded(size_t size) { return (size + 511) / 512 * 512; }

bool take(Device &device, size_t size, Kind kind) {
    Pool &pool = device.pool;
    if (kind == Kind::Device) {
        // Memory that the pool only keeps is given back before the device has none left.
        if (device.outside_pool + pool.reserved + size > device.memory) pool.reserved = pool.used;
        if (device.outside_pool + pool.reserved + size > device.memory) return false;
        device.outside_pool += size;
    } else if (kind == Kind::Pool) {
        if (device.outside_pool + pool.used + size > device.memory) return false;
        pool.used += size;
        pool.reserved = std::max(pool.reserved, pool.used);
        pool.used_high = std::max(pool.used_high, pool.used);
        pool.reserved_high = std::max(pool.reserved_high, pool.reserved);
    }
    return true;
}

void give(Device &device, size_t size, Kind kind) {
    if (kind == Kind::Device) device.outside_pool -= size;
    if (kind == Kind::Pool) device.pool.used -= size;
}

CUresult allocate(CUdeviceptr *address, size_t size, int number, Kind kind) {
    std::lock_guard<std::mutex> guard(memory_lock);
    Device &device = devices()[size_t(number)];
    if (!take(device, rounded(size), kind)) return CUDA_ERROR_OUT_OF_MEMORY;
    char *start = block_create(size);
    if (!start) {
        give(device, rounded(size), kind);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *address = reinterpret_cast<CUdeviceptr>(start);
    allocations()[*address] = {size, number, kind};
    return CUDA_SUCCESS;
}

// Takes the allocation that starts at this address off the list.
bool forget(CUdeviceptr address, Allocation *found) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto at = allocations().find(address);
    if (at == allocations().end()) {
        graft_emulated_say("0x%llx was freed, which is no live allocation", address);
        return false;
    }
    *found = at->second;
    allocations().erase(at);
    give(devices()[size_t(found->device)], rounded(found->size), found->kind);
    return true;
}

CUresult release(CUdeviceptr address, const Allocation &allocation) {
    if (block_destroy(reinterpret_cast<char *>(address), allocation.size)) return CUDA_SUCCESS;
    graft_emulated_say("memory outside of an allocation of %zu bytes was written; this is seen when it is freed",
                       allocation.size);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

CUmemoryPool pool_of(int device) {
    static auto handles = new std::map<int, CUmemPoolHandle_st>;
    std::lock_guard<std::mutex> guard(memory_lock);
    return &handles->emplace(device, CUmemPoolHandle_st{device}).first->second;
}

}  // namespace

// The allocation around an address, null without. The lock must be held.
static const Allocation *around(const void *address) {
    auto start = reinterpret_cast<CUdeviceptr>(address);
    auto after = allocations().upper_bound(start);
    if (after == allocations().begin()) return nullptr;
    auto at = std::prev(after);
    return start < at->first + at->second.size ? &at->second : nullptr;
}

bool on_device(const void *address) {
    std::lock_guard<std::mutex> guard(memory_lock);
    const Allocation *found = around(address);
    return found && found->kind != Kind::Host;
}

bool is_locked(const void *address) {
    std::lock_guard<std::mutex> guard(memory_lock);
    const Allocation *found = around(address);
    return found && found->kind == Kind::Host;
}

bool reachable(int device, CUdeviceptr start, size_t bytes, size_t alignment, const char *what) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto after = allocations().upper_bound(start);
    auto at = after == allocations().begin() ? allocations().end() : std::prev(after);
    bool inside = at != allocations().end() && start <= at->first + at->second.size;
    if (!inside) {
        graft_emulated_say("%s: 0x%llx lies in no live allocation", what, start);
    } else if (bytes > at->first + at->second.size - start) {
        graft_emulated_say("%s: %zu bytes at byte %llu of an allocation of %zu bytes", what, bytes, start - at->first,
                           at->second.size);
    } else if (at->second.kind != Kind::Host && at->second.device != device) {
        graft_emulated_say("%s: memory of device %d, used on device %d", what, at->second.device, device);
    } else if (start % alignment != 0) {
        graft_emulated_say("%s: 0x%llx is not a multiple of %zu", what, start, alignment);
    } else {
        return true;
    }
    return false;
}

void trim(int number) {
    std::lock_guard<std::mutex> guard(memory_lock);
    Pool &pool = devices()[size_t(number)].pool;
    pool.reserved = std::max(pool.used, std::min(pool.reserved, pool.threshold));
}

// Puts memory of a graph on the list, with fresh NaNs in it.
static CUresult take_block(const GraphWork::Block &block) {
    std::lock_guard<std::mutex> guard(memory_lock);
    if (!take(devices()[size_t(block.device)], rounded(block.size), Kind::Pool)) return CUDA_ERROR_OUT_OF_MEMORY;
    block_renew(block.start, block.size);
    allocations()[reinterpret_cast<CUdeviceptr>(block.start)] = {block.size, block.device, Kind::Pool};
    return CUDA_SUCCESS;
}

static CUresult give_block(const GraphWork::Block &block) {
    Allocation allocation;
    if (!forget(reinterpret_cast<CUdeviceptr>(block.start), &allocation)) return CUDA_ERROR_INVALID_VALUE;
    if (block_renew(block.start, block.size)) return CUDA_SUCCESS;
    graft_emulated_say("memory outside of an allocation of %zu bytes of a graph was written", block.size);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

CUresult allocate_in_graph(CUdeviceptr *address, size_t size, CUstream stream) {
    GraphWork &graph = *stream->captured;
    GraphWork::Block block = {block_create(size), size, stream->context->device};
    if (!block.start) return CUDA_ERROR_OUT_OF_MEMORY;
    if (CUresult error = take_block(block)) {
        block_destroy(block.start, size);
        return error;
    }
    *address = reinterpret_cast<CUdeviceptr>(block.start);
    graph.blocks[*address] = block;
    return submit(stream, [block] { return take_block(block); }, CU_GRAPH_NODE_TYPE_MEM_ALLOC);
}

CUresult free_in_graph(CUdeviceptr address, CUstream stream) {
    GraphWork &graph = *stream->captured;
    auto found = graph.blocks.find(address);
    if (found == graph.blocks.end()) {
        graph.broken = true;
        graft_emulated_say("0x%llx was freed while a stream captured, and was not allocated then", address);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (CUresult error = give_block(found->second)) return error;
    graph.given_back.push_back(address);
    return submit(stream, [block = found->second] { return give_block(block); }, CU_GRAPH_NODE_TYPE_MEM_FREE);
}

GraphWork::~GraphWork() {
    for (auto &[address, block] : blocks) {
        Allocation allocation;
        bool live;
        {
            std::lock_guard<std::mutex> guard(memory_lock);
            live = allocations().count(address) > 0;
        }
        if (live) forget(address, &allocation);
        block_destroy(block.start, block.size);
    }
}

}  // namespace graft

using namespace graft;

bool graft_emulated_reachable(CUstream handle, const void *start, size_t bytes, size_t alignment, const char *what) {
    CUstream stream;
    if (find_stream(handle, &stream) != CUDA_SUCCESS) return false;
    return bytes == 0 || reachable(stream->context->device, reinterpret_cast<CUdeviceptr>(start), bytes, alignment, what);
}

GRAFT_API cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    if (CUresult error = ready()) return error;
    if (!address || size == 0) return CUDA_ERROR_INVALID_VALUE;
    return allocate(address, size, current()->device, Kind::Device);
}

// Without bytes the address is null, which can be freed.
GRAFT_API cuMemAllocAsync(CUdeviceptr *address, size_t size, CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!address) return CUDA_ERROR_INVALID_VALUE;
    *address = 0;
    if (size > 0 && stream->captured) return allocate_in_graph(address, size, stream);
    return size == 0 ? CUDA_SUCCESS : allocate(address, size, stream->context->device, Kind::Pool);
}

GRAFT_API cuMemAllocFromPoolAsync(CUdeviceptr *address, size_t size, CUmemoryPool pool, CUstream handle) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    return cuMemAllocAsync(address, size, handle);
}

GRAFT_API cuMemFree_v2(CUdeviceptr address) {
    if (CUresult error = ready()) return error;
    if (address == 0) return CUDA_SUCCESS;
    for (CUcontext context : contexts().all()) drain(context);
    Allocation allocation;
    if (!forget(address, &allocation)) return CUDA_ERROR_INVALID_VALUE;
    CUresult error = release(address, allocation);
    return error ? fail(current(), error) : CUDA_SUCCESS;
}

GRAFT_API cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (address == 0) return CUDA_SUCCESS;
    if (stream->captured) return free_in_graph(address, stream);
    Allocation allocation;
    if (!forget(address, &allocation)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, [address, allocation] { return release(address, allocation); });
}

GRAFT_API cuMemHostAlloc(void **address, size_t size, unsigned) {
    if (CUresult error = ready()) return error;
    if (!address || size == 0) return CUDA_ERROR_INVALID_VALUE;
    CUdeviceptr made = 0;
    CUresult error = allocate(&made, size, current()->device, Kind::Host);
    *address = reinterpret_cast<void *>(made);
    return error;
}

GRAFT_API cuMemFreeHost(void *address) { return cuMemFree_v2(reinterpret_cast<CUdeviceptr>(address)); }

GRAFT_API cuMemGetInfo_v2(size_t *unused, size_t *total) {
    if (CUresult error = ready()) return error;
    if (!unused || !total) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard<std::mutex> guard(memory_lock);
    Device &device = devices()[size_t(current()->device)];
    *total = device.memory;
    *unused = device.memory - device.outside_pool - device.pool.reserved;
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device) {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    if (device < 0 || size_t(device) >= devices().size()) return CUDA_ERROR_INVALID_DEVICE;
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = pool_of(device);
    return CUDA_SUCCESS;
}
GRAFT_API cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device) { return cuDeviceGetDefaultMemPool(pool, device); }
GRAFT_API cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
    return pool && pool->device == device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

GRAFT_API cuMemPoolTrimTo(CUmemoryPool pool, size_t kept) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard<std::mutex> guard(memory_lock);
    Pool &counts = devices()[size_t(pool->device)].pool;
    counts.reserved = std::max(counts.used, std::min(counts.reserved, kept));
    return CUDA_SUCCESS;
}

GRAFT_API cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value) {
    if (!pool || !value) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard<std::mutex> guard(memory_lock);
    Pool &counts = devices()[size_t(pool->device)].pool;
    switch (attribute) {
        case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: counts.threshold = *static_cast<cuuint64_t *>(value); break;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: counts.reserved_high = counts.reserved; break;
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH: counts.used_high = counts.used; break;
        case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES: break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

GRAFT_API cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value) {
    if (!pool || !value) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard<std::mutex> guard(memory_lock);
    const Pool &counts = devices()[size_t(pool->device)].pool;
    auto number = static_cast<cuuint64_t *>(value);
    switch (attribute) {
        case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *number = counts.threshold; break;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: *number = counts.reserved; break;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: *number = counts.reserved_high; break;
        case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *number = counts.used; break;
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *number = counts.used_high; break;
        default: *static_cast<int *>(value) = 1;
    }
    return CUDA_SUCCESS;
}
