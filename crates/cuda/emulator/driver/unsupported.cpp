// Functions of the driver that programs on cudarc may name and that are not emulated: they say so and fail.
#include <cstdio>

#define NOT_EMULATED(name)                                             \
    extern "C" __attribute__((visibility("default"))) int name();      \
    int name() {                                                       \
        fprintf(stderr, "cuda emulator: " #name " is not emulated\n"); \
        return 801; /* CUDA_ERROR_NOT_SUPPORTED */                     \
    }

NOT_EMULATED(cuCtxCreate_v3)
NOT_EMULATED(cuCtxGetCacheConfig)
NOT_EMULATED(cuCtxGetLimit)
NOT_EMULATED(cuDestroyExternalMemory)
NOT_EMULATED(cuDeviceGetUuid)
NOT_EMULATED(cuExternalMemoryGetMappedBuffer)
NOT_EMULATED(cuFuncSetAttribute)
NOT_EMULATED(cuGetProcAddress_v2)
NOT_EMULATED(cuImportExternalMemory)
NOT_EMULATED(cuLaunchCooperativeKernel)
NOT_EMULATED(cuMemAdvise_v2)
NOT_EMULATED(cuMemAllocManaged)
NOT_EMULATED(cuMemPoolCreate)
NOT_EMULATED(cuMemPoolDestroy)
NOT_EMULATED(cuMemPrefetchAsync_v2)
NOT_EMULATED(cuModuleGetGlobal_v2)
NOT_EMULATED(cuOccupancyAvailableDynamicSMemPerBlock)
NOT_EMULATED(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)
NOT_EMULATED(cuOccupancyMaxActiveClusters)
NOT_EMULATED(cuOccupancyMaxPotentialBlockSize)
NOT_EMULATED(cuOccupancyMaxPotentialBlockSizeWithFlags)
NOT_EMULATED(cuOccupancyMaxPotentialClusterSize)
NOT_EMULATED(cuPointerGetAttribute)
NOT_EMULATED(cuProfilerStart)
NOT_EMULATED(cuProfilerStop)
NOT_EMULATED(cuStreamAttachMemAsync)
