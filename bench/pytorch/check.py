"""Holds mae.py to the reference data: the peer must compute the same model.

    python check.py FILE.safetensors ...     (cases of testdata/reference/mae)
"""

import json
import struct
import sys

import torch

from mae import Config, MaskedAutoencoder

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}


def read(path: str) -> tuple[dict, dict]:
    """The tensors and the configuration of a safetensors file."""
    with open(path, "rb") as f:
        raw = bytearray(f.read())
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    meta = header.pop("__metadata__")
    tensors = {}
    for name, h in header.items():
        begin, end = (8 + size + o for o in h["data_offsets"])
        flat = torch.frombuffer(raw[begin:end], dtype=DTYPES[h["dtype"]])
        tensors[name] = flat.reshape(h["shape"])
    return tensors, json.loads(meta["config"])


def ours(name: str) -> str:
    """Our name of an official parameter."""
    name = name.replace(".attn.", ".").replace(".mlp.", ".")
    return name.replace("patch_embed.proj.", "patch_embed.")


def layout(name: str, value: torch.Tensor) -> torch.Tensor:
    """The patch projection as a matrix over (row, column, channel)."""
    if name == "patch_embed.proj.weight":
        return value.permute(0, 2, 3, 1).flatten(1)
    return value


def check(path: str) -> None:
    tensors, c = read(path)
    model = MaskedAutoencoder(Config(
        image=c["img_size"], patch=c["patch"], dim=c["dim"], depth=c["depth"], heads=c["heads"],
        decoder_dim=c["dec_dim"], decoder_depth=c["dec_depth"], decoder_heads=c["dec_heads"],
        mask_ratio=c["mask_ratio"], normalize=c["norm_pix_loss"],
    ))
    state = {ours(n): layout(n, v) for k, v in tensors.items() if k.startswith("param.") for n in [k[6:]]}
    model.load_state_dict(state)
    loss = model(tensors["input.images"], tensors["input.noise"])
    loss.backward()
    assert abs(loss.item() - tensors["loss"].item()) < 1e-5 * abs(tensors["loss"].item()), loss
    grads = dict(model.named_parameters())
    largest = max(p.grad.abs().max().item() for p in grads.values())
    for k, v in tensors.items():
        if k.startswith("grad."):
            got, want = grads[ours(k[5:])].grad, layout(k[5:], v)
            # The floor is for gradients that are zero in theory, the keys' bias.
            limit = max(1e-4 * want.abs().max().item(), 1e-6 * largest)
            assert (got - want).abs().max().item() <= limit, k
    print(f"{path}: loss {loss.item():.6f} and {sum(k.startswith('grad.') for k in tensors)} gradients agree")


if __name__ == "__main__":
    for case in sys.argv[1:]:
        check(case)
