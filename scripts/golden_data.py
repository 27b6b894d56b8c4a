"""Golden values for crates/data: pictures as Pillow decodes and torchvision transforms them.

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0), torchvision 0.29.2, torch 2.15.0, numpy. Run from the workspace's root:

    python scripts/golden_data.py

writes crates/data/tests/golden/*.png (what the crate must reproduce) and files in the formats to decode, and prints the
moments of RandomResizedCrop that stand in crates/data/src/transform/crop.rs.
"""

import math
import os
import shutil
import tempfile

import numpy as np
import torch
from PIL import Image
from torchvision import datasets
from torchvision import transforms as T
from torchvision.transforms import functional as F

OUT = "crates/data/tests/golden"


def picture(width, height):
    """Smooth waves with hard edges, whole numbers only: the test draws the same."""
    x = np.arange(width, dtype=np.int64)[None, :, None]
    y = np.arange(height, dtype=np.int64)[:, None, None]
    c = np.arange(3, dtype=np.int64)[None, None, :]
    value = x * (3 + c) + y * (5 - c) + (x // 9 + y // 7) % 2 * 60 + (x * y) % 17
    return Image.fromarray((value % 256).astype(np.uint8))


def smooth(width, height):
    """Without hard edges, for lossy formats."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [
        127 + 100 * np.sin(x / 7.0 + c) * np.cos(y / 9.0 - c) for c in range(3)
    ]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


def transforms():
    bilinear = T.InterpolationMode.BILINEAR
    for w, h in [(97, 61), (61, 97), (45, 45), (300, 7), (1, 1), (3, 2)]:
        image = picture(w, h)
        for side, crop in [(40, 32), (32, 32), (20, 32), (110, 96)]:
            if w == 300 and side == 110:
                continue
            out = T.Compose([T.Resize(side, bilinear), T.CenterCrop(crop)])(image)
            out.save(f"{OUT}/resize-{w}x{h}-{side}-{crop}.png", optimize=True)
        T.CenterCrop(50)(image).save(f"{OUT}/crop-{w}x{h}-50.png", optimize=True)
        twice = T.Compose([T.CenterCrop(50), T.Resize(32, bilinear)])(image)
        twice.save(f"{OUT}/twice-{w}x{h}.png", optimize=True)
    image = picture(97, 61)
    for i, j, h, w in [(0, 0, 61, 97), (5, 11, 40, 31), (20, 60, 9, 12), (60, 96, 1, 1), (3, 0, 32, 32), (0, 13, 61, 45),
                       (7, 50, 54, 34), (4, 3, 50, 32), (2, 9, 32, 60), (0, 5, 61, 1), (7, 0, 1, 97)]:
        out = F.resized_crop(image, i, j, h, w, [32, 32], bilinear)
        out.save(f"{OUT}/box-{i}-{j}-{h}-{w}.png", optimize=True)
        F.hflip(out).save(f"{OUT}/flip-{i}-{j}-{h}-{w}.png", optimize=True)


def save(name, image, **options):
    image.save(f"{OUT}/{name}", **options)
    Image.open(f"{OUT}/{name}").convert("RGB").save(f"{OUT}/{name}.expected.png", optimize=True)


def jpegs():
    """Sizes and contents that are special to a decoder that works in groups of blocks."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (19, 45, 3)).astype(np.uint8))
    save("noise-444.jpg", noise, quality=100, subsampling=0)
    save("noise-420.jpg", noise, quality=98, subsampling=2, optimize=True)
    save("coarse.jpg", noise, quality=3, subsampling=0)
    save("wide-420.jpg", smooth(300, 17), quality=85, subsampling=2, restart_marker_rows=1)
    save("wide-444.jpg", smooth(131, 9), quality=85, subsampling=0)
    for w, h in [(1, 1), (2, 2), (3, 5), (4, 9), (17, 33)]:
        for kind, subsampling in [("422", 1), ("420", 2)]:
            save(f"{kind}-{w}x{h}.jpg", smooth(w, h), quality=92, subsampling=subsampling)


def progressive():
    """Every kind of sampling, restart markers, and sizes that leave blocks outside of the picture."""
    rgb = smooth(57, 41)
    for kind, subsampling in [("444", 0), ("422", 1)]:
        save(f"progressive-{kind}.jpg", rgb, quality=92, subsampling=subsampling, progressive=True)
    save("progressive-grey.jpg", rgb.convert("L"), quality=80, progressive=True)
    save("progressive-restart.jpg", rgb, quality=80, progressive=True, restart_marker_blocks=3)
    for w, h in [(1, 1), (3, 5), (17, 33), (150, 20)]:
        save(f"progressive-{w}x{h}.jpg", smooth(w, h), quality=85, subsampling=2, progressive=True)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (19, 45, 3)).astype(np.uint8))
    save("progressive-noise.jpg", noise, quality=95, subsampling=2, progressive=True)


def formats():
    rgb = smooth(57, 41)
    alpha = Image.fromarray((np.arange(57 * 41) % 256).astype(np.uint8).reshape(41, 57))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    save("444.jpg", rgb, quality=90, subsampling=0)
    save("422.jpg", rgb, quality=90, subsampling=1)
    save("420.jpg", rgb, quality=75, subsampling=2)
    save("progressive.jpg", rgb, quality=80, progressive=True)
    save("restart.jpg", rgb, quality=80, restart_marker_blocks=2)
    save("grey.jpg", rgb.convert("L"), quality=80)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=90)
    save("rgb.png", rgb)
    save("rgba.png", rgba)
    save("grey.png", rgb.convert("L"))
    save("grey-alpha.png", rgba.convert("LA"))
    save("one-bit.png", rgb.convert("1"))
    palette = rgb.quantize(16)
    save("palette.png", palette)
    save("palette-alpha.png", palette, transparency=bytes(range(0, 256, 16)))
    save("rgb.bmp", rgb)
    save("palette.bmp", palette)
    save("lossless.webp", rgba, lossless=True, exact=True)
    save("lossy.webp", rgb, quality=80)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned.jpg", rgb, quality=95, subsampling=0, exif=exif)
    # 16-bit grey: Pillow's conversion clips at 255, so what is expected here is the upper byte.
    wide = (np.arange(57 * 41, dtype=np.uint32) * 28 % 65536).astype(np.uint16).reshape(41, 57)
    Image.fromarray(wide).save(f"{OUT}/grey16.png")
    Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB").save(f"{OUT}/grey16.png.expected.png")


def order():
    """The order of ImageFolder on a folder with everything that could confuse it."""
    root = tempfile.mkdtemp()
    names = [
        "b/2.jpg", "b/10.jpg", "b/1.JPG", "b/a/3.png", "b/a-b/4.png", "b/a/z/5.jpeg", "b/A.Jpeg", "b/é.jpg", "b/note.txt",
        "B/x.webp", "B/X.webp", "a b/sub/deep/1.bmp", "a b/sub.jpg", "a b/sub/0.BMP", "10/1.png", "9/1.png", "é/1.png", "z/x.jpg/y.jpg",
    ]
    for name in names:
        os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
        if name.endswith("txt"):
            open(f"{root}/{name}", "w").close()
        else:
            Image.new("RGB", (2, 2)).save(f"{root}/{name}")
    found = datasets.ImageFolder(root)
    with open(f"{OUT}/order.txt", "w") as file:
        for path, label in found.samples:
            file.write(f"{label} {os.path.relpath(path, root)}\n")
    shutil.rmtree(root)


def moments():
    torch.manual_seed(0)
    image = Image.new("RGB", (500, 375))
    n = 200_000
    sums = [0.0] * 5
    for _ in range(n):
        _, j, h, w = T.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        part, ratio = w * h / (500 * 375), math.log(w / h)
        for k, value in enumerate([part, ratio, ratio * ratio, j + w / 2, part < 0.25]):
            sums[k] += value
    print("RandomResizedCrop:", [value / n for value in sums])


shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
transforms()
jpegs()
progressive()
formats()
order()
moments()
