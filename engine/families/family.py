"""What a model family must say about itself: the torch-free half (``FamilySpec``) and the torch half (``FamilyModel``).

The loop, the cache stages, the sampler, the offloader and the quantiser are written once against ``FamilyModel``; a family
adds names, shapes and formulas, never control flow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.families.transformer_facts import TransformerFacts

if TYPE_CHECKING:
    import torch
    from torch import nn

    from engine.checkpoints.names import NameTable


@dataclass(frozen=True)
class ModelSlot:
    """One file the user must have: the option that names it, what it is, and where people get it."""

    option: str  # name of the schema option, e.g. "dit"
    role: str  # "transformer" | "vae" | "text_encoder" | "tokenizer"
    title: str
    repository: str = ""  # Hugging Face repository that carries it
    files: tuple[str, ...] = ()  # known file names, best first
    size_gb: float = 0.0  # of the best-known file, for plans and downloads
    needed_for: frozenset[str] = frozenset({"train"})  # of "train", "latents", "text", "sample"
    signs: tuple[tuple[str, ...], ...] = ()  # such a file is told by tensor names that hold all parts of one of these


@dataclass(frozen=True)
class SampleDefaults:
    """How pictures of this task are made when a prompt line does not say otherwise."""

    steps: int
    guidance_scale: float
    flow_shift: float | None  # None: the family's resolution-dependent shift
    width: int
    height: int
    frames: int = 1
    negative: str = ""  # the negative prompt real guidance uses when the user gives none


@dataclass(frozen=True)
class TaskSpec:
    """One kind of training of a family, under Musubi Tuner's name for it."""

    name: str
    title: str
    cache_id: str  # short id in cache file names ("wan", "qi"): never contains "_"
    architecture: str  # `ss_base_model_version`, and `architecture` in cache headers unless the next says otherwise
    modelspec_architecture: str
    modelspec_resolution: str
    sample: SampleDefaults
    cache_architecture: str = ""  # of tasks whose cache headers bear another name than their adapters
    built: bool = True  # False: known, so that a config that names it gets a true answer, but not trainable yet
    capabilities: frozenset[str] = frozenset()

    @property
    def header_architecture(self) -> str:
        """`architecture` in the headers of its cache files."""
        return self.cache_architecture or self.architecture


@dataclass(frozen=True)
class FamilySpec:
    """The torch-free facts of one family. Options name the capabilities they need; families list the ones they have.

    Capabilities in use: ``images``, ``clips``, ``control_images`` (one for each item, any number with ``many_controls``),
    ``control_video``, ``layers`` (several target pictures), ``one_frame``, ``sections``, ``cfg`` (real guidance with a negative prompt),
    ``cfg_norm`` (guided predictions get the length of the conditional one, token by token), ``embedded_guidance``,
    ``two_experts``, ``t5``, ``qwen_vl``.
    """

    name: str
    title: str
    tasks: Mapping[str, TaskSpec]
    default_task: str
    slots: tuple[ModelSlot, ...]
    capabilities: frozenset[str]
    network_module: str  # Musubi Tuner's module name, written into `ss_network_module`
    modelspec_implementation: str
    model: str  # "module:Class" of the FamilyModel, loaded only by the engine process
    fps: float  # frame rate the model was trained at; 0 for image-only families
    pixel_step: int  # bucket sides are multiples of this
    frame_stride: int  # clips have stride * n + 1 frames
    spatial_stride: int  # pixels per latent cell
    temporal_stride: int  # frames per latent frame (after the first)
    latent_channels: int
    patch: tuple[int, int, int]  # latent cells per token (frames, height, width)
    token_limit: int  # longest caption in encoder tokens
    text_tensors: Mapping[
        str, int
    ]  # what is cached of a caption, as batches name it -> numbers per token with the released encoder
    latents_dtype: str  # dtype of cached latents, as Musubi Tuner writes them
    cache_window: int | None  # extra number in Musubi Tuner's bucket keys of pictures (9 for wan); None: there is none
    defaults: Mapping[str, Any] = field(default_factory=dict)  # option name -> recommended value for our own presets
    musubi_keys: frozenset[str] = frozenset()  # option names that only this family's scripts have
    solver: str = "euler"  # name in engine.sample.solvers that its pictures are usually made with
    end_tokens: int = 0  # what the tokenizer puts behind a caption: it counts towards ``token_limit``
    clean_caption: str = (
        ""  # "module:function" that makes of a caption what is put into tokens; without it nothing changes
    )
    caption_template: str = "{}"  # what the text encoder is given for a caption
    shift_terminal: float | None = None  # the last sigma before 0 that its schedules are stretched to, if they are
    transformer: TransformerFacts | None = None  # what plans are made from; without it there are none

    def task(self, name: str | None) -> TaskSpec:
        """The task of that name, or the default one. Raises ``KeyError`` with the known names."""
        name = name or self.default_task
        if name not in self.tasks:
            raise KeyError(f"unknown task {name!r} of {self.name}; known: {', '.join(self.tasks)}")
        return self.tasks[name]

    def frames_allowed(self, frames: int) -> int:
        """The largest allowed clip length that is at most ``frames`` (stride * n + 1)."""
        return max(1, (frames - 1) // self.frame_stride * self.frame_stride + 1)

    def latent_shape(self, width: int, height: int, frames: int = 1) -> tuple[int, int, int, int]:
        """(channels, frames, height, width) of the latents of one picture or clip of that many pixels and frames."""
        latent_frames = (frames - 1) // self.temporal_stride + 1
        return (self.latent_channels, latent_frames, height // self.spatial_stride, width // self.spatial_stride)

    def tokens(self, width: int, height: int, frames: int = 1) -> int:
        """Transformer tokens of one picture or clip (without text)."""
        _, f, h, w = self.latent_shape(width, height, frames)
        return (f // self.patch[0]) * (h // self.patch[1]) * (w // self.patch[2])

    @property
    def batch_tensors(self) -> frozenset[str]:
        """What a batch is made of, by name: what else a cache file holds, as those of other tasks do, is not read."""
        return frozenset({"latents", *self.text_tensors})

    def slot(self, role: str) -> ModelSlot:
        """The model file of that role. Raises ``KeyError``."""
        for slot in self.slots:
            if slot.role == role:
                return slot
        raise KeyError(f"{self.name} has no {role}")

    def cleaned(self, caption: str) -> str:
        """The caption as it is put into tokens."""
        module, _, name = self.clean_caption.partition(":")
        return str(getattr(import_module(module), name)(caption)) if module else caption

    def load_model(self) -> FamilyModel:
        """Import the torch half and make its (stateless) instance. Only the engine process calls this."""
        module, _, name = self.model.partition(":")
        model: FamilyModel = getattr(import_module(module), name)()
        return model


@dataclass(frozen=True)
class LoraTargets:
    """Which Linears get an adapter, in the words of the ORIGINAL checkpoint (Musubi Tuner matches its patterns on those).

    ``blocks``: class names of the diffusers modules whose descendants are candidates. ``exclude``: regular expressions
    that must match the whole original dotted name.
    """

    blocks: tuple[str, ...]
    exclude: tuple[str, ...] = ()


class Frames(Protocol):
    """Pixels (B, 3, F, H, W) in [-1, 1]: a tensor, or what gives one when it is sliced along its frames, each once and in order.

    A VAE that works through a clip a few frames at a time never has it whole.
    """

    @property
    def shape(self) -> torch.Size:
        """(B, 3, F, H, W)."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Frames:
        """The same on a device in a dtype."""
        ...

    def __getitem__(self, index: tuple[slice, ...]) -> torch.Tensor:
        """Some frames."""
        ...


class TextEncoder(Protocol):
    """A loaded text encoder with its tokenizer."""

    ragged: frozenset[str]  # batch names whose tensors differ in length from caption to caption

    def encode(self, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """One dict of tensors per caption, keyed as the batch names them (``t5``, ``vl_embed``), unpadded, on the CPU."""
        ...

    def token_count(self, caption: str) -> int:
        """Tokens of the caption before truncation (templates not counted)."""
        ...


class FamilyModel(Protocol):
    """The torch half of a family: names, shapes and formulas. Stateless; every method may be called in any order."""

    spec: FamilySpec
    names: NameTable  # original transformer names <-> diffusers names
    lora: LoraTargets
    keep_fp32: tuple[str, ...]  # parts of diffusers names whose weights and arithmetic stay fp32

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Constructor arguments of the diffusers class, read from original tensor names and shapes.

        Raises ``CheckpointError`` when the tensors are not this family's transformer, naming what they look like.
        """
        ...

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """The diffusers transformer with these arguments (call under ``torch.device("meta")`` to allocate nothing)."""
        ...

    def blocks(self, transformer: nn.Module) -> list[nn.Module]:
        """Transformer blocks in execution order: the unit of swapping, checkpointing and compiling."""
        ...

    def load_vae(self, path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """The VAE from any layout users have on disk. Raises ``CheckpointError``."""
        ...

    def load_text_encoder(
        self, paths: Mapping[str, Path], *, tokenizer: Path | None, device: torch.device, dtype: torch.dtype
    ) -> TextEncoder:
        """The text encoder(s), by option name, with tokenizer. Raises ``CheckpointError`` (says which files are missing)."""
        ...

    def tokenizer_files(self, paths: Mapping[str, Path], *, tokenizer: Path | None) -> list[Path]:
        """The tokenizer files that ``load_text_encoder`` would read with these arguments, as far as they are on this machine."""
        ...

    def encode_latents(self, vae: nn.Module, pixels: Frames) -> torch.Tensor:
        """Pixels (B, 3, F, H, W) in [-1, 1] -> normalised latents (B, C, f, h, w) as they are cached."""
        ...

    def decode_latents(self, vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, C, f, h, w) -> pixels (B, 3, F, H, W) in [-1, 1]."""
        ...

    def model_inputs(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Mapping[str, Any], *, guidance_scale: float
    ) -> dict[str, Any]:
        """Keyword arguments of the transformer for ``noisy`` (B, C, f, h, w) at ``timesteps`` (B,) on the 0..1000 scale.

        ``conditions`` holds the text tensors under their batch names; ragged ones are lists of (tokens, width) tensors.
        """
        ...

    def velocity(self, output: Any, shape: torch.Size) -> torch.Tensor:
        """The transformer's output as a velocity of ``shape`` (B, C, f, h, w): the prediction of ``noise - latents``."""
        ...

    def shift_mu(self, shape: Sequence[int]) -> float:
        """Exponent of the resolution-dependent timestep shift for latents of ``shape`` (…, h, w): shift = exp(mu)."""
        ...
