// What the emulated driver keeps: devices, contexts, streams, allocations.
#pragma once
#include <cuda.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "../kernels/entry.h"
#include "hooks.h"

#define GRAFT_API GRAFT_EXPORT CUresult

namespace graft {

// A setting from the environment.
bool enabled(const char *name, bool otherwise);
// Bytes with K, M or G behind them.
size_t bytes_of(const char *name, size_t otherwise);

// The memory pool of a device: memory that was freed stays reserved up to `threshold` when a stream is waited for.
struct Pool {
    size_t used = 0, reserved = 0, used_high = 0, reserved_high = 0, threshold = 0;
};

struct Device {
    size_t memory = 0, outside_pool = 0;  // bytes: in all; allocated without the pool
    Pool pool;
    CUcontext primary = nullptr;
    int retained = 0;
};

// Devices are there from the first `cuInit` on. `memory_lock` guards their counts of bytes.
std::vector<Device> &devices();
bool initialized();
void compute_capability(int *major, int *minor);
extern std::mutex memory_lock;

// Live objects that callers hold handles of.
template <class T>
class Handles {
    std::mutex lock;
    std::unordered_set<T *> live;

  public:
    T *add(T *object) {
        std::lock_guard<std::mutex> guard(lock);
        live.insert(object);
        return object;
    }
    bool has(T *object) {
        std::lock_guard<std::mutex> guard(lock);
        return live.count(object) > 0;
    }
    bool remove(T *object) {
        std::lock_guard<std::mutex> guard(lock);
        return live.erase(object) > 0;
    }
    std::vector<T *> all() {
        std::lock_guard<std::mutex> guard(lock);
        return std::vector<T *>(live.begin(), live.end());
    }
};
Handles<CUctx_st> &contexts();
Handles<CUstream_st> &streams();
Handles<CUevent_st> &events();
Handles<CUmod_st> &modules();
Handles<CUfunc_st> &functions();
Handles<CUgraph_st> &graphs();
Handles<CUgraphExec_st> &graph_execs();

// The context that is current in this thread, null without.
CUcontext &current();
// What a call that needs a live, unfailed current context must answer otherwise.
CUresult ready();
// Marks the context as failed: every later call answers this.
CUresult fail(CUcontext context, CUresult error);

// Finds the stream's object; default streams belong to the current context.
CUresult find_stream(CUstream handle, CUstream *stream);
// Work in a stream's order; of a stream that captures, a node of its graph.
struct Node {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_KERNEL;
    bool of_host = false;  // a copy that reads or writes memory of the host
    std::function<CUresult()> work;
};
CUresult submit(CUstream stream, std::function<CUresult()> work, CUgraphNodeType type = CU_GRAPH_NODE_TYPE_KERNEL,
                bool of_host = false);
// Whether the stream captures, which what was asked for would break: then it is broken.
bool breaks_capture(CUstream stream, const char *name);
// Waits for all that was submitted.
void drain(CUstream stream);
void drain(CUcontext context);
// Gives memory that the pool holds without use back, down to its threshold.
void trim(int device);

// What a graph does, and the memory that its nodes take and give back each time. `start` counts while that is taken.
struct GraphWork {
    struct Block {
        char *start;
        size_t size;
        int device;
    };
    std::vector<Node> nodes;
    std::map<CUdeviceptr, Block> blocks;
    std::vector<CUdeviceptr> given_back;
    bool broken = false;
    ~GraphWork();
};
CUresult allocate_in_graph(CUdeviceptr *address, size_t size, CUstream stream);
CUresult free_in_graph(CUdeviceptr address, CUstream stream);

// Whether a range lies in one live allocation reachable from `device`.
bool reachable(int device, CUdeviceptr start, size_t bytes, size_t alignment, const char *what);
// Whether the address lies in memory of a device, and so not of the host.
bool on_device(const void *address);
// Whether it lies in memory of the host from cuMemHostAlloc, which copies use later than they are called.
bool is_locked(const void *address);

}  // namespace graft

struct CUctx_st {
    int device = 0;
    bool primary = false;
    std::atomic<int> error{CUDA_SUCCESS};
    CUstream default_stream = nullptr;
};

struct CUstream_st {
    CUcontext context = nullptr;
    unsigned flags = 0;
    int priority = 0;
    // With GRAFT_EMULATED_ASYNC=1 a thread works off the queue.
    std::mutex lock;
    std::condition_variable changed;
    std::deque<std::function<CUresult()>> queue;
    size_t submitted = 0, completed = 0;
    bool closing = false;
    std::thread worker;
    std::shared_ptr<graft::GraphWork> captured;  // while it captures
};

struct CUgraph_st {
    std::shared_ptr<graft::GraphWork> work;
};

struct CUgraphExec_st {
    std::shared_ptr<graft::GraphWork> work;
};

struct CUevent_st {
    CUcontext context = nullptr;
    unsigned flags = 0;
    std::shared_ptr<std::atomic<int64_t>>
        nanoseconds;  // of its last record: 0 until that has been reached; null if never recorded
};

struct CUmod_st {
    CUcontext context = nullptr;
    std::map<std::string, std::vector<size_t>> entries;  // of the PTX: bytes of each parameter
    std::vector<std::unique_ptr<CUfunc_st>> functions;
};

struct CUfunc_st {
    CUmodule module = nullptr;
    const graft::KernelEntry *entry = nullptr;
};
