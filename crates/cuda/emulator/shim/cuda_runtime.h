// For kernels: everything is in graft_kernel.h, which is included in front of them.
#pragma once
