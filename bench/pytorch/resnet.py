"""One training step of instance discrimination (Wu et al. 2018, arXiv:1805.01978) with a ResNet in plain PyTorch.

Written from the papers, as the peer of `vittool bench`. A step is one pass of one
view: features of length 1, their products with the row of every image in the
memory bank, cross-entropy, gradients, SGD with momentum and weight decay, and the
rows of the batch move towards its features. Nothing is left out to look slower and
the fast paths of PyTorch are used: the caller chooses the layout of the maps and
torch.compile, SGD is fused, ReLU is in place, gradients are set to None.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes of a residual network and its head; the defaults are ResNet-18 for small images."""

    image: int = 32
    depths: tuple = (2, 2, 2, 2)
    bottleneck: bool = False
    small: bool = True  # a stem of one 3x3 convolution and no pooling
    width: float = 1.0
    features: int = 128
    bank: int = 512  # images
    temperature: float = 0.1
    bank_momentum: float = 0.5


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        outputs = planes * self.expansion
        self.branch(inputs, planes, stride)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def branch(self, inputs: int, planes: int, stride: int) -> None:
        self.conv1, self.bn1 = conv(inputs, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), nn.BatchNorm2d(planes)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.bn2(self.conv2(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, H, W]
        y = self.residual(x)
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Bottleneck(Block):
    """Convolutions of 1x1, 3x3 and 1x1 and a shortcut; the 3x3 has the stride."""

    expansion = 4

    def branch(self, inputs: int, planes: int, stride: int) -> None:
        self.conv1, self.bn1 = conv(inputs, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, planes * 4, 1), nn.BatchNorm2d(planes * 4)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        return self.bn3(self.conv3(x))


class ResNet(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        inputs = int(64 * c.width)
        self.small = c.small
        self.conv1 = conv(3, inputs, 3) if c.small else conv(3, inputs, 7, 2)
        self.bn1 = nn.BatchNorm2d(inputs)
        kind = Bottleneck if c.bottleneck else Block
        for stage, depth in enumerate(c.depths):
            planes, blocks = int(64 * c.width) << stage, []
            for i in range(depth):
                blocks.append(kind(inputs, planes, 2 if stage > 0 and i == 0 else 1))
                inputs = planes * kind.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.dim = inputs
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> the mean over the cells of the last map, [B, D]."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3))


class InstanceDiscrimination(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        self.backbone = ResNet(c)
        self.fc = nn.Linear(self.backbone.dim, c.features)
        self.register_buffer("bank", F.normalize(torch.randn(c.bank, c.features)))

    def forward(self, images: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images [B, 3, H, W], ids [B] -> the loss, a scalar, and the features [B, features]."""
        x = F.normalize(self.fc(self.backbone(images)))
        return F.cross_entropy(x @ self.bank.t() / self.config.temperature, ids), x.detach()


class Trainer:
    """The model, its optimizer and one fixed batch of images; step() trains on it once."""

    def __init__(self, config: Config, batch: int, seed: int, compiled: bool, channels_last: bool = False):
        torch.manual_seed(seed)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = InstanceDiscrimination(config).to(memory_format=layout)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4, fused=True)
        self.images = torch.randn(batch, 3, config.image, config.image).contiguous(memory_format=layout)
        self.ids = torch.randperm(config.bank)[:batch]
        self.loss = torch.compile(self.model) if compiled else self.model

    def step(self) -> float:
        loss, x = self.loss(self.images, self.ids)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            m = self.model.config.bank_momentum
            rows = m * self.model.bank[self.ids] + (1 - m) * x
            self.model.bank[self.ids] = F.normalize(rows)
        return loss.item()
