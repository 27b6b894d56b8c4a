// Graphs: what a stream was given while it captured, to be given to it again.
#include <cstring>

#include "state.h"

namespace graft {

Handles<CUgraph_st> &graphs() {
    static auto all = new Handles<CUgraph_st>;
    return *all;
}
Handles<CUgraphExec_st> &graph_execs() {
    static auto all = new Handles<CUgraphExec_st>;
    return *all;
}

bool breaks_capture(CUstream stream, const char *name) {
    if (!stream->captured) return false;
    stream->captured->broken = true;
    graft_emulated_say("%s of a stream that captures", name);
    return true;
}

}  // namespace graft

using namespace graft;

// A default stream can't capture.
GRAFT_API cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (stream != handle) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->captured) return CUDA_ERROR_INVALID_VALUE;
    stream->captured = std::make_shared<GraphWork>();
    return CUDA_SUCCESS;
}

GRAFT_API cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!graph || !stream->captured) return CUDA_ERROR_INVALID_VALUE;
    auto work = std::move(stream->captured);
    stream->captured = nullptr;
    *graph = nullptr;
    if (work->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = graphs().add(new CUgraph_st{work});
    return CUDA_SUCCESS;
}

GRAFT_API cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
    if (!graphs().has(graph) || !count) return CUDA_ERROR_INVALID_VALUE;
    auto &all = graph->work->nodes;
    if (!nodes) {
        *count = all.size();
        return CUDA_SUCCESS;
    }
    for (size_t at = 0; at < *count; at++) nodes[at] = at < all.size() ? reinterpret_cast<CUgraphNode>(&all[at]) : nullptr;
    *count = std::min(*count, all.size());
    return CUDA_SUCCESS;
}

GRAFT_API cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type) {
    if (!node || !type) return CUDA_ERROR_INVALID_VALUE;
    *type = reinterpret_cast<Node *>(node)->type;
    return CUDA_SUCCESS;
}

// Only the kinds of memory are told.
GRAFT_API cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D *parameters) {
    if (!node || !parameters || reinterpret_cast<Node *>(node)->type != CU_GRAPH_NODE_TYPE_MEMCPY)
        return CUDA_ERROR_INVALID_VALUE;
    memset(parameters, 0, sizeof *parameters);
    parameters->srcMemoryType = reinterpret_cast<Node *>(node)->of_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    parameters->dstMemoryType = CU_MEMORYTYPE_DEVICE;
    return CUDA_SUCCESS;
}

GRAFT_API cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long) {
    if (CUresult error = ready()) return error;
    if (!exec || !graphs().has(graph)) return CUDA_ERROR_INVALID_VALUE;
    *exec = graph_execs().add(new CUgraphExec_st{graph->work});
    return CUDA_SUCCESS;
}

GRAFT_API cuGraphUpload(CUgraphExec exec, CUstream) {
    return graph_execs().has(exec) ? ready() : CUDA_ERROR_INVALID_VALUE;
}

GRAFT_API cuGraphLaunch(CUgraphExec exec, CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!graph_execs().has(exec)) return CUDA_ERROR_INVALID_VALUE;
    graft_emulated_trace("cuGraphLaunch: %zu nodes", exec->work->nodes.size());
    auto work = exec->work;
    if (work->given_back.size() < work->blocks.size()) {
        graft_emulated_say("a graph is launched that keeps memory from one launch to the next");
        return CUDA_ERROR_INVALID_VALUE;
    }
    // As one piece, so that memory is never taken while the launch before it is under way.
    return submit(stream, [work] {
        for (auto &node : work->nodes) {
            if (CUresult error = node.work()) return error;
        }
        return CUDA_SUCCESS;
    });
}

GRAFT_API cuGraphExecDestroy(CUgraphExec exec) {
    if (!graph_execs().remove(exec)) return CUDA_ERROR_INVALID_VALUE;
    delete exec;
    return CUDA_SUCCESS;
}

GRAFT_API cuGraphDestroy(CUgraph graph) {
    if (!graphs().remove(graph)) return CUDA_ERROR_INVALID_VALUE;
    delete graph;
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGraphMemTrim(CUdevice device) {
    return device >= 0 && size_t(device) < devices().size() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
