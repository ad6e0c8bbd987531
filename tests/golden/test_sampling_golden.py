"""The reference's sigma tables and integrated toy flows, and its four-step generations with the tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.checkpoints.load import load_transformer
from engine.families import get_family
from engine.sample.sampler import sample_latents
from engine.sample.solvers import make_solver, shift_of_mu
from tests.golden import tiny_weights

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "sampling_schedules.json").read_text())
CASES = [name for name in GOLDEN if "/" in name]
SOLVERS = {
    "wan_unipc": ("unipc", None),
    "wan_dpmpp": ("dpm++", None),
    "flow_match_euler": ("euler", None),
    "qwen_flow_shift": ("euler", 0.02),
    "qwen_dynamic": ("euler", 0.02),
}


@pytest.mark.parametrize("case", CASES)
def test_schedules_and_solutions_equal_the_reference(case: str) -> None:
    name, settings = case.split("/")
    solver_name, terminal = SOLVERS[name]
    golden = GOLDEN[case]
    steps = int(settings.split("_")[0].removeprefix("steps"))
    shift = float(settings.partition("shift")[2]) if "shift" in settings else shift_of_mu(golden["mu"])
    solver = make_solver(solver_name, steps, shift, terminal)
    assert solver.schedule.sigmas == pytest.approx(golden["sigmas"], abs=3e-7)
    assert solver.schedule.timesteps == pytest.approx(golden["timesteps"], abs=3e-4)
    if "x_final" in golden:
        x = torch.tensor(GOLDEN["x0"])
        for i, timestep in enumerate(solver.schedule.timesteps):
            x = solver.step(i, x, 0.3 * x - 0.2 + 0.1 * timestep / 1000)
        torch.testing.assert_close(x, torch.tensor(golden["x_final"]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("qwen_dynamic")])
def test_qwen_images_resolution_dependent_shift_equals_the_reference(case: str) -> None:
    tokens = int(case.partition("seq")[2])
    model = get_family("qwen_image").load_model()
    shape = (1, 16, 1, 2, 2 * tokens)
    assert model.shift_mu(shape) == pytest.approx(GOLDEN[case]["mu"])


@pytest.mark.parametrize(("family", "weights"), [("wan", "wan_t2v_dit_bf16"), ("qwen_image", "qwen_image_dit_bf16")])
def test_four_steps_with_guidance_give_the_references_latents(family: str, weights: str, tmp_path: Path) -> None:
    """64 x 96 pixels (Wan: 5 frames), seed 11, "a cat on a wooden table", in bf16, with the task's own guidance,
    negative prompt, shift and solver. The text's embeddings stand in the file; the noise is ours, from the seed."""
    golden = load_file(DATA / "generated_latents.safetensors")
    model = get_family(family).load_model()
    defaults = model.spec.task(None).sample
    transformer = load_transformer(
        model, tiny_weights.write(weights, tmp_path), device=torch.device("cpu"), dtype=torch.bfloat16
    )
    text = {
        role: {name.rpartition(".")[2]: [tensor] for name, tensor in golden.items() if f"{family}.{role}." in name}
        for role in ("prompt", "negative")
    }
    expected = golden[f"{family}.latents"].float().flatten()
    latents = sample_latents(
        model,
        transformer,
        text["prompt"],
        text["negative"],
        (1, *model.spec.latent_shape(96, 64, 5 if model.spec.fps else 1)),
        steps=4,
        guidance_scale=defaults.guidance_scale,
        flow_shift=defaults.flow_shift,
        seed=11,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
    )
    assert latents.numel() == expected.numel()
    assert torch.cosine_similarity(latents.flatten(), expected, dim=0) > 0.9995
    assert (latents.flatten() - expected).norm() / expected.norm() < 0.03
