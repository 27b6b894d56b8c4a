"""PyTorch's side of `crates/ops/examples/resnet18_convs.rs`: python scripts/bench_convs.py [BATCH] [THREADS] [REPEATS]

Prints the median milliseconds per picture of forward, input gradient and weight gradient of ResNet18's convolutions.
Written for torch 2.15.
"""
import sys
import time

import torch

LAYERS = [
    (1, 3, 64, 7, 2, 224),
    (4, 64, 64, 3, 1, 56),
    (1, 64, 128, 3, 2, 56),
    (1, 64, 128, 1, 2, 56),
    (3, 128, 128, 3, 1, 28),
    (1, 128, 256, 3, 2, 28),
    (1, 128, 256, 1, 2, 28),
    (3, 256, 256, 3, 1, 14),
    (1, 256, 512, 3, 2, 14),
    (1, 256, 512, 1, 2, 14),
    (3, 512, 512, 3, 1, 7),
]


def median(action, repeats):
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[repeats // 2] * 1e3


batch, threads, repeats = (list(map(int, sys.argv[1:])) + [4, 1, 9][len(sys.argv) - 1:])[:3]
torch.set_num_threads(threads)
totals = [0.0, 0.0, 0.0]
for count, c, o, k, stride, size in LAYERS:
    x, w = torch.randn(batch, c, size, size), torch.randn(o, c, k, k)
    dy = torch.randn_like(torch.conv2d(x, w, stride=stride, padding=k // 2))

    def gradient(mask):
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], 1, mask)

    times = [
        median(lambda: torch.conv2d(x, w, stride=stride, padding=k // 2), repeats) / batch,
        median(lambda: gradient([True, False, False]), repeats) / batch if c > 3 else 0.0,
        median(lambda: gradient([False, True, False]), repeats) / batch,
    ]
    print(f"{count} x {c:3} -> {o:3} {k}x{k}/{stride} at {size:3}: forward {times[0]:7.3f}  "
          f"input gradient {times[1]:7.3f}  weight gradient {times[2]:7.3f} ms a picture")
    totals = [t + count * time for t, time in zip(totals, times)]
print(f"batch {batch}, {threads} threads: forward {totals[0]:.2f} + input gradient {totals[1]:.2f} + "
      f"weight gradient {totals[2]:.2f} = {sum(totals):.2f} ms a picture")
