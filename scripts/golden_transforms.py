"""Golden values for the steps of crates/data that change colours, turn, pad and crop.

Made with Pillow 13.0.0, torchvision 0.29.2, torch 2.15.0, numpy. Run from the workspace's root:

    python scripts/golden_transforms.py

writes crates/data/tests/golden-transforms/*.png: what torchvision.transforms.v2 makes of PIL pictures with these parameters, one
result below the other. The lists of parameters are those of crates/data/src/transform/parity_augment.rs. It also prints the
moments of RandomErasing that stand in crates/data/src/transform/augment.rs.
"""

import math
import os

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

OUT = "crates/data/tests/golden-transforms"
FACTORS = [0.0, 0.3, 0.77, 1.0, 1.3, 1.9, 4.5]
TURNS = [-0.5, -0.21, -0.001, 0.0, 0.1, 0.4, 0.5]
ANGLES = [-180.0, -90.0, -33.3, -1.5, 0.0, 0.01, 12.0, 45.0, 90.0, 178.9]
MAGNITUDES = [0, 4, 9, 30]


def picture(width, height):
    """Smooth waves with hard edges, whole numbers only: the test draws the same, as for scripts/golden_data.py."""
    x = np.arange(width, dtype=np.int64)[None, :, None]
    y = np.arange(height, dtype=np.int64)[:, None, None]
    c = np.arange(3, dtype=np.int64)[None, None, :]
    value = x * (3 + c) + y * (5 - c) + (x // 9 + y // 7) % 2 * 60 + (x * y) % 17
    return Image.fromarray((value % 256).astype(np.uint8))


def colours():
    """The picture and below it every kind of colour: noise, greys, and the hues at full and at little saturation."""
    noise = np.random.default_rng(5).integers(0, 256, (24, 31, 3)).astype(np.uint8)
    y, x = np.mgrid[0:16, 0:31]
    edges = np.stack([(x * 8) % 256, (255 - x * 8) % 256, (y * 16) % 256], -1).astype(np.uint8)
    grey = np.repeat(((x + 31 * y) % 256)[:8, :, None], 3, 2).astype(np.uint8)
    return Image.fromarray(np.concatenate([np.asarray(picture(31, 22)), noise, edges, grey]))


def save(name, images):
    width = max(image.width for image in images)
    out = Image.new("RGB", (width, sum(image.height for image in images)))
    top = 0
    for image in images:
        out.paste(image, (0, top))
        top += image.height
    out.save(f"{OUT}/{name}.png", optimize=True)


def operations(image):
    augment = v2.RandAugment()
    out = []
    for name, (magnitudes, signed) in augment._AUGMENTATION_SPACE.items():
        strengths = magnitudes(31, image.height, image.width)
        for magnitude in MAGNITUDES:
            strength = 0.0 if strengths is None else float(strengths[magnitude])
            for sign in [1, -1] if signed else [1]:
                out.append(augment._apply_image_or_video_transform(
                    image, name, sign * strength, interpolation=augment.interpolation, fill=augment._fill))
    return out


def moments():
    torch.manual_seed(0)
    erasing, image, n = v2.RandomErasing(), [torch.zeros(3, 32, 32)], 200_000
    sums = np.zeros(4)
    for _ in range(n):
        p = erasing.make_params(image)
        h, w = p["h"], p["w"]
        sums += [h * w / 1024, math.log(h / w), w, p["j"] + w / 2]
    print("random erasing:", [round(float(s / n), 5) for s in sums])


def main():
    os.makedirs(OUT, exist_ok=True)
    image = colours()
    image.save(f"{OUT}/colours.png", optimize=True)
    save("brightness", [F.adjust_brightness(image, f) for f in FACTORS])
    save("contrast", [F.adjust_contrast(image, f) for f in FACTORS])
    save("saturation", [F.adjust_saturation(image, f) for f in FACTORS])
    save("hue", [F.adjust_hue(image, t) for t in TURNS])
    save("jitter", [F.adjust_contrast(F.adjust_hue(F.adjust_brightness(F.adjust_saturation(image, 1.3), 0.7), 0.08), 1.2)])
    for name, size in [("wide", (29, 18)), ("tall", (15, 22)), ("square", (17, 17))]:
        small = picture(*size)
        save(f"rotate-{name}", [F.rotate(small, a) for a in ANGLES])
        save(f"rotate-{name}-bilinear", [F.rotate(small, a, F.InterpolationMode.BILINEAR) for a in ANGLES])
        save(f"operations-{name}", operations(small))
        save(f"pad-{name}", [F.pad(small, n, padding_mode=mode) for mode in ["constant", "reflect"] for n in [1, 4, 40]])
    save("vertical", [F.vertical_flip(picture(29, 18)), F.vertical_flip(picture(15, 21))])
    save("pad-crop", [F.crop(F.pad(picture(16, 16), 4), y, x, 16, 16) for y, x in [(0, 0), (8, 8), (3, 5), (0, 8)]])
    save("center-twice", [F.center_crop(F.center_crop(picture(40, 30), 20), 28)])
    moments()


if __name__ == "__main__":
    main()
