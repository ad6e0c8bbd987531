"""Missing model files from the Hugging Face hub: found in the repository by name, resumed, and checked against its checksum.

Endpoint, token and proxies are huggingface_hub's own (``HF_ENDPOINT``, ``HF_TOKEN``). What was half downloaded goes on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.config.language import say
from engine.config.problems import MissingRequirement, UserError
from engine.families import ModelSlot
from engine.planner.disk import gigabytes

Tell = Callable[[str, int, int], None]  # (file, bytes done, bytes in all)
_RESERVE = 1 << 30


@dataclass(frozen=True)
class Wanted:
    """One file of a repository. ``sha256`` is empty where the hub does not tell it."""

    slot: ModelSlot
    file: str
    size: int
    sha256: str
    revision: str


def look_up(slots: Sequence[ModelSlot]) -> list[Wanted]:
    """What will be downloaded for these slots. Raises ``UserError`` when the hub or the file cannot be
    found, ``MissingRequirement`` without a connection."""
    from huggingface_hub import HfApi

    repositories: dict[str, Any] = {}
    wanted = []
    for slot in slots:
        if slot.repository not in repositories:
            repositories[slot.repository] = _asked(slot, lambda name=slot.repository: HfApi().model_info(name, files_metadata=True))  # type: ignore[misc]  # fmt: skip
        info = repositories[slot.repository]
        by_name = {PurePosixPath(file.rfilename).name: file for file in info.siblings or ()}
        found = next((by_name[name] for name in slot.files if name in by_name), None)
        if found is None:
            raise UserError.of(
                "not_in_repository",
                say(f"{slot.repository} has no {slot.files[0]}.", f"{slot.repository} に {slot.files[0]} がありません。"),
                say("Download it by hand, and look in its folder.", "手動でダウンロードし、そのフォルダーを指定してください。"),
                key=slot.option,
            )  # fmt: skip
        sha256 = str(found.lfs.sha256) if found.lfs else ""
        wanted.append(Wanted(slot, found.rfilename, int(found.size or 0), sha256, str(info.sha or "main")))
    return wanted


def fetch(wanted: Sequence[Wanted], folder: Path, tell: Tell) -> list[Path]:
    """Download into ``folder``; the files. Raises ``MissingRequirement`` without room or
    connection, ``UserError`` for what else goes wrong."""
    _check_room(wanted, folder)
    return [_fetch(one, folder, tell) for one in wanted]


def free_bytes(folder: Path) -> tuple[int, Path]:
    """Room on the disk of a folder that may not be there yet, and the folder that was looked at."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free, existing


def _check_room(wanted: Sequence[Wanted], folder: Path) -> None:
    free, existing = free_bytes(folder)
    needed = sum(one.size for one in wanted if not (folder / one.file).exists())
    if needed + _RESERVE > free:
        raise MissingRequirement.of(
            "no_disk_space",
            say(f"{gigabytes(needed)} will be downloaded, and {existing} has {gigabytes(free)} free.", f"{gigabytes(needed)} をダウンロードしますが、{existing} の空きは {gigabytes(free)} です。"),
            say("Free some space, or choose a folder on a larger disk.", "空きを作るか、別のディスクを選んでください。"),
            key="models_folder",
        )  # fmt: skip


def _fetch(one: Wanted, folder: Path, tell: Tell) -> Path:
    from huggingface_hub import hf_hub_download

    bar = _bar(PurePosixPath(one.file).name, one.size, tell)
    path = Path(
        _asked(
            one.slot,
            lambda: hf_hub_download(
                one.slot.repository, one.file, revision=one.revision, local_dir=folder, tqdm_class=bar
            ),
        )
    )
    tell(path.name, one.size, one.size)
    if path.stat().st_size != one.size or (one.sha256 and _sha256(path) != one.sha256):
        path.unlink()
        raise UserError.of(
            "damaged_download",
            say(f"{path.name} is not what the repository says it is; it was removed.", f"{path.name} がリポジトリのチェックサムと一致しないため、削除しました。"),
            say("Download it again.", "もう一度ダウンロードしてください。"),
            key=one.slot.option,
        )  # fmt: skip
    return path


def _bar(name: str, size: int, tell: Tell) -> type[Any]:
    """huggingface_hub's progress as calls of ``tell``."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Told(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = False
            options["file"] = _Nowhere()
            options.pop("name", None)  # huggingface_hub's own word, not tqdm's
            super().__init__(*arguments, **options)

        def update(self, n: float | None = 1) -> bool | None:
            super().update(n)
            tell(name, int(self.n), size)
            return None

    return Told


class _Nowhere:
    """Takes what tqdm would draw."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None


def _asked(slot: ModelSlot, ask: Callable[[], Any]) -> Any:
    """The hub's answer. Raises ``MissingRequirement`` without a connection, ``UserError`` for everything the hub may refuse.

    ``HTTPError`` is the base of all that the hub's client raises, refused connections and timeouts included, whichever client it is.
    """
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        return ask()
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        connected = isinstance(error, HfHubHTTPError)
        offline = not connected and isinstance(
            error, (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)
        )
        kind = MissingRequirement if offline else UserError
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise kind.of(
            "hub_unreachable",
            say(f"{slot.repository} cannot be read: {reason.rstrip('.')}.", f"{slot.repository} を取得できません: {reason}"),
            say("Check the connection, or a token (HF_TOKEN) where the repository asks for one. What was downloaded so far is kept.",
                "接続、または必要なら HF_TOKEN を確認してください。途中までのダウンロードは残ります。"),
            key=slot.option,
        ) from error  # fmt: skip


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
