"""Does the work of the loader with Pillow and torchvision on request.

    decode | crop | whole   -> {"seconds": ...}    CPU seconds for all files
    quit

decode  the bytes of a file to RGB
crop    a random box of a file, resized, mirrored at times, as normalized floats
whole   a file resized on its short side, its center, as normalized floats

The files are named on standard input first, one a line, up to an empty line.
"""

import argparse
import io
import json
import sys
import time

import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms as T


def answer(value: dict) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--cover", type=int, required=True, help="short side of the whole view before its center is cut out")
    a = p.parse_args()
    torch.set_num_threads(1)
    files = []
    for line in iter(sys.stdin.readline, ""):
        if not line.strip():
            break
        files.append(line.rstrip("\n"))
    contents = []
    for name in files:
        with open(name, "rb") as f:
            contents.append(f.read())

    bicubic = T.InterpolationMode.BICUBIC
    finish = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    crop = T.Compose([T.RandomResizedCrop(a.size, scale=(0.2, 1.0), interpolation=bicubic), T.RandomHorizontalFlip()] + finish)
    whole = T.Compose([T.Resize(a.cover, interpolation=bicubic), T.CenterCrop(a.size)] + finish)

    def decode() -> None:
        for b in contents:
            Image.open(io.BytesIO(b)).convert("RGB")

    def view(transform) -> None:
        for name in files:
            with open(name, "rb") as f:
                transform(Image.open(f).convert("RGB"))

    work = {"decode": decode, "crop": lambda: view(crop), "whole": lambda: view(whole)}
    answer({"pillow": PIL.__version__, "torchvision": torchvision.__version__})
    for line in sys.stdin:
        word = line.strip()
        if word == "quit":
            return
        if word not in work:
            answer({"error": f"unknown command {word!r}"})
            continue
        start = time.process_time()
        work[word]()
        answer({"seconds": time.process_time() - start})


if __name__ == "__main__":
    main()
