"""Holds mae.py and resnet.py to the reference data: the peer must compute the same model.

    python check.py FILE.safetensors ...     (cases of testdata/reference/mae, and the small ones of
                                              testdata/reference/resnet)
"""

import json
import struct
import sys

import torch

import mae
import resnet

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
    if "stem" in c:
        check_resnet(path, tensors, c)
    else:
        check_mae(path, tensors, c)


def check_mae(path: str, tensors: dict, c: dict) -> None:
    model = mae.MaskedAutoencoder(mae.Config(
        image=c["img_size"], patch=c["patch"], dim=c["dim"], depth=c["depth"], heads=c["heads"],
        decoder_dim=c["dec_dim"], decoder_depth=c["dec_depth"], decoder_heads=c["dec_heads"],
        mask_ratio=c["mask_ratio"], normalize=c["norm_pix_loss"],
    ))
    state = {ours(n): layout(n, v) for k, v in tensors.items() if k.startswith("param.") for n in [k[6:]]}
    model.load_state_dict(state)
    loss = model(tensors["input.images"], tensors["input.noise"])
    loss.backward()
    compare(path, tensors, loss, {k: (dict(model.named_parameters())[ours(k)].grad, layout(k, v)) for k, v in gradients(tensors)})


def check_resnet(path: str, tensors: dict, c: dict) -> None:
    prefix = "backbone."
    model = resnet.ResNet(resnet.Config(
        depths=tuple(c["layers"]), bottleneck=c["block"] == "bottleneck", small=c["stem"] == "cifar", width=c["width"] / 64,
    ))
    state = {k.split(prefix, 1)[1]: v for k, v in tensors.items() if k.startswith(("param." + prefix, "buffer." + prefix))}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(m.endswith("num_batches_tracked") for m in missing), (missing, unexpected)
    loss = (model(tensors["input.view0"]) * tensors["input.loss_weight"]).sum() / c["batch"]
    loss.backward()
    weights = dict(model.named_parameters())
    compare(path, tensors, loss, {k: (weights[k.removeprefix(prefix)].grad, v) for k, v in gradients(tensors)})


def gradients(tensors: dict) -> list:
    """The official name and the value of each gradient."""
    return [(k[5:], v) for k, v in tensors.items() if k.startswith("grad.")]


def compare(path: str, tensors: dict, loss: torch.Tensor, grads: dict) -> None:
    """grads holds, by name, the gradient here and the one of the reference."""
    assert abs(loss.item() - tensors["loss"].item()) < 1e-5 * abs(tensors["loss"].item()), loss
    assert grads, "no gradients to compare"
    largest = max(got.abs().max().item() for got, _ in grads.values())
    for k, (got, want) in grads.items():
        # The floor is for gradients that are zero in theory, the keys' bias.
        limit = max(1e-4 * want.abs().max().item(), 1e-6 * largest)
        assert (got - want).abs().max().item() <= limit, k
    print(f"{path}: loss {loss.item():.6f} and {len(grads)} gradients agree")


if __name__ == "__main__":
    for case in sys.argv[1:]:
        check(case)
