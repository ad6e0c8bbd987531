"""``musubi-tui cache PRESET --prune``: cache files that no item needs any more, shown, and with --yes removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config.language import counted, say
from musubi_tui.cli.output import OK, narrate, print_json, print_table

if TYPE_CHECKING:
    from engine.data.pruning import Kept, Leftover


def prune(preset: str, overrides: dict[str, str], *, only: str, yes: bool, as_json: bool) -> int:
    """Show the left-over cache files of a preset's dataset, or remove them; the exit code."""
    from engine.config import load_config
    from engine.data.preset_dataset import read_preset_dataset
    from engine.data.pruning import plan_pruning, remove
    from engine.families import get_family
    from musubi_tui.datasets.opening import scan_index
    from musubi_tui.presets.library import find_preset

    loaded = load_config(find_preset(preset), overrides)
    spec = get_family(str(loaded.config.run.family))
    with scan_index() as index:
        plan = plan_pruning(
            read_preset_dataset(loaded, spec), spec, spec.task(loaded.config.run.task), index=index, only=only
        )
    gone = remove(plan) if yes else []
    if as_json:
        print_json({
            "removed": yes,
            "bytes": sum(file.bytes for file in gone) if yes else plan.bytes,
            "files": [_as_json(file) for file in (gone if yes else plan.leftovers)],
            "kept": [_as_json(file) for file in plan.kept],
        })  # fmt: skip
        return OK
    shown = gone if yes else plan.leftovers
    if shown:
        headers = (say("bytes", "バイト"), say("reason", "理由"), say("file", "ファイル"))
        print_table(headers, [(file.bytes, file.reason, file.path) for file in shown], right=(0,))
    _tell(shown, plan.kept, yes)
    return OK


def _tell(files: Sequence[Leftover], kept: Sequence[Kept], removed: bool) -> None:
    from musubi_tui.datasets.words import size_word

    size = size_word(sum(file.bytes for file in files))
    if removed:
        narrate(
            say(
                f"Removed {counted(len(files), 'file')} ({size}).",
                f"{len(files)} 個のファイルを削除しました（{size}）。",
            )
        )
    elif files:
        narrate(say(f"{counted(len(files), 'file')} ({size}) {'is' if len(files) == 1 else 'are'} not needed any more. Nothing was removed: give --yes to remove {'it' if len(files) == 1 else 'them'}.",
                    f"{len(files)} 個のファイル（{size}）は不要です。まだ削除していません。削除するには --yes を付けてください。"))  # fmt: skip
    else:
        narrate(say("No cache file is left over.", "不要なキャッシュファイルはありません。"))
    for code, count in Counter(file.code for file in kept).items():
        example = next(file for file in kept if file.code == code)
        narrate(say(f"{counted(count, 'other file stays', 'other files stay')} ({example.reason}), such as {example.path.name}.",
                    f"他の {count} 個は残します（{example.reason}）。例: {example.path.name}"))  # fmt: skip


def _as_json(file: Leftover | Kept) -> dict[str, object]:
    return {"path": str(file.path), "bytes": file.bytes, "code": file.code, "reason": file.reason}
