"""Runs PyTorch training steps on request, one line in, one line out.

    step   -> {"seconds": ..., "loss": ...}
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

import torch
from torch.nn import functional as F

from mae import Config, Trainer

CASES = {
    "vit_tiny_patch4_32": Config(),
    "vit_base_patch16_224": Config(
        image=224, patch=16, dim=768, depth=12, heads=12,
        decoder_dim=512, decoder_depth=8, decoder_heads=16,
    ),
}


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


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=sorted(CASES), default="vit_tiny_patch4_32")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=0, help="0 leaves PyTorch's choice")
    p.add_argument("--compile", action="store_true", help="use torch.compile")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--decoder", help="width,depth,heads of the decoder, where they differ from the case's")
    p.add_argument("--bare", action="store_true", help="build no model: the kernels only")
    a = p.parse_args()

    if a.threads:
        torch.set_num_threads(a.threads)
    config = CASES[a.model]
    if a.decoder:
        from dataclasses import replace

        d, n, h = (int(v) for v in a.decoder.split(","))
        config = replace(config, decoder_dim=d, decoder_depth=n, decoder_heads=h)
    trainer = None if a.bare else Trainer(config, a.batch, a.seed, a.compile)
    attentions = {}

    answer({
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "compiled": a.compile,
        "parameters": 0 if a.bare else sum(t.numel() for t in trainer.model.parameters()),
    })
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if words == ["step"] and trainer:
            start = time.perf_counter()
            loss = trainer.step()
            answer({"seconds": time.perf_counter() - start, "loss": loss})
        elif len(words) == 6 and words[0] == "attention":
            *shape, times = (int(w) for w in words[1:])
            if tuple(shape) not in attentions:
                attentions[tuple(shape)] = Attention(*shape)
            answer({"seconds": attentions[tuple(shape)].run(times)})
        elif words == ["memory"]:
            answer({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
        else:
            answer({"error": f"unknown command {line.strip()!r}: step, attention B N H D TIMES, memory or quit"})


if __name__ == "__main__":
    main()
