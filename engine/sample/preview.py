"""Previews of a training run: the pictures that show whether it learns.

The text encoder comes and goes before training begins (its embeddings stay, on the CPU); the VAE waits on the CPU and
visits the device only to decode. A preview that fails is a warning of the run, never its end.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch
from torch import nn

from engine.config.language import say
from engine.config.problems import Problem, UserError
from engine.dtypes import DTYPES
from engine.events.redaction import redact, redacted
from engine.events.types import Sample
from engine.families.family import FamilyModel
from engine.sample.prompts import RawPrompt, SamplePrompt, parse_prompt_line, read_prompts, resolve_prompt
from engine.sample.sampler import SamplingStopped, as_conditions, sample_latents, untouched
from engine.sample.writers import sample_name, write_sample

if TYPE_CHECKING:
    from engine.job import Job

_DEFAULT_SEED = 42  # of runs and prompts that name none: previews of different steps must start from the same noise
# What a preview may die of without taking the run along: everything but mistakes of this program (assertions, attributes).
_FAILURES = (RuntimeError, ValueError, OSError, KeyError, TypeError, UserError, av.FFmpegError)
# What of a prompt says how its picture is made, and not what it shows.
_MANNERS = frozenset(
    ("width", "height", "frame_count", "sample_steps", "guidance_scale", "cfg_scale", "discrete_flow_shift", "negative_prompt")
)  # fmt: skip
Embedding = dict[str, torch.Tensor]


class Previewer:
    """Makes the sample prompts' pictures at chosen steps. Without ``sample_prompts`` it has nothing to do.

    Use: construct before the transformer is loaded (reads the prompts), ``prepare()`` (text encoder and VAE),
    ``attach(transformer, network)``, then ``make(step)`` whenever pictures are due.
    ``dtype`` is what the transformer computes in. Raises ``ConfigError`` when the prompt file is wrong.
    """

    def __init__(self, job: Job, family_model: FamilyModel, *, device: torch.device, dtype: torch.dtype) -> None:
        self.job, self.family_model, self.device, self.dtype = job, family_model, device, dtype
        self.prompts: list[SamplePrompt] = []
        self._like: dict[str, Any] = {}  # what the first prompt of the file says of size, steps and guidance
        self._embeddings: dict[str, Embedding] = {}
        self._vae: nn.Module | None = None
        self._transformer: nn.Module | None = None
        self._network: nn.Module | None = None
        self._too_large: set[tuple[int, int, int]] = set()
        path = job.config.get("sample_prompts")
        if path is not None:
            raw, notices = read_prompts(Path(path))
            self._warn(notices)
            self.prompts = self._resolved(raw)
            if raw:
                self._like = {name: value for name, value in raw[0].values.items() if name in _MANNERS}

    def prepare(self) -> None:
        """Encode all prompts (text encoder loaded, used, freed) and load the VAE on the CPU."""
        if not self.prompts:
            return
        with untouched():
            self._encode(self._texts(self.prompts), self.device)
            self._load_vae()

    def attach(self, transformer: nn.Module, network: nn.Module | None = None) -> None:
        """The model that is trained, and its adapter (for its dropout: previews are made without)."""
        self._transformer, self._network = transformer, network

    def make(self, step: int, epoch: int | None = None, prompts: Sequence[str] | None = None) -> list[Path]:
        """Sample, decode and write every prompt, or the lines ``prompts`` instead; the paths that were written.

        With ``epoch`` the files are named by the epoch that ended. A failure is a ``warning`` event. Stops early, with
        what is done, when the job is asked to stop. Leaves modules and random states as they were.
        """
        if self._transformer is None:
            raise RuntimeError("attach() comes before make()")
        paths: list[Path] = []
        modules = [module for module in (self._transformer, self._network) if module is not None]
        with untouched(*modules):
            for module in modules:
                module.eval()
            chosen = self.prompts if prompts is None else self._live(prompts)
            if not chosen:
                return paths
            with self.job.phase("sample") as progress:
                total, done = sum(prompt.steps for prompt in chosen), 0
                for prompt in chosen:

                    def report(i: int, _steps: int, before: int = done) -> None:
                        progress.update(before + i, total)

                    try:
                        path = self._one(prompt, step, epoch, report)
                    except SamplingStopped:
                        break
                    if path is not None:
                        paths.append(path)
                    done += prompt.steps
        return paths

    def _one(
        self, prompt: SamplePrompt, step: int, epoch: int | None, on_step: Callable[[int, int], None]
    ) -> Path | None:
        """One picture or clip: its path, or ``None`` with a warning."""
        size = (prompt.width, prompt.height, prompt.frames)
        if size in self._too_large:
            return None
        try:
            frames = self._frames(prompt, on_step)
            path = self._write(prompt, frames, step, epoch)
        except torch.OutOfMemoryError:
            self._too_large.add(size)
            self._release()
            self.job.warn(
                "preview_out_of_memory",
                say(f"The preview {prompt.width}x{prompt.height}x{prompt.frames} does not fit into memory; this size is not tried again.",
                    f"プレビュー {prompt.width}x{prompt.height}x{prompt.frames} はメモリに収まりません。このサイズは以後作成しません。"),
                say("Make it smaller (--w, --h, --f in the prompt line).", "プロンプト行の --w --h --f で小さくしてください。"),
            )  # fmt: skip
            return None
        except _FAILURES as error:
            self.job.warn(
                "preview_failed",
                say(f"Preview {prompt.index} failed: {_first_line(error)}. Training goes on.",
                    f"プレビュー {prompt.index} に失敗しました: {_first_line(error)}。学習は続きます。"),
            )  # fmt: skip
            return None
        self.job.events.emit(Sample(path=str(path), prompt=prompt.text, seed=prompt.seed, step=step))
        return path

    def _frames(self, prompt: SamplePrompt, on_step: Callable[[int, int], None]) -> np.ndarray:
        """(F, H, W, 3) uint8."""
        assert self._transformer is not None
        spec = self.family_model.spec
        negative = self._embeddings[prompt.negative] if _is_guided(prompt) else None
        latents = sample_latents(
            self.family_model,
            self._transformer,
            as_conditions([self._embeddings[prompt.text]]),
            as_conditions([negative]) if negative is not None else None,
            (1, *spec.latent_shape(prompt.width, prompt.height, prompt.frames)),
            steps=prompt.steps,
            guidance_scale=prompt.guidance_scale,
            flow_shift=prompt.flow_shift,
            seed=prompt.seed,
            device=self.device,
            dtype=self.dtype,
            embedded_guidance=prompt.embedded_guidance,
            on_step=on_step,
            should_stop=lambda: self.job.stop_requested is not None,
        )
        return self._decoded(latents)

    def _decoded(self, latents: torch.Tensor) -> np.ndarray:
        """Latents (1, C, f, h, w) as frames (F, H, W, 3) uint8."""
        vae = self._load_vae()
        try:
            vae.to(self.device)
            with torch.no_grad():
                pixels = self.family_model.decode_latents(vae, latents)
        finally:
            vae.to("cpu")
        if not bool(torch.isfinite(pixels).all()):
            raise ValueError(say("the picture is not finite (NaN)", "画像に NaN が含まれています"))
        levels = ((pixels[0].float().clamp(-1, 1) + 1) * 127.5).round().byte()
        frames: np.ndarray = levels.permute(1, 2, 3, 0).cpu().numpy()
        return frames

    def _write(self, prompt: SamplePrompt, frames: np.ndarray, step: int, epoch: int | None) -> Path:
        config = self.job.config
        folder = config.get("output_dir") or self.job.run.output
        name = sample_name(
            config.get("output_name") or "",
            step=step,
            epoch=epoch,
            prompt=prompt.index,
            seed=prompt.seed,
            when=datetime.now(),
        )
        facts = redacted(_facts(prompt, step))  # pictures are shared
        metadata = {"prompt": redact(prompt.text), "comment": json.dumps(facts, ensure_ascii=False)}
        return write_sample(frames, Path(folder) / "sample", name, fps=self.family_model.spec.fps, metadata=metadata)

    def _resolved(self, raw: Sequence[RawPrompt]) -> list[SamplePrompt]:
        seed = self.job.config.get("seed")
        prompts = []
        for index, one in enumerate(raw):
            prompt, notices = resolve_prompt(
                one, index, self.job.spec, self.job.task, seed=_DEFAULT_SEED if seed is None else int(seed)
            )
            self._warn(notices)
            prompts.append(prompt)
        return prompts

    def _live(self, lines: Sequence[str]) -> list[SamplePrompt]:
        """Prompts that came while training: read, and encoded on the CPU when their text is new.

        What a line leaves open is as in the first prompt of the file: the family's own size may take minutes where the run's previews
        take seconds.
        """
        problems: list[Problem] = []
        raw = [parse_prompt_line(line, problems) for line in lines if line.strip()]
        self._warn(problems)
        if any(problem.severity == "error" for problem in problems):
            return []
        prompts = self._resolved([replace(one, values={**self._like, **one.values}) for one in raw])
        try:
            self._encode(self._texts(prompts), torch.device("cpu"))
        except _FAILURES as error:
            self.job.warn(
                "preview_failed",
                say(f"The prompts could not be encoded: {_first_line(error)}. Training goes on.",
                    f"プロンプトをエンコードできません: {_first_line(error)}。学習は続きます。"),
            )  # fmt: skip
            return []
        # Numbered behind those of the file, so that no name of theirs is taken.
        return [replace(prompt, index=len(self.prompts) + i) for i, prompt in enumerate(prompts)]

    def _texts(self, prompts: Sequence[SamplePrompt]) -> list[str]:
        texts = [prompt.text for prompt in prompts]
        return texts + [prompt.negative for prompt in prompts if _is_guided(prompt)]

    def _encode(self, texts: Sequence[str], device: torch.device) -> None:
        """Embed the texts that are new; the encoder is gone afterwards."""
        new = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        if not new:
            return
        config, spec = self.job.config, self.job.spec
        paths = {slot.option: Path(config.get(slot.option) or "") for slot in spec.slots if slot.role == "text_encoder"}
        tokenizer = config.get("tokenizer")
        encoder = self.family_model.load_text_encoder(
            paths,
            tokenizer=Path(tokenizer) if tokenizer else None,
            device=device,
            dtype=torch.bfloat16,
        )
        with torch.no_grad():
            for text in new:
                self._embeddings[text] = {name: value.cpu() for name, value in encoder.encode([text])[0].items()}
        del encoder
        self._release()

    def _load_vae(self) -> nn.Module:
        if self._vae is None:
            config = self.job.config
            dtype = DTYPES[config.get("vae_dtype") or self.job.spec.defaults.get("vae_dtype", "float32")]
            self._vae = self.family_model.load_vae(
                Path(config.get("vae")),
                device=torch.device("cpu"),
                dtype=torch.float32 if self.device.type == "cpu" else dtype,  # half precision is slow there
            )
        return self._vae

    def _warn(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self.job.warn(problem.code, str(replace(problem, fix="")), problem.fix)

    def _release(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _is_guided(prompt: SamplePrompt) -> bool:
    return prompt.guidance_scale > 1


def _facts(prompt: SamplePrompt, step: int) -> dict[str, object]:
    return {
        "step": step,
        "negative_prompt": prompt.negative,
        "width": prompt.width,
        "height": prompt.height,
        "frame_count": prompt.frames,
        "sample_steps": prompt.steps,
        "guidance_scale": prompt.guidance_scale,
        "discrete_flow_shift": prompt.flow_shift,
        "seed": prompt.seed,
    }


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
