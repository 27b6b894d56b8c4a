#!/usr/bin/env python3
"""Golden values for crates/model/tests/model/extractors.rs: the features that timm's models compute from made-up weights.

Made with Python 3.11, torch 2.15.0, timm 1.0.31, numpy 2 and safetensors 0.8 on a CPU, in float32:

    python scripts/golden_extractors.py crates/model/tests/golden/extractors.safetensors

Weights and inputs come from the formula of golden_model.py. It also prints every model's number of parameters and its
multiplications at the size that it was made for, which the test has too.
"""
import sys
from functools import partial

import timm
import torch
from safetensors.numpy import save_file
from torch import nn

from golden_model import fill, made_up

# The kind, and the size of the picture.
TIMM = [
    ("convnext_atto", 64),
    ("convnext_femto", 64),
    ("convnext_pico", 64),
    ("convnext_nano", 75),
    ("convnext_tiny", 64),
    ("convnext_small", 64),
    ("convnext_base", 64),
    ("mobilenetv4_conv_small", 64),
    ("mobilenetv4_conv_medium", 75),
    ("mobilenetv4_conv_large", 64),
    ("tf_efficientnet_b0", 64),
    ("tf_efficientnet_b1", 75),
    ("tf_efficientnet_b2", 61),
    ("tf_efficientnet_b3", 64),
    ("tf_efficientnet_b4", 64),
]


def picture(size):
    return torch.from_numpy(made_up("input", 3 * size * size)).view(1, 3, size, size)


def fill_all(net):
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                fill(name, tensor)
    return net.eval()


def timm_features(kind, size):
    net = fill_all(timm.create_model(kind))
    with torch.no_grad():
        return net.forward_head(net.forward_features(picture(size)), pre_logits=True)


def dinov2_features(size):
    """facebookresearch/dinov2: positions are resampled by a factor, bicubically; the class token beside the patches' mean."""
    kind = "vit_small_patch14_dinov2"
    learnt = fill_all(timm.create_model(kind, img_size=518)).state_dict()
    side = size // 14
    positions = learnt["pos_embed"]
    if side != 37:
        patches = positions[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
        factor = (side + 0.1) / 37
        patches = nn.functional.interpolate(patches, scale_factor=(factor, factor), mode="bicubic")
        positions = torch.cat([positions[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    net = timm.create_model(kind, img_size=size).eval()
    net.load_state_dict({**learnt, "pos_embed": positions})
    with torch.no_grad():
        tokens = net.forward_features(picture(size))
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)


def vit_features():
    """timm's model under the names, and with the epsilon, of google/vit-base-patch16-224 in Hugging Face's transformers."""
    net = timm.create_model("vit_base_patch16_224", norm_layer=partial(nn.LayerNorm, eps=1e-12)).eval()
    block = "vit.encoder.layer.{}."
    parts = {
        "norm1": "layernorm_before",
        "attn.proj": "attention.output.dense",
        "norm2": "layernorm_after",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    whole = {
        "cls_token": "vit.embeddings.cls_token",
        "pos_embed": "vit.embeddings.position_embeddings",
        "patch_embed.proj.weight": "vit.embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "vit.embeddings.patch_embeddings.projection.bias",
        "norm.weight": "vit.layernorm.weight",
        "norm.bias": "vit.layernorm.bias",
    }
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.startswith("head."):
                continue
            if name in whole:
                fill(whole[name], tensor)
                continue
            _, number, part = name.split(".", 2)
            part, kind = part.rsplit(".", 1)
            if part == "attn.qkv":
                for rows, which in zip(tensor.chunk(3), ("query", "key", "value")):
                    fill(block.format(number) + f"attention.attention.{which}.{kind}", rows)
            else:
                fill(block.format(number) + f"{parts[part]}.{kind}", tensor)
        return net.forward_features(picture(224))[:, 0]


def count(kind, size, **more):
    """Parameters, and multiplications of convolutions, linear layers and attention for a picture."""
    with torch.device("meta"):
        net = timm.create_model(kind, num_classes=1000, **more).eval()
        total = 0

        def note(module, inputs, output):
            nonlocal total
            if isinstance(module, nn.Conv2d):
                total += module.weight.numel() * output.shape[2:].numel()
            elif isinstance(module, nn.Linear):
                total += inputs[0].numel() // inputs[0].shape[-1] * module.weight.numel()
            else:
                _, tokens, width = inputs[0].shape
                total += 2 * tokens * tokens * width

        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) or type(module).__name__ == "Attention":
                module.register_forward_hook(note)
        net(torch.empty(1, 3, size, size))
    return sum(p.numel() for p in net.parameters()), total


def main():
    torch.set_num_threads(2)
    out = {kind: timm_features(kind, size) for kind, size in TIMM}
    out["dinov2_vits14"] = dinov2_features(56)
    out["dinov2_vits14/224"] = dinov2_features(224)
    out["vit_base_patch16_224"] = vit_features()
    save_file({name: features[0].numpy().copy() for name, features in out.items()}, sys.argv[1])
    for name, features in out.items():
        print(name, tuple(features.shape), f"largest {features.abs().max():.3g}, deviation {features.std():.3g}")
    for kind, _ in TIMM:
        size = timm.get_pretrained_cfg(kind).input_size[1]
        print(kind, size, *count(kind, size))
    # The published linear layer takes the class token and the mean side by side.
    parameters, products = count("vit_small_patch14_dinov2", 224, img_size=224, dynamic_img_size=False)
    more = (37 * 37 - 16 * 16) * 384 + 384 * 1000
    print("dinov2_vits14", 224, parameters + more, products + 384 * 1000)
    print("vit_base_patch16_224", 224, *count("vit_base_patch16_224", 224))


if __name__ == "__main__":
    main()
