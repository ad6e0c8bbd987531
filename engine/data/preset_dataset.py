"""The dataset that a preset means: the file it names, or the tables inside it."""

from __future__ import annotations

from pathlib import Path

from engine.config import LoadedConfig
from engine.config.language import say
from engine.config.problems import ConfigError
from engine.data.dataset_config import DatasetConfig, read_dataset_config
from engine.families.family import FamilySpec


def read_preset_dataset(loaded: LoadedConfig, spec: FamilySpec) -> DatasetConfig:
    """The dataset of a loaded preset. In a musubi file relative paths count from the working directory, in ours from the
    dataset file. Raises ``ConfigError``, also when the preset names no dataset.
    """
    dataset, numerics = loaded.config.dataset, loaded.config.run.numerics
    if dataset.dataset_config is not None:
        file = Path(dataset.dataset_config)
        base = Path.cwd() if loaded.dialect == "musubi" else file.absolute().parent
        return read_dataset_config(file, base_dir=base, spec=spec, numerics=numerics)
    if not dataset.datasets:
        raise ConfigError.of(
            "missing_key",
            say("the preset names no dataset.", "プリセットにデータセットがありません。"),
            say(
                'Add dataset_config = "dataset.toml" or [[datasets]].',
                'dataset_config = "dataset.toml" か [[datasets]] を書いてください。',
            ),
            file=loaded.path,
            key="dataset_config",
        )
    tables = {"general": dataset.general, "datasets": dataset.datasets}
    return read_dataset_config(
        tables, base_dir=loaded.dataset_base, spec=spec, file=str(loaded.dataset_file), numerics=numerics
    )
