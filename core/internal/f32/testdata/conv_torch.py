"""PyTorch's side of BenchmarkConvPyTorch: reads commands, answers each with one line.

    layer N H W C O R STRIDE PAD DIR    loads x, w and dy from DIR
    error DIRECTION                     the root mean square errors of both formats and of the file
                                        DIRECTION in DIR, over that of the result in float64
    time DIRECTION FORMAT REPEATS       seconds of processor time of one call
"""
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

FORMATS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


def load(path, *shape):
    return torch.from_numpy(np.fromfile(path, dtype=np.float32)).view(*shape)


def functions(x, w, dy, stride, pad):
    """For each direction and format a function that runs it once."""
    runs = {}
    for name, fmt in FORMATS.items():
        a, b, g = (t.contiguous(memory_format=fmt) for t in (x, w, dy))

        def forward(a=a, b=b):
            with torch.no_grad():
                return F.conv2d(a, b, None, stride, pad)

        def gradient(mask, a=a, b=b, g=g):
            with torch.no_grad():
                out = torch.ops.aten.convolution_backward(g, a, b, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)
            return out[0] if mask[0] else out[1]

        runs["forward", name] = forward
        runs["input", name] = lambda f=gradient: f([True, False, False])
        runs["weight", name] = lambda f=gradient: f([False, True, False])
    return runs


def main():
    torch.set_num_threads(1)
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "layer":
            n, h, w, c, o, r, stride, pad = map(int, words[:8])
            folder = words[8]
            out_h, out_w = (h + 2 * pad - r) // stride + 1, (w + 2 * pad - r) // stride + 1
            x = load(os.path.join(folder, "x"), n, h, w, c).permute(0, 3, 1, 2)
            weight = load(os.path.join(folder, "w"), o, c, r, r)
            dy = load(os.path.join(folder, "dy"), n, out_h, out_w, o).permute(0, 3, 1, 2)
            runs = functions(x, weight, dy, stride, pad)
            exact = functions(x.double(), weight.double(), dy.double(), stride, pad)
            print("ok", flush=True)
        elif command == "error":
            (direction,) = words
            want = exact[direction, "nhwc"]()
            ours = load(os.path.join(folder, direction), *want.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
            if direction == "weight":
                ours = load(os.path.join(folder, direction), *want.shape)
            scale = want.square().mean().sqrt()
            got = [runs[direction, f]() for f in FORMATS] + [ours]
            print(*(((g.double() - want).square().mean().sqrt() / scale).item() for g in got), flush=True)
        elif command == "time":
            f, repeats = runs[words[0], words[1]], int(words[2])
            f()
            start = time.thread_time()
            for _ in range(repeats):
                f()
            print((time.thread_time() - start) / repeats, flush=True)


main()
