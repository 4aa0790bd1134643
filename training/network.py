"""The network: a UNet whose input is the grey bytes that serving prepares, scaled inside."""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from training.config import Network

MEAN, DEVIATION = 0.5, 0.25
"""Of prepared grey values as shares of the range; constants, since preparing stretches every picture alike."""


class ToothNetwork(nn.Module):
    """`(batch, height, width)` `uint8` to class logits `(batch, classes, height, width)`; sides divide by 32."""

    def __init__(self, config: Network) -> None:
        super().__init__()
        self.unet = smp.Unet(
            config.encoder,
            encoder_weights=None,
            encoder_depth=len(config.decoder_channels),
            decoder_channels=config.decoder_channels,
            in_channels=1,
            classes=config.classes,
        )
        self.unet = self.unet.to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of prepared pictures."""
        logits: Tensor = self.unet(scale_pixels(pixels))
        return logits


def scale_pixels(pixels: Tensor) -> Tensor:
    """Grey bytes `(batch, height, width)` as the UNet takes them, `(batch, 1, height, width)` `float32`."""
    return (pixels.unsqueeze(1).float() / 255.0 - MEAN) / DEVIATION
