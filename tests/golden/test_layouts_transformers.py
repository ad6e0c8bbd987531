"""Every tensor of the released transformers has its place in the diffusers class, and nothing is left over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config.problems import CheckpointError
from engine.families import get_family
from tests.golden.collapsed import expand

LAYOUTS = json.loads((Path(__file__).parent / "data" / "checkpoint_layouts.json").read_text())


def shapes_of(case: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in expand(LAYOUTS[case]["tensors"])}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize(
    ("case", "family", "expected"),
    [
        ("wan/t2v-1.3B", "wan", {"num_layers": 30, "num_attention_heads": 12, "ffn_dim": 8960}),
        ("wan/t2v-14B", "wan", {"num_layers": 40, "num_attention_heads": 40, "ffn_dim": 13824}),
        ("qwen_image", "qwen_image", {"num_layers": 60, "num_attention_heads": 24, "joint_attention_dim": 3584}),
    ],
)
def test_every_tensor_of_the_real_model_has_its_place(case, family, expected, prefix):
    model = get_family(family).load_model()
    shapes = {prefix + name: shape for name, shape in shapes_of(case).items()}
    arguments = model.detect(shapes)
    assert {key: arguments[key] for key in expected} == expected
    slots = {name: tuple(tensor.shape) for name, tensor in model.build(arguments).state_dict().items()}
    for name, shape in shapes.items():
        (target,) = model.names.to_diffusers(model.names.strip(name))
        assert slots.pop(target) == shape, name
        place = model.names.to_original(target)
        assert (prefix + place.name, place.parts) == (name, 1)
    assert not slots


@pytest.mark.parametrize(
    ("case", "family", "says"),
    [
        ("wan/i2v-14B", "wan", "36 input channels"),
        ("flux_kontext", "wan", "a FLUX transformer, not a Wan transformer"),
        ("qwen_image", "wan", "a Qwen-Image transformer, not a Wan"),
        ("wan/t2v-14B", "qwen_image", "a Wan transformer, not a Qwen-Image"),
        ("qwen_image_layered", "qwen_image", "Qwen-Image-Layered"),
    ],
)
def test_another_model_is_named_for_what_it_is(case, family, says):
    with pytest.raises(CheckpointError, match=says):
        get_family(family).load_model().detect(shapes_of(case))
