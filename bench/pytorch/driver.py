"""Runs PyTorch training steps on request, one line in, one line out.

    step [compiled] [channels_last]
        -> {"seconds": ..., "cpu": ..., "loss": ...}
    quit

The first line printed describes the machine's PyTorch. A Go program that drives
this can alternate its own steps with these in one session, so that both sides
meet the same clock speeds and the same neighbors.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import replace

import torch
from torch.nn import functional as F

import mae
import resnet

CASES = {
    "vit_tiny_patch4_32": mae.Config(),
    "vit_base_patch16_224": mae.Config(
        image=224, patch=16, dim=768, depth=12, heads=12,
        decoder_dim=512, decoder_depth=8, decoder_heads=16,
    ),
    "resnet18": resnet.Config(image=224, small=False),
    "resnet18_cifar": resnet.Config(),
    "resnet50": resnet.Config(image=224, small=False, depths=(3, 4, 6, 3), bottleneck=True),
    "resnet50_cifar": resnet.Config(depths=(3, 4, 6, 3), bottleneck=True),
}

# The words of a variant: without them PyTorch is eager and maps have channels first.
COMPILED, CHANNELS_LAST = "compiled", "channels_last"


def answer(value: dict) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Attention:
    """Fused attention, forward and backward, on queries, keys and values that lie as the kernel likes them best."""

    def __init__(self, batch: int, tokens: int, heads: int, width: int):
        shape = batch, heads, tokens, width
        self.qkv = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        self.grad = torch.randn(shape)

    def run(self, times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            out = F.scaled_dot_product_attention(*self.qkv)
            torch.autograd.grad(out, self.qkv, self.grad)
        return (time.perf_counter() - start) / times


class Step:
    """The training step of one case, made anew for each variant that is asked for."""

    def __init__(self, a: argparse.Namespace):
        self.config, self.batch, self.seed = CASES[a.model], a.batch, a.seed
        self.trainer = resnet.Trainer if isinstance(self.config, resnet.Config) else mae.Trainer
        if a.decoder:
            d, n, h = (int(v) for v in a.decoder.split(","))
            self.config = replace(self.config, decoder_dim=d, decoder_depth=n, decoder_heads=h)
        for name in "image", "width", "bank":
            if getattr(a, name):
                self.config = replace(self.config, **{name: getattr(a, name)})
        self.made = {}

    def of(self, variant: frozenset):
        if variant not in self.made:
            options = {"channels_last": True} if CHANNELS_LAST in variant else {}
            self.made[variant] = self.trainer(self.config, self.batch, self.seed, COMPILED in variant, **options)
        return self.made[variant]

    def run(self, variant: frozenset) -> dict:
        trainer = self.of(variant)
        start, cpu = time.perf_counter(), time.process_time()
        loss = trainer.step()
        return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "loss": loss}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=sorted(CASES), default="vit_tiny_patch4_32")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=0, help="0 leaves PyTorch's choice")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--decoder", help="width,depth,heads of the decoder, where they differ from the case's")
    p.add_argument("--image", type=int, help="side of an image, where it differs from the case's")
    p.add_argument("--width", type=float, help="factor of a ResNet's channels")
    p.add_argument("--bank", type=int, help="images in the memory bank of a ResNet's objective")
    p.add_argument("--bare", action="store_true", help="build no model: the kernels only")
    a = p.parse_args()

    if a.threads:
        torch.set_num_threads(a.threads)
    step = None if a.bare else Step(a)
    attentions = {}

    answer({
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
    })
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if words[:1] == ["step"] and step and set(words[1:]) <= {COMPILED, CHANNELS_LAST}:
            try:
                answer(step.run(frozenset(words[1:])))
            except Exception as e:  # torch.compile without a C++ compiler, for one
                answer({"error": f"{type(e).__name__}: {e}".split("\n")[0]})
        elif len(words) == 6 and words[0] == "attention":
            *shape, times = (int(w) for w in words[1:])
            if tuple(shape) not in attentions:
                attentions[tuple(shape)] = Attention(*shape)
            answer({"seconds": attentions[tuple(shape)].run(times)})
        elif words == ["memory"]:
            answer({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
        else:
            answer({"error": f"unknown command {line.strip()!r}: step [{COMPILED}] [{CHANNELS_LAST}], attention B N H D TIMES, memory or quit"})


if __name__ == "__main__":
    main()
