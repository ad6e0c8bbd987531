"""LoRA: y = W x + (alpha / rank) · up(down(x)), with fp32 ``down`` (Kaiming-uniform) and ``up`` (zeros) beside a frozen W.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), https://arxiv.org/abs/2106.09685; dropouts,
names and defaults as in Musubi Tuner, so that files and habits carry over. Where the built model splits an original
Linear by rows, the slices share one ``down`` and own their rows of ``up``: the same parameters, gradients and file as on
the fused Linear (dropout masks alone are drawn per slice).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.config.language import say
from engine.config.network_args import NetworkArguments
from engine.config.problems import CheckpointError, ConfigError
from engine.families.family import FamilyModel
from engine.networks.dialects import Dialect, LoraFile, LoraPair, export
from engine.networks.files import SavedLora, save_tensors
from engine.networks.targets import Target, find_targets


@dataclass(frozen=True)
class Dropouts:
    """Chances in [0, 1): of a bottleneck value, of a rank (per sample), of the whole module (per forward)."""

    bottleneck: float = 0.0
    rank: float = 0.0
    module: float = 0.0


class LoraAdapter(nn.Module):
    """The two matrices of one original Linear: ``down`` (rank, in) and ``up`` (out, rank)."""

    def __init__(self, target: Target, rank: int, alpha: float, dropouts: Dropouts, device: torch.device) -> None:
        super().__init__()
        self.target = target
        self.rank = rank
        self.alpha = alpha
        self.scale = alpha / rank
        self.dropouts = dropouts
        # Drawn on the CPU, so that a seed means the same adapter on every device (meta stays meta).
        origin = torch.device("meta") if device.type == "meta" else torch.device("cpu")
        down = torch.empty(rank, target.in_features, dtype=torch.float32, device=origin)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        self.down = nn.Parameter(down.to(device))
        self.up = nn.Parameter(torch.zeros(target.out_features, rank, dtype=torch.float32, device=device))

    def delta(self, x: torch.Tensor, start: int, stop: int) -> tuple[torch.Tensor, float]:
        """Rows ``start:stop`` of up(drop(down(x))) and the factor they are to be added with."""
        hidden = F.linear(x, self.down)
        scale = self.scale
        if self.training:
            hidden, rescale = self._drop(hidden)
            scale *= rescale
        up = self.up if stop - start == len(self.up) else self.up[start:stop]
        return F.linear(hidden, up), scale

    def _drop(self, hidden: torch.Tensor) -> tuple[torch.Tensor, float]:
        if self.dropouts.bottleneck:
            hidden = F.dropout(hidden, self.dropouts.bottleneck)
        if not self.dropouts.rank:
            return hidden, 1.0
        keep = torch.rand(len(hidden), self.rank, device=hidden.device) > self.dropouts.rank
        keep = keep.view(len(hidden), *[1] * (hidden.dim() - 2), self.rank)
        return hidden * keep, 1 / (1 - self.dropouts.rank)

    def skipped(self) -> bool:
        """Whether module dropout leaves this adapter out of this forward (drawn on the CPU: no device is waited for)."""
        return self.training and bool(self.dropouts.module) and bool(torch.rand(()) < self.dropouts.module)

    def delta_norm_squared(self) -> torch.Tensor:
        """Squared Frobenius norm of (alpha / rank) · up @ down, without building the product."""
        up, down = self.up.detach(), self.down.detach()
        return (self.scale**2) * ((up.T @ up) * (down @ down.T)).sum()

    def extra_repr(self) -> str:
        return f"{self.target.name}, rank={self.rank}, alpha={self.alpha:g}"


class LoraNetwork(nn.Module):
    """All adapters of one transformer. Owns every trainable parameter; the transformer keeps only frozen ones."""

    def __init__(self, adapters: list[LoraAdapter], arguments: NetworkArguments, rank: int, alpha: float) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(adapters)
        self.arguments = arguments
        self.rank = rank
        self.alpha = alpha
        self.multiplier = 1.0
        self._before: list[tuple[nn.Module, Any]] = []

    @classmethod
    def create(
        cls,
        transformer: nn.Module,
        family_model: FamilyModel,
        *,
        rank: int,
        alpha: float | None = None,
        dropout: float | None = None,
        arguments: NetworkArguments | None = None,
        shaped_by: LoraFile | None = None,
        device: torch.device | None = None,
    ) -> LoraNetwork:
        """Build adapters for the family's targets and attach them. ``alpha`` 0 or None means ``rank``.

        With ``shaped_by``, only the modules of that file get an adapter, with its ranks and alphas. The torch CPU
        generator decides the initial weights. Raises ``ConfigError`` when the patterns leave nothing to train.
        """
        arguments = arguments or NetworkArguments()
        targets = find_targets(
            transformer,
            family_model.names,
            family_model.lora,
            exclude=arguments.exclude_patterns,
            include=arguments.include_patterns,
        )
        dropouts = Dropouts(dropout or 0.0, arguments.rank_dropout or 0.0, arguments.module_dropout or 0.0)
        alpha = float(alpha or rank)
        adapters = []
        for target in targets:
            shape: tuple[int, float] | None = (rank, alpha)
            if shaped_by is not None:
                pair = shaped_by.pair_of(target)
                shape = (pair.rank, pair.alpha) if pair else None
            if shape:
                place = device or target.members[0].linear.weight.device
                adapters.append(LoraAdapter(target, *shape, dropouts, place))
        if not adapters:
            raise ConfigError.of(
                "nothing_to_train",
                say("The patterns of network_args leave no layer to train.", "network_args のパターンにより学習対象の層がありません。"),
                say("Include patterns only rescue what an exclude pattern caught; all must match whole names.",
                    "include は exclude に一致した層を戻すだけです。名前全体に一致する必要があります。"),
                key="network_args",
            )  # fmt: skip
        network = cls(adapters, arguments, rank, alpha)
        network.attach()
        return network

    def attach(self) -> None:
        """Patch ``forward`` of every served Linear."""
        if self._before:
            return
        for adapter in self:
            for member in adapter.target.members:
                self._before.append((member.linear, member.linear.__dict__.get("forward")))
                member.linear.forward = partial(
                    self._forward, adapter, member.linear.forward, member.start, member.stop
                )

    def detach(self) -> None:
        """Give every Linear back the forward it had."""
        for linear, before in reversed(self._before):
            if before is None:
                del linear.forward
            else:
                linear.forward = before
        self._before.clear()

    def _forward(
        self, adapter: LoraAdapter, base: Callable[[torch.Tensor], torch.Tensor], start: int, stop: int, x: torch.Tensor
    ) -> torch.Tensor:
        y = base(x)
        if self.multiplier == 0 or adapter.skipped():
            return y
        if torch.is_autocast_enabled(x.device.type) or x.dtype == adapter.down.dtype:
            delta, scale = adapter.delta(x, start, stop)
            return torch.add(y, delta, alpha=scale * self.multiplier)
        # A half-precision model without autocast: add in fp32 and round the sum once.
        delta, scale = adapter.delta(x.to(adapter.down.dtype), start, stop)
        return torch.add(y.to(delta.dtype), delta, alpha=scale * self.multiplier).to(y.dtype)

    def __iter__(self) -> Iterator[LoraAdapter]:
        return iter(self.adapters)

    def __len__(self) -> int:
        return len(self.adapters)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Optimizer groups: one, or with LoRA+ the downs at ``learning_rate`` and the ups at its multiple."""
        ratio = self.arguments.loraplus_lr_ratio
        if not ratio:
            return [{"params": list(self.parameters()), "lr": learning_rate}]
        return [
            {"params": [adapter.down for adapter in self], "lr": learning_rate},
            {"params": [adapter.up for adapter in self], "lr": learning_rate * ratio},
        ]

    def pairs(self) -> list[tuple[Target, LoraPair]]:
        """(target, matrices) of every adapter, detached."""
        return [(a.target, LoraPair(a.down.detach(), a.up.detach(), a.alpha)) for a in self]

    def state_dict_musubi(self) -> dict[str, torch.Tensor]:
        """The adapter in fp32 under Musubi Tuner's keys, alphas included."""
        return export(self.pairs(), "musubi", torch.float32)

    def load_musubi(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore exactly what ``state_dict_musubi`` gave. Raises ``KeyError`` or ``ValueError`` for anything else."""
        keys = {f"{adapter.target.key}{end}" for adapter in self for end in (".lora_down.weight", ".lora_up.weight")}
        unknown = {key for key in tensors if not key.endswith(".alpha")} - keys
        if unknown:
            raise KeyError(f"not of this adapter: {sorted(unknown)[:3]}")
        with torch.no_grad():
            for adapter in self:
                for name, parameter in (("lora_down", adapter.down), ("lora_up", adapter.up)):
                    stored = tensors[f"{adapter.target.key}.{name}.weight"]
                    if stored.shape != parameter.shape:
                        raise ValueError(f"{adapter.target.key}: {list(stored.shape)} != {list(parameter.shape)}")
                    parameter.copy_(stored)

    def load_file(self, file: LoraFile) -> None:
        """Start from an earlier LoRA (``network_weights``). Raises ``CheckpointError`` when nothing or not all of it fits."""
        fitting = [(adapter, file.pair_of(adapter.target)) for adapter in self]
        strangers = file.unknown_to([adapter.target for adapter in self])
        if all(pair is None for _, pair in fitting) or strangers:
            raise _misfit(
                file, say("has layers that this network does not: ", "このネットワークにない層があります: "), strangers
            )
        wrong = [
            f"{a.target.key} (rank {p.rank}, alpha {p.alpha:g}; {tuple(p.down.shape)}, {tuple(p.up.shape)})"
            for a, p in fitting
            if p is not None
            and (p.down.shape != a.down.shape or p.up.shape != a.up.shape or not math.isclose(p.alpha, a.alpha, rel_tol=1e-3))
        ]  # fmt: skip
        if wrong:
            head = say(
                f"does not have rank {self.rank} and alpha {self.alpha:g}: ",
                f"rank {self.rank}・alpha {self.alpha:g} と一致しません: ",
            )
            raise _misfit(file, head, wrong)
        with torch.no_grad():
            for adapter, pair in fitting:
                if pair is not None:
                    adapter.down.copy_(pair.down)
                    adapter.up.copy_(pair.up)

    def save(
        self,
        path: Path,
        dialect: Dialect = "musubi",
        metadata: Mapping[str, str] | None = None,
        dtype: torch.dtype = torch.float32,
        owner: str = "",
    ) -> SavedLora:
        """Write the adapter atomically, read it back and check it. Raises ``CheckpointError`` and leaves no file if wrong."""
        return save_tensors(export(self.pairs(), dialect, dtype), path, metadata or {}, owner=owner)

    @torch.no_grad()
    def delta_norm(self) -> float:
        """Frobenius norm of everything the adapter adds to the base weights (waits for the device)."""
        return math.sqrt(float(torch.stack([adapter.delta_norm_squared() for adapter in self]).sum()))


def _misfit(file: LoraFile, head: str, names: list[str]) -> CheckpointError:
    listed = ", ".join(names[:3]) + (f" … ({len(names)})" if len(names) > 3 else "")
    return CheckpointError.of(
        "wrong_network_weights",
        f"{file.path.name} {head}{listed}.",
        say("Use a LoRA of the same model with the same network_args; dim_from_weights = true takes layers, rank and alpha from the file.",
            "同じモデル・同じ network_args の LoRA を使ってください。dim_from_weights = true で層・rank・alpha をファイルに合わせられます。"),
        file=file.path,
        key="network_weights",
    )  # fmt: skip
