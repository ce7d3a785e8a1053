"""The rival of a two-tower's update: the same towers and loss in PyTorch, as people write them."""

import math

import torch
from torch import nn
from torch.nn import functional


def encoder(width, heads, layers):
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", layer_norm_eps=1e-6,
                                       batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(width, eps=1e-6), enable_nested_tensor=False)


class VitTiny(nn.Module):
    """Of images of 32 x 32 pixels."""

    def __init__(self, embedding, width=192, patch=4):
        super().__init__()
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (32 // patch) ** 2 + 1, width))
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.blocks = encoder(width, 3, 12)
        self.head = nn.Linear(width, embedding)

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], 1) + self.positions
        return self.head(self.blocks(tokens)[:, 0])


def cnn(embedding):
    return nn.Sequential(nn.Conv2d(3, 32, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 5), nn.MaxPool2d(2), nn.ReLU(),
                         nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, embedding))


class TextTower(nn.Module):
    def __init__(self, vocabulary, length, width, layers, embedding):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, length, width))
        self.blocks = encoder(width, width // 32, layers)
        self.head = nn.Linear(width, embedding)

    def forward(self, tokens):
        real = tokens != 0
        h = self.blocks(self.embed(tokens) + self.positions, src_key_padding_mask=~real)
        weight = real.float()
        return self.head((h * weight.unsqueeze(2)).sum(1) / weight.sum(1, keepdim=True))


class TwoTower(nn.Module):
    def __init__(self, image, vocabulary, length, width, layers, embedding):
        super().__init__()
        self.image = {"cnn": cnn, "vit-tiny": VitTiny}[image](embedding)
        self.text = TextTower(vocabulary, length, width, layers, embedding)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images, tokens):
        """The loss of CLIP."""
        images = functional.normalize(self.image(images))
        texts = functional.normalize(self.text(tokens))
        logits = self.log_scale.clamp(max=math.log(100)).exp() * images @ texts.t()
        matches = torch.arange(len(logits))
        return (functional.cross_entropy(logits, matches) + functional.cross_entropy(logits.t(), matches)) / 2
