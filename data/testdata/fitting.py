"""Writes fitting.tsv: SHA-256 of the pixels that timm's evaluation transform, and
torchvision's Resize and CenterCrop, make of a drawn image.

    pip install timm==1.0.31 torchvision==0.29.2 pillow==13.0.0
    python fitting.py > fitting.tsv
"""
import hashlib
import itertools
import random

import numpy as np
from PIL import Image
from timm.data import create_transform
from torchvision import transforms


def picture(w, h):
    y, x, c = np.ogrid[:h, :w, :3]
    return Image.fromarray(((x * 7 * (c + 1) + y * 13 + x * y) & 255).astype(np.uint8))


def line(kind, w, h, th, tw, value, mode, interpolation, out):
    print(kind, w, h, th, tw, value, mode, interpolation, hashlib.sha256(np.asarray(out).tobytes()).hexdigest()[:16], sep="\t")


random.seed(1)
images = [(1, 1), (1, 9), (9, 1), (31, 32), (32, 32), (33, 32), (96, 96), (97, 64), (120, 250), (224, 224), (256, 256), (300, 199), (333, 500), (640, 480), (37, 411)]
images += [(random.randint(2, 420), random.randint(2, 420)) for _ in range(12)]
targets = [(32, 32), (96, 96), (160, 160), (224, 224), (160, 224), (224, 96), (48, 64), (33, 34)]
for (w, h), (th, tw) in itertools.product(images, targets):
    pct = random.choice([0.875, 0.875, 0.9, 0.95, 0.96, 1.0, 0.8])
    mode = random.choice(["center", "center", "center", "squash"])
    interpolation = random.choice(["bicubic", "bicubic", "bilinear", "lanczos"])
    t = create_transform((3, th, tw), is_training=False, crop_pct=pct, crop_mode=mode, interpolation=interpolation)
    geometry = [x for x in t.transforms if type(x).__name__ not in ("MaybeToTensor", "ToTensor", "Normalize")]
    line("timm", w, h, th, tw, pct, mode, interpolation, transforms.Compose(geometry)(picture(w, h)))
    side = max(th, tw) + random.choice([0, 1, 13, 32])
    t = transforms.Compose([transforms.Resize(side, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop((th, tw))])
    line("torchvision", w, h, th, tw, side, "center", "bicubic", t(picture(w, h)))
for size in range(1, 520, 3):
    out = create_transform((3, size, size), is_training=False, interpolation="bicubic").transforms
    line("timm", 40, 30, size, size, 0.875, "center", "bicubic", transforms.Compose(out[:2])(picture(40, 30)))
