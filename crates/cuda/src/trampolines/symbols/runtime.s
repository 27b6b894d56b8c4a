// libcudart, for candle's kernels that nothing here runs. What compiled kernels do before `main` is nothing here:
graft_cuda_answer __cudaRegisterFatBinary, 0
graft_cuda_answer __cudaRegisterFatBinaryEnd, 0
graft_cuda_answer __cudaRegisterFunction, 0
graft_cuda_answer __cudaRegisterHostVar, 0
graft_cuda_answer __cudaRegisterManagedVar, 0
graft_cuda_answer __cudaRegisterUnifiedTable, 0
graft_cuda_answer __cudaRegisterVar, 0
graft_cuda_answer __cudaUnregisterFatBinary, 0
graft_cuda_answer __cudaInitModule, 0
// whatever launches one is cudaErrorNotSupported:
graft_cuda_answer __cudaGetKernel, 801
graft_cuda_answer __cudaLaunchKernel, 801
graft_cuda_answer __cudaLaunchKernel_ptsz, 801
graft_cuda_answer __cudaPopCallConfiguration, 801
graft_cuda_answer __cudaPushCallConfiguration, 801
graft_cuda_answer cudaDeviceGetAttribute, 801
graft_cuda_answer cudaDeviceSynchronize, 801
graft_cuda_answer cudaFree, 801
graft_cuda_answer cudaFreeAsync, 801
graft_cuda_answer cudaFreeAsync_ptsz, 801
graft_cuda_answer cudaFuncGetAttributes, 801
graft_cuda_answer cudaFuncSetAttribute, 801
graft_cuda_answer cudaGetDevice, 801
graft_cuda_answer cudaGetDeviceCount, 801
graft_cuda_answer cudaGetLastError, 801
graft_cuda_answer cudaLaunchKernel, 801
graft_cuda_answer cudaLaunchKernel_ptsz, 801
graft_cuda_answer cudaLaunchKernelExC, 801
graft_cuda_answer cudaLaunchKernelExC_ptsz, 801
graft_cuda_answer cudaMalloc, 801
graft_cuda_answer cudaMallocAsync, 801
graft_cuda_answer cudaMallocAsync_ptsz, 801
graft_cuda_answer cudaMemcpy, 801
graft_cuda_answer cudaMemcpy_ptds, 801
graft_cuda_answer cudaMemcpyAsync, 801
graft_cuda_answer cudaMemcpyAsync_ptsz, 801
graft_cuda_answer cudaMemset, 801
graft_cuda_answer cudaMemset_ptds, 801
graft_cuda_answer cudaMemsetAsync, 801
graft_cuda_answer cudaMemsetAsync_ptsz, 801
graft_cuda_answer cudaOccupancyMaxActiveBlocksPerMultiprocessor, 801
graft_cuda_answer cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, 801
graft_cuda_answer cudaPeekAtLastError, 801
graft_cuda_answer cudaSetDevice, 801
graft_cuda_answer cudaStreamSynchronize, 801
graft_cuda_answer cudaStreamSynchronize_ptsz, 801
// texts are null:
graft_cuda_answer cudaGetErrorName, 0
graft_cuda_answer cudaGetErrorString, 0
// and what the host's side of these kernels needs of libstdc++, when it runs, is a trap.
graft_cuda_trap __cxa_guard_abort
graft_cuda_trap __cxa_guard_acquire
graft_cuda_trap __cxa_guard_release
graft_cuda_trap __gxx_personality_v0
