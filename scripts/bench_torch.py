#!/usr/bin/env python3
"""PyTorch's side of `graft bench`: the same measurements, printed as one line of JSON with the same fields.

    python scripts/bench_torch.py [--model M] [--transfer fine-tune|frozen] [--batch-size N] [--size S] [--threads T]
                                  [--channels-last] [--seconds S] [--measure train,forward,input] [--pictures DIR]
                                  [--device cpu|cuda] [--precision f32|tf32|bf16] [--no-cudnn-benchmark]
    python scripts/bench_torch.py --serve [--device cpu|cuda]

`forward_ms_per_image` is the network in evaluation mode without gradients, `train_step_ms_per_image` forward, cross
entropy, backward and SGD with momentum in training mode, `input_ms_per_image` torchvision's usual training input with
PIL (decode, RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize) on one thread: medians. `peak_memory_mb` is
ru_maxrss of this process after its training steps, which are measured first, with nothing subtracted: it holds
Python and PyTorch's libraries as well; `memory_before_mb` is what those took before there was a network.

On a GPU each call waits for its end. `--precision tf32` allows TF32 in convolutions and products, `f32` forbids it in both, `bf16`
is autocast to bfloat16. Without `--no-cudnn-benchmark` cuDNN tries its algorithms and keeps the fastest. PyTorch keeps what was
chosen for as long as the process lives, whatever is asked for later, so a process should be asked for one way only.

`--serve` starts the libraries and the device once, says so in a line, and then answers each line of its input, a list of
arguments in JSON, with the line of its measurement, or with `{"error": ...}`. What a measurement took is freed before.

Models are torchvision's, Graft's `convnet` with the options of experiments/beeant.toml, and `separable-block`: the block
of MobileNet v1 (arXiv:1704.04861) with 128 channels at 56 x 56, that is depthwise 3x3 and pointwise 1x1 convolution,
each with batch norm and ReLU; its input's gradient is computed, too, and nothing is updated. Its other side is
`cargo run --release -p graft-ops --example separable_block`. Needs torch and torchvision; written for 2.15 and 0.29.
"""
import argparse
import gc
import io
import json
import pathlib
import resource
import statistics
import sys
import time
import traceback

import torch
import torchvision
from torch import nn

THREADS = torch.get_num_threads()
LIBRARIES_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLASSES = 2
BLOCK_CHANNELS, BLOCK_SIZE = 128, 56
# As `graft bench --pictures` chooses them.
PICTURES = 64


def convnet(classes, size):
    """Graft's `convnet` with the options of experiments/beeant.toml."""
    side = size // 4
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * side * side, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, classes))


def separable_block(channels):
    """The block, and an average pool so that the loss is a cross entropy over `channels` classes."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten())


def build(model, size, transfer):
    if model == "separable-block":
        return separable_block(BLOCK_CHANNELS)
    network = convnet(CLASSES, size) if model == "convnet" else torchvision.models.get_model(model, num_classes=CLASSES)
    if transfer == "frozen":
        *backbone, head = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
        network.requires_grad_(False)
        head.requires_grad_(True)
    return network


def median_ms(action, seconds, least=5):
    """The median over at least `least` calls and `seconds`, after a warm-up of two calls and a fifth of the time."""
    def repeat(least, seconds):
        times, begin = [], time.perf_counter()
        while len(times) < least or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        return times

    repeat(2, seconds / 5)
    times = repeat(least, seconds)
    return 1e3 * statistics.median(times), len(times)


def made_up_jpegs(count=8, width=500, height=375):
    """Soft shapes with grain: about as many bytes a pixel as photographs have."""
    from PIL import Image

    pictures = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 8, 10, generator=generator)
        fine = torch.rand(1, 3, height // 3, width // 3, generator=generator)
        soft = nn.functional.interpolate(coarse, (height, width), mode="bicubic")
        grain = nn.functional.interpolate(fine, (height, width), mode="bilinear") - 0.5
        levels = (soft * 200 + 28 + grain * 60).clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=90)
        pictures.append(file.getvalue())
    return pictures


def jpegs(folder):
    """The contents of the JPEG files that are measured."""
    if folder is None:
        return made_up_jpegs()
    files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    count = min(len(files), PICTURES)
    return [files[number * len(files) // count].read_bytes() for number in range(count)]


def input_ms(folder, size, seconds):
    """Milliseconds a picture of torchvision's usual training input, on one thread, from JPEG files in memory."""
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(1)
    pictures = jpegs(folder)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize(MEAN, STD)])

    def prepare_all():
        for picture in pictures:
            # As torchvision.datasets.folder.pil_loader does.
            transform(Image.open(io.BytesIO(picture)).convert("RGB"))

    took, repeats = median_ms(prepare_all, seconds)
    return took / len(pictures), repeats


def parse(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--transfer", default="fine-tune", choices=["fine-tune", "frozen"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--measure", default="train,forward,input")
    parser.add_argument("--pictures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32", choices=["f32", "tf32", "bf16"])
    parser.add_argument("--no-cudnn-benchmark", action="store_true")
    parser.add_argument("--json", action="store_true", help="changes nothing: the output is always JSON")
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args(arguments)
    args.block = args.model == "separable-block"
    args.size = args.size or (BLOCK_SIZE if args.block else 224)
    args.measure = args.measure.split(",")
    return args


def empty_record(args):
    """The fields of a measurement, before anything was measured."""
    return {
        "program": "torch", "version": torch.__version__, "model": args.model, "transfer": args.transfer,
        "batch_size": args.batch_size, "size": args.size, "threads": args.threads, "dtype": args.precision,
        "device": args.device, "memory_format": "channels_last" if args.channels_last else "contiguous",
        "cudnn_benchmark": not args.no_cudnn_benchmark,
        "forward_ms_per_image": None, "train_step_ms_per_image": None, "input_ms_per_image": None,
        "peak_memory_mb": None, "memory_before_mb": LIBRARIES_MB, "repeats": {},
    }


def set_up(args):
    """Threads, random numbers, and what cuDNN and cuBLAS may do."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.benchmark = not args.no_cudnn_benchmark


def steps(args):
    """The network with a training step and a forward pass of it, on made-up pictures."""
    kind = torch.device(args.device).type
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    network = build(args.model, args.size, args.transfer).to(args.device, memory_format=layout)
    channels, classes = (BLOCK_CHANNELS, BLOCK_CHANNELS) if args.block else (3, CLASSES)
    x = torch.randn(args.batch_size, channels, args.size, args.size)
    x = x.to(args.device, memory_format=layout).requires_grad_(args.block)
    labels = torch.randint(classes, (args.batch_size,)).to(args.device)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1e-4, momentum=0.9)

    def train_step():
        with torch.autocast(kind, torch.bfloat16, enabled=args.precision == "bf16"):
            loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        x.grad = None
        loss.backward()
        if not args.block:
            optimizer.step()
        return loss.item()

    def forward():
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=args.precision == "bf16"):
            network(x)
        if kind == "cuda":
            torch.cuda.synchronize()

    return network, train_step, forward


def measure(args):
    """Measures what was asked for; the record of it."""
    record = empty_record(args)
    set_up(args)
    if args.measure != ["input"]:
        network, train_step, forward = steps(args)
        if "train" in args.measure:
            took, record["repeats"]["train_step"] = median_ms(train_step, args.seconds)
            record["train_step_ms_per_image"] = took / args.batch_size
            record["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if "forward" in args.measure:
            network.eval()
            took, record["repeats"]["forward"] = median_ms(forward, args.seconds)
            record["forward_ms_per_image"] = took / args.batch_size
    if "input" in args.measure:
        record["input_ms_per_image"], record["repeats"]["input"] = input_ms(args.pictures, args.size, args.seconds)
    return record


def serve(device):
    """Answers requests until the input ends."""
    torch.ones(1, device=device).sum().item()
    print(json.dumps({"ready": True, "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        try:
            answer = measure(parse(json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        gc.collect()
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()
        print(json.dumps(answer), flush=True)


def main():
    args = parse()
    if args.serve:
        serve(args.device)
    else:
        print(json.dumps(measure(args)))


if __name__ == "__main__":
    main()
