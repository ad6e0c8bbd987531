"""What comes out while it trains: saved files, samples, validation."""

from __future__ import annotations

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath, SavePrecision

_KEPT_STATES = ("The newest keep_states states are kept.", "keep_states の数だけ新しい状態を残します。")


class SaveSection(Section):
    """When LoRA files and resume states are written, and how many are kept."""

    save_every_n_epochs: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="epochs",
        en="Save the LoRA after every so many epochs, so that you can pick the best one.",
        ja="この数のエポックごとに LoRA を保存し、後で一番良いものを選べるようにします。",
    )
    save_every_n_steps: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="steps",
        en="Save the LoRA after every so many steps.",
        ja="この数のステップごとに LoRA を保存します。",
    )
    save_last_n_epochs: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="epochs",
        expert=True,
        only_with=[("save_every_n_epochs", ())],
        en="Keep only the newest so many epoch files.",
        ja="エポックごとのファイルを新しい方からこの数だけ残します。",
    )
    save_last_n_epochs_state: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="epochs",
        expert=True,
        status="deferred-cost",
        consequence=_KEPT_STATES,
        only_with=[("save_every_n_epochs", ())],
        en="Keep only the resume states of the newest so many saved epochs.",
        ja="保存したエポックの再開用状態を新しい方からこの数だけ残します。",
    )
    save_last_n_steps: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="steps",
        expert=True,
        only_with=[("save_every_n_steps", ())],
        en="Delete step files older than so many steps (a distance, not a count).",
        ja="このステップ数より古いステップごとのファイルを削除します (個数ではなく距離)。",
    )
    save_last_n_steps_state: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="steps",
        expert=True,
        status="deferred-cost",
        consequence=_KEPT_STATES,
        only_with=[("save_every_n_steps", ())],
        en="Delete resume states older than so many steps (a distance, not a count).",
        ja="このステップ数より古い再開用状態を削除します (個数ではなく距離)。",
    )
    save_state: bool = option(
        False,
        musubi=False,
        en="Save a complete resume state whenever the LoRA is saved.",
        ja="LoRA を保存するたびに、再開用の完全な状態も保存します。",
    )
    save_state_on_train_end: bool = option(
        False,
        musubi=False,
        en="Save a resume state at the end, to train on later.",
        ja="後で学習を続けられるよう、終了時に再開用の状態を保存します。",
    )
    save_precision: SavePrecision = option(
        "fp32",
        musubi=None,
        en="Number format inside the LoRA file; bf16 halves its size.",
        ja="LoRA ファイル内の数値形式。bf16 でサイズが半分になります。",
    )
    resume: str | None = option(
        None,
        musubi=None,
        status="deferred-result",
        consequence=(
            "A preset does not name the state to go on from.",
            "再開する状態はプリセットでは指定できません。",
        ),
        en="State folder to go on from; here every run remembers its own: musubi-tui train --resume RUN.",
        ja="再開に使う状態のフォルダー。本ツールでは各実行が記録しています: musubi-tui train --resume RUN。",
    )
    resume_from_huggingface: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-result",
        consequence=("States are not read from the hub.", "ハブからの状態の読み込みは未対応です。"),
        en="Read the state in resume from Hugging Face.",
        ja="resume の状態を Hugging Face から読み込みます。",
    )
    save_state_every_minutes: float = option(
        10.0,
        minimum=0,
        unit="minutes",
        en="Save a resume state after so many minutes, since nobody tells a training that its machine stops; 0 is off.",
        ja="この間隔 (分) で再開用の状態を保存します。マシンの停止は予告されないためです。0 で無効。",
        lower=("less is lost when the machine stops", "停止時に失うものが減る"),
        higher=("less writing", "書き込みが減る"),
    )
    keep_states: int = option(
        2,
        minimum=1,
        unit="states",
        en="Resume states made by save_state_every_minutes that are kept, newest first.",
        ja="save_state_every_minutes による再開用状態を、新しい方から残す数。",
    )
    no_metadata: bool = option(
        False,
        musubi=False,
        expert=True,
        en="Leave the training settings out of the LoRA file.",
        ja="LoRA ファイルに学習設定を書き込みません。",
    )


class SamplingSection(Section):
    """Pictures and clips made while training, to see what it has learned."""

    sample_every_n_steps: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="steps",
        en="Make samples after every so many steps.",
        ja="この数のステップごとにサンプルを作ります。",
    )
    sample_every_n_epochs: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="epochs",
        en="Make samples after every so many epochs.",
        ja="この数のエポックごとにサンプルを作ります。",
    )
    sample_after_steps: int | None = option(
        None,
        minimum=1,
        unit="steps",
        en="Make one early round of samples after so many steps, to see soon that all is well.",
        ja="このステップ数の後に一度だけ早めにサンプルを作り、問題がないかを早く確認できます。",
    )
    sample_at_first: bool = option(
        False,
        musubi=False,
        en="Make samples before the first step, to compare with.",
        ja="比較用に、最初のステップの前にもサンプルを作ります。",
    )
    sample_prompts: AnyPath | None = option(
        None,
        musubi=None,
        path="file",
        en="File of prompts for samples: .txt with one per line and Musubi Tuner's flags, .toml or .json.",
        ja="サンプル用プロンプトのファイル。1 行 1 つと Musubi Tuner のフラグによる .txt、または .toml、.json。",
    )


class ValidationSection(Section):
    """A loss you can compare between steps: always the same pictures, noise and timesteps."""

    validation_items: int = option(
        0,
        minimum=0,
        maximum=1024,
        unit="items",
        en="Fixed set of so many (picture, noise, timestep) triples whose loss is measured; 0 is off.",
        ja="損失を測る固定の組 (画像、ノイズ、タイムステップ) の数。0 で無効。",
        higher=("steadier curve, longer pauses", "曲線は安定するが、停止時間が長い"),
    )
    validate_every_n_steps: int | None = option(
        None,
        minimum=1,
        only_with=[("validation_items", ())],
        unit="steps",
        en="Measure the validation loss every so many steps; unset measures at the start and at the end.",
        ja="この数のステップごとに検証損失を測ります。未指定なら最初と最後に測ります。",
    )
