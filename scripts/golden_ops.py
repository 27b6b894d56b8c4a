"""Golden values for crates/ops, made by torch 2.15.0 on a CPU: python scripts/golden_ops.py

Writes ops, windows and activations.safetensors in crates/ops/tests/golden. Each test in golden.rs, golden_windows.rs and
golden_activations.rs in crates/ops/tests/ops shows the lines it stands on.
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

folder = Path(__file__).parent.parent / "crates/ops/tests/golden"
torch.manual_seed(0)
out = {}


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


def keep(case, y, **leaves):
    """Keeps the inputs, the result, a random gradient at the result, and the gradients it leads to."""
    dy = torch.randn_like(y)
    y.backward(dy)
    out[f"{case}.y"], out[f"{case}.dy"] = y, dy
    for name, leaf in leaves.items():
        out[f"{case}.{name}"] = leaf
        out[f"{case}.d{name}"] = leaf.grad


def conv(case, x, w, b=None, **options):
    leaves = dict(x=x, w=w) if b is None else dict(x=x, w=w, b=b)
    keep(case, F.conv2d(x, w, b, **options), **leaves)


conv("conv.stem", leaf(2, 3, 17, 23), leaf(8, 3, 7, 7), stride=2, padding=3)
conv("conv.same", leaf(3, 6, 9, 7), leaf(10, 6, 3, 3), leaf(10), padding=1)
conv("conv.point", leaf(2, 12, 6, 5), leaf(7, 12, 1, 1), leaf(7))
conv("conv.uneven", leaf(1, 4, 11, 10), leaf(6, 4, 1, 5), leaf(6), stride=(3, 1), padding=(0, 2), dilation=(1, 2))
conv("conv.groups", leaf(2, 12, 8, 9), leaf(18, 4, 3, 2), leaf(18), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=3)
conv("conv.depthwise", leaf(2, 5, 9, 8), leaf(10, 1, 3, 3), leaf(10), stride=2, padding=1, groups=5)

x, w, b = leaf(5, 7), leaf(3, 7), leaf(3)
keep("linear", F.linear(x, w, b), x=x, w=w, b=b)

x = leaf(2, 3, 13, 10)
keep("max.stem", F.max_pool2d(x, 3, 2, 1), x=x)
x = torch.randint(0, 3, (2, 3, 8, 11)).float().requires_grad_()
keep("max.ties", F.max_pool2d(x, (3, 2), (2, 3), (1, 0), ceil_mode=True), x=x)
x = leaf(2, 3, 9, 8)
keep("avg.pad", F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=True), x=x)
x = leaf(2, 3, 9, 8)
keep("avg.nopad", F.avg_pool2d(x, (3, 4), (2, 3), (1, 2), ceil_mode=True, count_include_pad=False), x=x)
x = leaf(3, 4, 5, 7)
keep("avg.global", x.mean((2, 3)), x=x)

x, w, b = torch.randn(4, 5, 3, 7).mul(2).add(3).requires_grad_(), leaf(5), leaf(5)
mean, var = torch.randn(5), torch.rand(5) + 0.5
out["bn.mean0"], out["bn.var0"] = mean.clone(), var.clone()
keep("bn.train", F.batch_norm(x, mean, var, w, b, training=True, momentum=0.3, eps=1e-3), x=x, w=w, b=b)
out["bn.mean1"], out["bn.var1"] = mean.clone(), var.clone()
x, w, b = leaf(4, 5, 3, 7), leaf(5), leaf(5)
keep("bn.eval", F.batch_norm(x, mean, var, w, b, training=False, eps=1e-5), x=x, w=w, b=b)

x = torch.tensor([-1.0, -0.0, 0.0, 1e-30, 2.0]).requires_grad_()
keep("relu", torch.relu(x), x=x)

x = torch.randn(6, 5).mul(30).requires_grad_()
labels = torch.tensor([0, 4, 2, 2, 1, 3])
keep("ce", F.cross_entropy(x, labels), x=x)
out["ce.softmax"] = x.softmax(1)

p = torch.randn(4, 3, requires_grad=True)
optimizer = torch.optim.SGD([p], lr=0.05, momentum=0.9, weight_decay=0.01)
grads = torch.randn(10, 4, 3)
out["sgd.p0"], out["sgd.grads"] = p.detach().clone(), grads
for grad in grads:
    p.grad = grad.clone()
    optimizer.step()
out["sgd.p10"] = p
out["sgd.v10"] = optimizer.state[p]["momentum_buffer"]

# A whole small residual network: every op on one tape.
x, w1, w2, g, h, fc, fb = leaf(3, 3, 12, 10), leaf(4, 3, 3, 3), leaf(4, 4, 3, 3), leaf(4), leaf(4), leaf(5, 4), leaf(5)
y = F.relu(F.batch_norm(F.conv2d(x, w1, stride=2, padding=1), None, None, g, h, training=True))
y = F.relu(F.conv2d(y, w2, padding=1) + y)
y = F.max_pool2d(y, 2)
y = torch.cat([y, y * 1], 3)
y = F.cross_entropy(F.linear(y.mean((2, 3)), fc, fb), torch.tensor([1, 0, 4]))
keep("net", y, x=x, w1=w1, w2=w2, g=g, h=h, fc=fc, fb=fb)


def write(name):
    """Writes what was kept since the last file."""
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"made_by": f"torch {torch.__version__}"}
    save_file({k: v.detach().contiguous() for k, v in out.items()}, path, metadata=metadata)
    print(path.name, path.stat().st_size, "bytes,", len(out), "tensors, torch", torch.__version__)
    out.clear()


write("ops")

# Windows of all kinds, such as Inception's and MobileNets'.
torch.manual_seed(1)

conv("conv.1x7", leaf(2, 16, 5, 9), leaf(10, 16, 1, 7), leaf(10), padding=(0, 3))
conv("conv.7x1", leaf(1, 18, 9, 5), leaf(12, 18, 7, 1), padding=(3, 0))
conv("conv.1x3", leaf(1, 20, 6, 7), leaf(19, 20, 1, 3), leaf(19), padding=(0, 1))
conv("conv.3x1", leaf(2, 16, 7, 4), leaf(16, 16, 3, 1), padding=(1, 0))
conv("conv.uneven", leaf(1, 16, 6, 7), leaf(16, 16, 3, 3), leaf(16), padding=(0, 2))
conv("conv.tall", leaf(1, 3, 11, 8), leaf(5, 3, 5, 2), stride=(2, 1), padding=(3, 0))
conv("depth.3", leaf(2, 17, 7, 6), leaf(17, 1, 3, 3), padding=1, groups=17)
conv("depth.3/2", leaf(1, 33, 7, 8), leaf(33, 1, 3, 3), leaf(33), stride=2, padding=1, groups=33)
conv("depth.5", leaf(1, 16, 7, 9), leaf(16, 1, 5, 5), leaf(16), padding=2, groups=16)
conv("depth.5/2", leaf(2, 19, 8, 7), leaf(19, 1, 5, 5), stride=2, padding=2, groups=19)

x = leaf(2, 5, 8, 7)
keep("max.ceil", F.max_pool2d(x, 3, 2, ceil_mode=True), x=x)
x = leaf(1, 17, 6, 7)
keep("max.same", F.max_pool2d(x, 3, 1, 1, ceil_mode=True), x=x)
x = leaf(2, 6, 7, 5)
keep("avg.same", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x=x)
x = leaf(1, 5, 7, 9)
keep("avg.ceil", F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False), x=x)
x = leaf(2, 3, 9, 6)
keep("avg.uneven", F.avg_pool2d(x, (5, 2), (2, 3), (2, 1), ceil_mode=True, count_include_pad=False), x=x)

for case, shape, size in [
    ("one", (2, 3, 5, 6), (1, 1)),
    ("same", (3, 5, 4, 3), (4, 3)),
    ("less", (2, 17, 7, 5), (3, 2)),
    ("more", (1, 4, 5, 6), (7, 13)),
    ("mixed", (1, 2, 13, 4), (6, 9)),
]:
    x = leaf(*shape)
    keep(f"adaptive.{case}", F.adaptive_avg_pool2d(x, size), x=x)

write("windows")

torch.manual_seed(2)
activations = dict(relu=F.relu, relu6=F.relu6, sigmoid=torch.sigmoid)
activations |= dict(hardsigmoid=F.hardsigmoid, silu=F.silu, hardswish=F.hardswish)
near = [-8.0, -3.0, -2.9999995, -1e-30, -0.0, 0.0, 1e-30, 2.9999995, 3.0, 5.9999995, 6.0, 6.0000005, 8.0]
far = [-1e30, -1000.0, -100.0, -89.0, -88.1, -87.0, -20.0, 20.0, 88.1, 100.0]
for name, activation in activations.items():
    x = torch.cat([torch.tensor(near), torch.randn(50) * 3]).requires_grad_()
    keep(f"{name}.near", activation(x), x=x)
    x = torch.tensor(far).requires_grad_()
    keep(f"{name}.far", activation(x), x=x)

x, gate = leaf(2, 5, 3, 4), leaf(2, 5)
keep("scale", x * gate[:, :, None, None], x=x, gate=gate)
x, gate = leaf(1, 17, 7, 5), leaf(1, 17)
keep("scale.wide", x * gate[:, :, None, None], x=x, gate=gate)

mean, var = torch.randn(5), torch.rand(5) + 0.5
out["bn.mean"], out["bn.var"] = mean, var
for name, activation in activations.items():
    x, w, b = leaf(2, 5, 3, 7), torch.randn(5).mul(4).requires_grad_(), leaf(5)
    keep(f"bn.train.{name}", activation(F.batch_norm(x, None, None, w, b, training=True)), x=x, w=w, b=b)
    x, w, b = leaf(1, 5, 3, 7), torch.randn(5).mul(4).requires_grad_(), leaf(5)
    keep(f"bn.eval.{name}", activation(F.batch_norm(x, mean, var, w, b)), x=x, w=w, b=b)

# An inverted residual with squeeze and excitation, as in MobileNetV3.
x, we, ge, be = leaf(2, 6, 7, 5), leaf(10, 6, 1, 1), leaf(10), leaf(10)
wd, gd, bd, w1, b1, w2, b2 = leaf(10, 1, 5, 5), leaf(10), leaf(10), leaf(4, 10), leaf(4), leaf(10, 4), leaf(10)
wp = leaf(6, 10, 1, 1)
y = F.hardswish(F.batch_norm(F.conv2d(x, we), None, None, ge, be, training=True))
y = F.hardswish(F.batch_norm(F.conv2d(y, wd, padding=2, groups=10), None, None, gd, bd, training=True))
s = F.linear(F.relu(F.linear(F.adaptive_avg_pool2d(y, 1).flatten(1), w1, b1)), w2, b2)
y = F.conv2d(y * F.hardsigmoid(s)[:, :, None, None], wp) + x
leaves = dict(x=x, we=we, ge=ge, be=be, wd=wd, gd=gd, bd=bd, w1=w1, b1=b1, w2=w2, b2=b2, wp=wp)
keep("inverted", y, **leaves)

write("activations")
