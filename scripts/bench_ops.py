"""What lies around the convolutions in torch, at the sizes of `cargo bench -p graft-ops --bench layers`.

    python scripts/bench_ops.py [--threads N] [--repeats N] [--only TEXT]

prints the smallest and the median time in milliseconds of each case, in both memory layouts where there are two. Needs
torch (written with 2.15).
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    return parser.parse_args()


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments

    def __call__(self, name, run):
        if self.arguments.only not in name:
            return
        times = []
        for _ in range(self.arguments.repeats + 2):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        times = times[2:]
        print(f"{name:80} min {min(times):9.3f}  median {statistics.median(times):9.3f} ms")


def maps(n, size, c, layout):
    return torch.randn(n, c, size, size).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()


def there_and_back(leaves, dy, op):
    def run():
        for leaf in leaves:
            leaf.grad = None
        op().backward(dy)

    return run


def batch_norm(bench):
    for batch in (4, 32):
        for size, c in ((112, 64), (56, 64), (28, 128), (14, 256), (7, 512)):
            for layout in LAYOUTS:
                name = f"batch norm [{batch}, {size}, {size}, {c}] {layout}/"
                x, other = maps(batch, size, c, layout), maps(batch, size, c, layout)
                dy = torch.randn_like(x)
                norm = torch.nn.BatchNorm2d(c)
                bench(
                    name + "relu, forward and backward",
                    there_and_back([x], dy, lambda: F.relu(norm(x), inplace=True)),
                )
                bench(
                    name + "add and relu, forward and backward",
                    there_and_back([x, other], dy, lambda: F.relu(norm(x).add_(other), inplace=True)),
                )
                if size == 112:
                    pooled = torch.randn_like(F.max_pool2d(x, 3, 2, 1))
                    bench(
                        name + "relu and max-pool, forward and backward",
                        there_and_back(
                            [x], pooled, lambda: F.max_pool2d(F.relu(norm(x), inplace=True), 3, 2, 1)
                        ),
                    )
                norm.eval()
                with torch.no_grad():
                    bench(name + "relu, evaluation", lambda: F.relu(norm(x), inplace=True))


def pools(bench):
    for name, size, c, kernel, ceil_mode in (
        ("SqueezeNet's first", 111, 64, 3, True),
        ("SqueezeNet's second", 55, 128, 3, True),
        ("SqueezeNet's third", 27, 256, 3, True),
        ("the tutorials' first", 224, 4, 2, False),
        ("the tutorials' second", 112, 8, 2, False),
    ):
        for layout in LAYOUTS:
            x = maps(4, size, c, layout)

            # SqueezeNet rectifies in place, which a leaf does not allow: `* 1` would be measured too, so it does not here.
            def op():
                return F.max_pool2d(F.relu(x), kernel, 2, ceil_mode=ceil_mode)

            dy = torch.randn_like(op())
            bench(f"relu and max-pool, {name} {layout}/forward and backward", there_and_back([x], dy, op))


def concatenation(bench):
    for size, c in ((55, 64), (27, 128), (13, 192), (13, 256)):
        for layout in LAYOUTS:
            a, b = maps(4, size, c, layout), maps(4, size, c, layout)

            def op():
                return torch.cat([F.relu(a), F.relu(b)], 1)

            dy = torch.randn_like(op())
            name = f"cat and relu of two [4, {size}, {size}, {c}] {layout}/forward and backward"
            bench(name, there_and_back([a, b], dy, op))


def wide_linear(bench):
    for batch in (4, 32):
        layer = torch.nn.Linear(25_088, 512, bias=False)
        x = torch.randn(batch, 25_088, requires_grad=True)
        dy = torch.randn(batch, 512)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1e-6, momentum=0.9)
        with torch.no_grad():
            bench(f"linear {batch} × 25088 to 512/forward", lambda: layer(x))

        def step():
            optimizer.zero_grad()
            x.grad = None
            layer(x).backward(dy)
            optimizer.step()

        bench(f"linear {batch} × 25088 to 512/forward, backward and SGD", step)


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    bench = Bench(arguments)
    for cases in (batch_norm, pools, concatenation, wide_linear):
        cases(bench)


if __name__ == "__main__":
    main()
