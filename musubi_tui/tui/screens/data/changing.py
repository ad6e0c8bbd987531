"""What the Data screen changes: captions, files set aside, fixes, and taking all of it back. Every change is recorded on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.screens.data.editor import CaptionEditor

if TYPE_CHECKING:
    from musubi_tui.datasets.board import Board
    from musubi_tui.tui.app import MusubiApp
    from musubi_tui.tui.screens.data.screen import DataScreen

_SHOWN = 200  # characters of a caption in a question


class Changes:
    """Writes what its screen asks for, off the screen's thread."""

    def __init__(self, screen: DataScreen) -> None:
        self._screen = screen

    @property
    def _app(self) -> MusubiApp:
        return self._screen.musubi

    # -- captions

    def edit_caption(self) -> None:
        """Edit the caption of the item under the cursor, in its panel."""
        from musubi_tui.datasets.captions import caption_place

        row, board = self._screen.row_under_cursor(), self._screen.board
        if row is None or board is None or self._screen.query("#caption-editor"):
            return
        try:
            dataset = board.opened.config.datasets[int(board.rows.dataset[row])]
            place = caption_place(dataset, Path(board.rows.paths[row]))
            on_disk, written = place.raw(), place.read()
        except (UserError, OSError) as error:
            self._wrong(str(error))
            return
        editor = CaptionEditor(written or "", row, on_disk)
        self._screen.query_one("#preview-panel").mount(editor, after="#picture")
        editor.focus()

    def leave_caption(self) -> None:
        """Nothing is written."""
        self._screen.query("#caption-editor").remove()
        self._screen.query_one("#items").focus()

    def keep_caption(self, text: str, *, overwrite: bool = False) -> None:
        """Write it, and show it at once; ask first when somebody else wrote there since the editor opened, unless ``overwrite``."""
        editor = next(iter(self._screen.query(CaptionEditor)), None)
        board, text = self._screen.board, text.strip()
        if board is None or editor is None:
            return
        opened, row, on_disk = board.opened, editor.row, editor.on_disk
        path, dataset = Path(board.rows.paths[row]), int(board.rows.dataset[row])
        theirs: list[str] = []

        def job() -> str:
            from musubi_tui.datasets.captions import caption_place
            from musubi_tui.datasets.mending import apply
            from musubi_tui.datasets.record import Change

            place = caption_place(opened.config.datasets[dataset], path)
            before = place.raw()
            if (before or "").strip() == text:
                return say("The caption is as it was.", "変更はありません。")
            if (before or "").strip() != (on_disk or "").strip() and not overwrite:
                theirs.append((place.read() or "").strip())
                return ""
            apply(opened, [Change("caption", path, dataset, "caption", before=before, after=text)])
            return ""

        def shown(caption: str) -> None:
            self.leave_caption()
            if self._screen.board is board:
                self._retold(board, str(path), caption)

        def written() -> None:
            if not theirs:
                shown(text)
            elif editor.is_attached:
                self._ask_whose(path.name, theirs[0], lambda: shown(theirs[0]), lambda: self.keep_caption(text, overwrite=True))  # fmt: skip

        self._app.in_background(job, written, self._wrong)

    def _ask_whose(self, name: str, theirs: str, keep: Callable[[], None], overwrite: Callable[[], None]) -> None:
        from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen

        name, theirs = clean(name), clean(theirs)
        theirs = theirs if len(theirs) <= _SHOWN else theirs[: _SHOWN - 3] + "..."
        choices = (
            Choice("theirs", "k", say("keep theirs", "外部の変更を残す")),
            Choice("overwrite", "o", say("overwrite it with yours", "自分のキャプションで上書きする")),
        )

        def answer(chosen: str | None) -> None:
            if chosen == "theirs":
                keep()
            elif chosen == "overwrite":
                overwrite()

        title = say(f"Somebody else changed the caption of {name}.", f"{name} のキャプションが外部で変更されました。")
        text = say("It says now: ", "現在の内容: ") + (theirs or say("(none)", "(なし)"))
        self._app.push_screen(ConfirmScreen(title, text, choices, ""), answer)

    def _retold(self, board: Board, path: str, caption: str) -> None:
        """Every row of that file has this caption now; a file that was left out for it comes in with the next scan."""
        from engine.data.captions import captions_of
        from engine.data.tokens import estimate
        from musubi_tui.datasets.board import MISSING, PRESENT

        rows = board.rows
        left_out = False
        trained = ""
        for row, other in enumerate(rows.paths.all):
            if other == path:
                left_out |= bool(rows.reasons[row])
                trained = trained or captions_of(board.opened.config.datasets[int(rows.dataset[row])], (caption,))[0]
                rows.retell(row, trained, estimate(trained))
                if rows.texts[row] == PRESENT:
                    rows.texts[row] = MISSING
        if left_out:
            self._screen.action_rescan()
        else:
            self._screen.show_board()

    def _wrong(self, text: str) -> None:
        self._app.tell(clean(text), wrong=True)

    # -- files

    def set_aside(self) -> None:
        """Move the file under the cursor out of the dataset, with its caption."""
        row, board = self._screen.row_under_cursor(), self._screen.board
        if row is None or board is None:
            return
        path, dataset, opened = Path(board.rows.paths[row]), int(board.rows.dataset[row]), board.opened

        def job() -> str:
            from musubi_tui.datasets.mending import apply, without_item

            apply(opened, without_item(opened, path, dataset, "ignored"))
            return say(
                f"{clean(path.name)} is set aside; {{data.undo}} takes it back.",
                f"{clean(path.name)} をよけました。{{data.undo}} で取り消せます。",
            )

        self._app.in_background(job, self._screen.action_rescan, self._wrong)

    def undo(self) -> None:
        """Take the newest change of this dataset back, whoever made it."""
        board = self._screen.board
        if board is None:
            return

        def job() -> str:
            from musubi_tui.datasets.mending import undo
            from musubi_tui.datasets.telling import change_line

            changes = undo(board.opened)
            return say("Taken back: ", "取り消しました: ") + clean(change_line(changes[0])) + (f" (+{len(changes) - 1})" if len(changes) > 1 else "")  # fmt: skip

        self._app.in_background(job, self._screen.action_rescan, self._wrong)

    def fix(self) -> None:
        """Choose among the proposed fixes."""
        from musubi_tui.tui.screens.data.fixing import FixScreen

        wanted = self._screen.wanted
        if self._screen.board is None or wanted is None:
            return

        def fixed(changed: bool | None) -> None:
            if changed:
                self._screen.open(wanted, decode=self._screen.board is not None and self._screen.board.decoded)

        self._app.push_screen(FixScreen(self._screen.board, wanted), fixed)

    # -- caches

    def cache(self) -> None:
        """Start a run that encodes what is not cached, of the preset that is open."""
        board = self._screen.board
        if board is None:
            return
        if not board.opened.is_preset:
            text = say(
                "Caching needs a preset, which names the encoders: {data.open} opens one.",
                "キャッシュにはエンコーダーを指定したプリセットが必要です。{data.open} で開けます。",
            )
            self._app.tell(text)
            return
        file, home = str(board.opened.file), self._app.home

        def job() -> str:
            from musubi_tui.tui.steering import cache

            return cache(file, home)

        self._app.in_background(job, None, self._wrong)
