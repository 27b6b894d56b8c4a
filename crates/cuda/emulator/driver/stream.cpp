// Streams and events. Work runs when it is submitted, or in a thread of its stream with GRAFT_EMULATED_ASYNC=1.
#include "state.h"

namespace graft {

Handles<CUstream_st> &streams() {
    static auto all = new Handles<CUstream_st>;
    return *all;
}
Handles<CUevent_st> &events() {
    static auto all = new Handles<CUevent_st>;
    return *all;
}

static bool asynchronous() {
    static const bool chosen = enabled("GRAFT_EMULATED_ASYNC", false);
    return chosen;
}

static void work_off(CUstream stream) {
    std::unique_lock<std::mutex> guard(stream->lock);
    for (;;) {
        stream->changed.wait(guard, [&] { return !stream->queue.empty() || stream->closing; });
        if (stream->queue.empty()) return;
        auto work = std::move(stream->queue.front());
        stream->queue.pop_front();
        guard.unlock();
        if (stream->context->error == CUDA_SUCCESS) {
            if (CUresult error = work()) fail(stream->context, error);
        }
        guard.lock();
        stream->completed++;
        stream->changed.notify_all();
    }
}

CUresult submit(CUstream stream, std::function<CUresult()> work, CUgraphNodeType type, bool of_host) {
    if (stream->captured) {
        if (stream->captured->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        stream->captured->nodes.push_back({type, of_host, std::move(work)});
        return CUDA_SUCCESS;
    }
    if (!asynchronous()) {
        CUresult error = work();
        return error ? fail(stream->context, error) : CUDA_SUCCESS;
    }
    std::lock_guard<std::mutex> guard(stream->lock);
    if (!stream->worker.joinable()) stream->worker = std::thread(work_off, stream);
    stream->queue.push_back(std::move(work));
    stream->submitted++;
    stream->changed.notify_all();
    return CUDA_SUCCESS;
}

void drain(CUstream stream) {
    std::unique_lock<std::mutex> guard(stream->lock);
    stream->changed.wait(guard, [&] { return stream->completed == stream->submitted; });
}

void drain(CUcontext context) {
    for (CUstream stream : streams().all()) {
        if (stream->context == context) drain(stream);
    }
}

static CUstream create(CUcontext context, unsigned flags, int priority) {
    auto stream = new CUstream_st;
    stream->context = context;
    stream->flags = flags;
    stream->priority = priority;
    return streams().add(stream);
}

CUresult find_stream(CUstream handle, CUstream *stream) {
    if (CUresult error = ready()) return error;
    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        static std::mutex lock;
        std::lock_guard<std::mutex> guard(lock);
        if (!current()->default_stream) current()->default_stream = create(current(), 0, 0);
        *stream = current()->default_stream;
        // The default stream waits for the others, in whatever it is given.
        if (handle != CU_STREAM_PER_THREAD) drain(current());
        return CUDA_SUCCESS;
    }
    if (!streams().has(handle) || handle->context != current()) {
        graft_emulated_say("a stream was used that is destroyed, or of another context than the current one");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    *stream = handle;
    return CUDA_SUCCESS;
}

static int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

static CUresult find_event(CUevent event) {
    if (CUresult error = ready()) return error;
    return events().has(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static void wait_for(const std::shared_ptr<std::atomic<int64_t>> &mark) {
    while (mark && *mark == 0) std::this_thread::yield();
}

}  // namespace graft

using namespace graft;

CUresult graft_emulated_submit(CUstream handle, const std::function<bool()> &work) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    return submit(stream, [work] { return work() ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED; });
}

bool graft_emulated_stream(CUstream handle) {
    CUstream stream;
    return find_stream(handle, &stream) == CUDA_SUCCESS;
}

GRAFT_API cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    if (CUresult error = ready()) return error;
    if (!stream || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    *stream = create(current(), flags, priority);
    return CUDA_SUCCESS;
}
GRAFT_API cuStreamCreate(CUstream *stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

GRAFT_API cuStreamDestroy_v2(CUstream stream) {
    if (!streams().has(stream)) return CUDA_ERROR_INVALID_HANDLE;
    drain(stream);
    streams().remove(stream);
    {
        std::lock_guard<std::mutex> guard(stream->lock);
        stream->closing = true;
        stream->changed.notify_all();
    }
    if (stream->worker.joinable()) stream->worker.join();
    delete stream;
    return CUDA_SUCCESS;
}

GRAFT_API cuStreamSynchronize(CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (breaks_capture(stream, "cuStreamSynchronize")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    drain(stream);
    trim(stream->context->device);
    return ready();
}

GRAFT_API cuStreamQuery(CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    std::lock_guard<std::mutex> guard(stream->lock);
    return stream->completed == stream->submitted ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

GRAFT_API cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    *status = !stream->captured          ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->captured->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                         : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

GRAFT_API cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (CUresult error = find_event(event)) return error;
    auto mark = event->nanoseconds;
    return submit(stream, [mark] {
        wait_for(mark);
        return CUDA_SUCCESS;
    });
}

GRAFT_API cuLaunchHostFunc(CUstream handle, CUhostFn function, void *data) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, [function, data] {
        function(data);
        return CUDA_SUCCESS;
    });
}

GRAFT_API cuEventCreate(CUevent *event, unsigned flags) {
    if (CUresult error = ready()) return error;
    if (!event) return CUDA_ERROR_INVALID_VALUE;
    auto made = new CUevent_st;
    made->context = current();
    made->flags = flags;
    *event = events().add(made);
    return CUDA_SUCCESS;
}

GRAFT_API cuEventDestroy_v2(CUevent event) {
    if (!events().remove(event)) return CUDA_ERROR_INVALID_HANDLE;
    delete event;
    return CUDA_SUCCESS;
}

GRAFT_API cuEventRecord(CUevent event, CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (CUresult error = find_event(event)) return error;
    if (breaks_capture(stream, "cuEventRecord")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (event->context != stream->context) return CUDA_ERROR_INVALID_HANDLE;
    auto mark = std::make_shared<std::atomic<int64_t>>(0);
    event->nanoseconds = mark;
    return submit(stream, [mark] {
        *mark = now();
        return CUDA_SUCCESS;
    });
}

GRAFT_API cuEventSynchronize(CUevent event) {
    if (CUresult error = find_event(event)) return error;
    while (event->nanoseconds && *event->nanoseconds == 0 && !event->context->error) std::this_thread::yield();
    return ready();
}

GRAFT_API cuEventQuery(CUevent event) {
    if (CUresult error = find_event(event)) return error;
    return event->nanoseconds && *event->nanoseconds == 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

#undef cuEventElapsedTime
GRAFT_API cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
    if (CUresult error = find_event(start)) return error;
    if (CUresult error = find_event(end)) return error;
    bool timed = !((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING);
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    if (!timed || !start->nanoseconds || !end->nanoseconds) return CUDA_ERROR_INVALID_HANDLE;
    if (*start->nanoseconds == 0 || *end->nanoseconds == 0) return CUDA_ERROR_NOT_READY;
    *milliseconds = float(double(*end->nanoseconds - *start->nanoseconds) / 1e6);
    return CUDA_SUCCESS;
}
GRAFT_API cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}
