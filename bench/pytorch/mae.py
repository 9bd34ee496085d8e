"""One training step of a masked autoencoder (He et al. 2022, arXiv:2111.06377) in plain PyTorch.

Written from the formulas, as the peer that `vittool bench` is compared with. It
does the work of one vittool step: draw a random mask, encode the kept patches,
decode all of them, mean squared error on the normalized pixels of the removed
ones, gradients, AdamW. Nothing is left out to look slower and the fast paths of
PyTorch are used: fused attention, fused AdamW, gradients set to None.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes of a masked autoencoder; the defaults are those of the CIFAR-sized case."""

    image: int = 32
    patch: int = 4
    dim: int = 192
    depth: int = 12
    heads: int = 3
    decoder_dim: int = 96
    decoder_depth: int = 4
    decoder_heads: int = 3
    mask_ratio: float = 0.75
    normalize: bool = True  # pixels by mean and variance of their patch


def sincos_2d(dim: int, side: int) -> torch.Tensor:
    """Fixed 2-D sine-cosine table [1, 1 + side*side, dim], column first; row 0 is the class token's."""
    w = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    x = cols.reshape(-1, 1) * w
    y = rows.reshape(-1, 1) * w
    table = torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)
    return torch.cat([torch.zeros(1, dim, dtype=table.dtype), table])[None].float()


class Block(nn.Module):
    """Pre-norm transformer block, exact GELU, packed QKV."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, N, D]
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        a = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(a.transpose(1, 2).reshape(b, n, d))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class MaskedAutoencoder(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        side = c.image // c.patch
        pixels = 3 * c.patch * c.patch
        self.count = side * side
        self.keep = int(self.count * (1 - c.mask_ratio))

        self.patch_embed = nn.Linear(pixels, c.dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, c.dim))
        self.register_buffer("pos_embed", sincos_2d(c.dim, side))
        self.blocks = nn.ModuleList(Block(c.dim, c.heads) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.dim, eps=1e-6)

        self.decoder_embed = nn.Linear(c.dim, c.decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, c.decoder_dim))
        self.register_buffer("decoder_pos_embed", sincos_2d(c.decoder_dim, side))
        self.decoder_blocks = nn.ModuleList(
            Block(c.decoder_dim, c.decoder_heads) for _ in range(c.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(c.decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(c.decoder_dim, pixels)

        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        bound = 1 / math.sqrt(pixels)
        nn.init.uniform_(self.patch_embed.bias, -bound, bound)

    def patches(self, images: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, L, p*p*3]: patches in raster order, channel fastest."""
        b, c, h, w = images.shape
        p = self.config.patch
        x = images.reshape(b, c, h // p, p, w // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(b, self.count, p * p * c)

    def forward(self, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """images [B, 3, H, W], noise [B, L] -> the loss, a scalar."""
        b = images.shape[0]
        target = self.patches(images)

        order = noise.argsort(dim=1)  # the kept patches come first
        restore = order.argsort(dim=1)
        kept = order[:, : self.keep, None]

        # The projection is applied to the kept patches only: the removed ones
        # need no embedding, and the same is done on the other side.
        x = target.gather(1, kept.expand(-1, -1, target.shape[2]))
        x = self.patch_embed(x)
        x = x + self.pos_embed[:, 1:].expand(b, -1, -1).gather(
            1, kept.expand(-1, -1, x.shape[2])
        )
        cls = self.cls_token + self.pos_embed[:, :1]
        x = torch.cat([cls.expand(b, -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_embed(self.norm(x))

        hidden = self.mask_token.expand(b, self.count - self.keep, -1)
        full = torch.cat([x[:, 1:], hidden], dim=1)
        full = full.gather(1, restore[:, :, None].expand(-1, -1, full.shape[2]))
        x = torch.cat([x[:, :1], full], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        pred = self.decoder_pred(self.decoder_norm(x))[:, 1:]

        if self.config.normalize:
            var, mean = torch.var_mean(target, dim=2, keepdim=True)  # unbiased
            target = (target - mean) / (var + 1e-6).sqrt()
        removed = (restore >= self.keep).float()
        per_patch = (pred - target).square().mean(dim=2)
        return (per_patch * removed).sum() / removed.sum()


class Trainer:
    """The model, its optimizer and one fixed batch of images; step() trains on it once."""

    def __init__(self, config: Config, batch: int, seed: int, compiled: bool):
        torch.manual_seed(seed)
        self.model = MaskedAutoencoder(config)
        decay, plain = [], []
        for name, p in self.model.named_parameters():
            (plain if p.ndim == 1 or name.endswith(".bias") else decay).append(p)
        self.optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
            lr=1.5e-4,
            betas=(0.9, 0.95),
            eps=1e-8,
            fused=True,
        )
        self.images = torch.randn(batch, 3, config.image, config.image)
        self.batch = batch
        self.loss = torch.compile(self.model) if compiled else self.model

    def step(self) -> float:
        noise = torch.rand(self.batch, self.model.count)
        loss = self.loss(self.images, noise)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()
