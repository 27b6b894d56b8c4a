// What the files in `symbols` are made of; the numbers are those of `Library`.
.macro driver name
    graft_cuda_function \name, 0
.endm
.macro cublaslt name
    graft_cuda_function \name, 1
.endm
.macro cublas name
    graft_cuda_function \name, 2
.endm
.macro curand name
    graft_cuda_function \name, 3
.endm
.macro nvrtc name
    graft_cuda_function \name, 4
.endm
.macro cudnn name
    graft_cuda_function \name, 5
.endm
