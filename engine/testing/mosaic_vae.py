"""A VAE by hand: it stores the average colour of each 8x8 pixels, and paints them back as a mosaic.

A VAE with random weights would give noise for latents and noise for pictures. This one has the released layout (names,
stages, strides) and passes three colour channels through it: residual blocks add nothing, strided layers average, upsampling
repeats. Two facts make that exact where the network is not linear:

- the last norm divides by the length of all channels; a constant channel that dwarfs the colours keeps that length fixed;
- silu(a) - silu(-a) = a, so colours travel beside their negatives and are put together behind the activation.

The three colours are spread over the 16 latent channels by a fixed rotation, scaled so that latents have the unit mean square
real ones have, and shifted by the released per-channel mean and deviation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.families.wan.vae_names import BLOCKS, STAGES, VAE_NAMES

WIDTH = 16  # channels everywhere inside; half of them after each upsampling
LATENT_CHANNELS = 16
CONSTANT = 16.0  # value of the constant channel
GAIN = 5.0  # makes the mean square of the sample photographs' latents about 1


def mosaic_vae(
    shapes: dict[str, tuple[int, ...]], mean: Sequence[float], std: Sequence[float]
) -> dict[str, torch.Tensor]:
    """Weights under original names for a VAE of ``shapes`` (width 16, no widening)."""
    weights = {name: (torch.ones if name.endswith("gamma") else torch.zeros)(shape) for name, shape in shapes.items()}
    spread = torch.linalg.qr(torch.randn(LATENT_CHANNELS, 3, generator=torch.Generator().manual_seed(7)))[0]
    deviation = torch.tensor(std)
    _fill_encoder(weights)
    weights["conv1.weight"][:LATENT_CHANNELS, :3, 0, 0, 0] = deviation[:, None] * GAIN * spread
    weights["conv1.bias"][:LATENT_CHANNELS] = torch.tensor(mean)
    weights["conv2.weight"][:3, :, 0, 0, 0] = spread.T / GAIN / deviation
    weights["conv2.bias"][:3] = -(spread.T / GAIN) @ (torch.tensor(mean) / deviation)
    _fill_decoder(weights)
    return weights


def original_shapes(vae: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Original names and shapes of a VAE of diffusers' class."""
    places = {name: VAE_NAMES.to_original(name) for name in vae.state_dict()}
    return {place.name: tuple(vae.state_dict()[name].shape) for name, place in places.items() if place is not None}


def _fill_encoder(weights: dict[str, torch.Tensor]) -> None:
    first = weights["encoder.conv1.weight"]
    for colour in range(3):
        first[colour, colour, -1, 1, 1] = 1.0
        first[3 + colour, colour, -1, 1, 1] = -1.0
    weights["encoder.conv1.bias"][6] = CONSTANT
    for stage in range(STAGES - 1):
        name = f"encoder.downsamples.{stage * (BLOCKS + 1) + BLOCKS}"
        for channel in range(WIDTH):
            weights[f"{name}.resample.1.weight"][channel, channel, :2, :2] = 0.25
            if f"{name}.time_conv.weight" in weights:
                weights[f"{name}.time_conv.weight"][channel, channel, 1:, 0, 0] = 0.5
    _fill_head(weights, "encoder")
    # The second half is the posterior's log variance: as good as certain.
    weights["encoder.head.2.bias"][LATENT_CHANNELS:] = 0.0
    weights["conv1.bias"][LATENT_CHANNELS:] = -20.0


def _fill_decoder(weights: dict[str, torch.Tensor]) -> None:
    first = weights["decoder.conv1.weight"]
    for colour in range(3):
        first[colour, colour, -1, 1, 1] = 1.0
    weights["decoder.conv1.bias"][3] = CONSTANT
    per_stage = BLOCKS + 2
    for stage in range(STAGES - 1):
        name = f"decoder.upsamples.{stage * per_stage + per_stage - 1}"
        for channel in range(WIDTH):
            if channel < WIDTH // 2:
                weights[f"{name}.resample.1.weight"][channel, channel, 1, 1] = 1.0
            if f"{name}.time_conv.weight" in weights:
                for half in (0, WIDTH):  # one frame becomes two alike
                    weights[f"{name}.time_conv.weight"][half + channel, channel, -1, 0, 0] = 1.0
        shortcut = weights[f"decoder.upsamples.{(stage + 1) * per_stage}.shortcut.weight"]
        for channel in range(4):
            shortcut[channel, channel, 0, 0, 0] = 1.0
    for colour in range(3):  # the last stage lays the negatives beside the colours; the constant moves behind them
        shortcut[3 + colour, colour, 0, 0, 0] = -1.0
    shortcut[3, 3] = 0.0
    shortcut[6, 3] = 1.0
    _fill_head(weights, "decoder")


def _fill_head(weights: dict[str, torch.Tensor], half: str) -> None:
    """Norm back to the values that went in, then colour = silu(colour) - silu(-colour)."""
    weights[f"{half}.head.0.gamma"].fill_(CONSTANT / WIDTH**0.5)
    for colour in range(3):
        weights[f"{half}.head.2.weight"][colour, colour, -1, 1, 1] = 1.0
        weights[f"{half}.head.2.weight"][colour, 3 + colour, -1, 1, 1] = -1.0
