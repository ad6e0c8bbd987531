"""The Data screen itself: it starts scans, holds one board, and draws what the cursor looks at.

Scanning runs in a process of its own and painting on a thread; both answer with messages, so a key never waits for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from engine.config.language import say
from musubi_tui.datasets.scanning import Progress, Refused, Scanning, request
from musubi_tui.runs.plain_text import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.keymap import hinted, shown_key
from musubi_tui.tui.screens.data import commands, text
from musubi_tui.tui.screens.data.changing import Changes
from musubi_tui.tui.screens.data.choosing import GROUPINGS, Choice, Group, chosen, groups
from musubi_tui.tui.screens.data.editor import CaptionEditor
from musubi_tui.tui.screens.data.keys import KEYS
from musubi_tui.tui.screens.data.last import Wanted, remember, remembered
from musubi_tui.tui.screens.data.painter import Painted, Painter, Wish
from musubi_tui.tui.screens.data.panels import facts_lines, frames_lines
from musubi_tui.tui.screens.data.parts import Head, Panel, Picture, Warnings, Words
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.lines import Line, Lines
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.plain import Plain
from musubi_tui.tui.widgets.rows import RowList

if TYPE_CHECKING:
    from musubi_tui.datasets.board import Board

_WIDE = (140, 40)
_PREVIEWS = ("picture", "frames", "text")


class DataScreen(ModeScreen):
    """Buckets above (or left), items, the item under the cursor, warnings."""

    MODE = "data"
    CSS_PATH = "data.tcss"
    AUTO_FOCUS = "#items"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Heard(Message):
        """From the scanner."""

        def __init__(self, scanning: object, what: Progress | Refused | Board) -> None:
            super().__init__()
            self.scanning, self.what = scanning, what

    class Drawn(Message):
        """From the painter."""

        def __init__(self, painted: Painted) -> None:
            super().__init__()
            self.painted = painted

    def __init__(self, wanted: Wanted | None = None) -> None:
        super().__init__()
        self.wanted = wanted
        self.board: Board | None = None
        self.choice = Choice()
        self.grouping = GROUPINGS[0]
        self.preview = _PREVIEWS[0]
        self.rows: np.ndarray[tuple[int], np.dtype[np.int64]] = np.zeros(0, np.int64)
        self.painted: Painted | None = None
        self.refused = ""
        self._changes = Changes(self)
        self._busy = ""
        self._scanning: Scanning | None = None
        self._painter: Painter | None = None
        self._groups: list[Group] = []
        self._marks: dict[str, str] = {}

    # -- frame

    def compose(self) -> ComposeResult:
        """Both layouts have the same panels; the stylesheet places them."""
        yield ModeBar(self._mode)
        yield Head(id="data-head")
        with Container(id="body"):
            yield Panel(RowList(id="buckets"), id="buckets-panel", classes="panel")
            yield Panel(RowList(id="items"), id="items-panel", classes="panel")
            yield Panel(Picture(id="picture"), Words(id="words"), id="preview-panel", classes="panel")
        yield Plain(id="nothing")
        yield Warnings(id="warnings", classes="panel")
        yield KeyLine()

    def on_mount(self) -> None:
        """Open what was open, or say how."""
        self._painter = Painter(lambda painted: self._post(self.Drawn(painted)))
        self.query_one("#buckets-panel").border_subtitle = hinted(
            self.app,
            say(
                "{data.group} bucket/source/frames  {data.enter} its items",
                "{data.group} バケット/ソース/フレーム  {data.enter} 項目",
            ),
        )
        self.query_one("#items-panel").border_subtitle = hinted(
            self.app,
            say("{data.caption} caption  {data.ignore} set aside", "{data.caption} キャプション  {data.ignore} よける"),
        )
        wanted = self.wanted or remembered(self.musubi.home.path)
        if wanted is not None:
            self.open(wanted)
        else:
            self._show_all()

    def on_unmount(self) -> None:
        """The process and the thread end."""
        if self._scanning is not None:
            self._scanning.stop()
        if self._painter is not None:
            self._painter.stop()

    def on_resize(self) -> None:
        """Small or large layout."""
        self.set_class(self.size.width >= _WIDE[0] and self.size.height >= _WIDE[1], "-wide")
        self.call_after_refresh(self._show_all)

    def show(self, view: View) -> None:
        """Called when runs changed; the screen itself changes only with its dataset."""
        self.query_one(ModeBar).count_down(view)

    def on_screen_resume(self) -> None:
        """The glyphs may be others now."""
        self.show(self.musubi.view)
        self._show_all()

    def _post(self, message: Message) -> None:
        if self.is_attached:
            self.post_message(message)

    # -- opening and scanning

    def open(self, wanted: Wanted, *, decode: bool = False) -> None:
        """Scan a dataset in the background; the board that is there stays until then."""
        if self.wanted is not None and self.wanted.file != wanted.file:
            self.board, self.painted, self.choice = None, None, Choice()
        self.wanted = wanted
        if self._scanning is not None:
            self._scanning.stop()
        self._busy = (
            say("scanning …", "スキャン中 …") if self.musubi.glyphs.name == "unicode" else say("scanning", "スキャン中")
        )
        asked = request(Path(wanted.file), wanted.family, decode=decode, trigger=wanted.trigger)
        scanning: list[Scanning] = []
        try:
            scanning.append(
                Scanning(asked, lambda what: self._post(self.Heard(scanning[0] if scanning else None, what)))
            )
        except OSError as error:
            self._refuse(str(error))
            return
        self._scanning = scanning[0]
        remember(self.musubi.home.path, wanted)
        self._show_all()

    def on_data_screen_heard(self, message: Heard) -> None:
        """Progress, a refusal, or the board."""
        if message.scanning is not None and message.scanning is not self._scanning:
            return
        what = message.what
        if isinstance(what, Progress):
            words = {
                "scan": say("scan", "スキャン"),
                "decode": say("looking closer", "精査"),
                "caches": say("caches", "キャッシュ"),
            }
            self._busy = f"{words.get(what.what, what.what)} {what.done}/{what.total}"
            self._draw_head()
            if self.board is None:
                self.query_one("#nothing", Plain).update(self._nothing())
        elif isinstance(what, Refused):
            self._refuse(what.text)
        else:
            self.take(what)

    def _refuse(self, reason: str) -> None:
        self._busy, self._scanning = "", None
        if self.board is None:
            self.refused = reason
            self._show_all()
        else:
            self.musubi.tell(clean(reason), wrong=True)
            self._draw_head()

    def take(self, board: Board) -> None:
        """Show this board; the cursor stays on its file."""
        before = self._path_under_cursor()
        self.board, self._busy, self._scanning, self.refused = board, "", None, ""
        self._marks = text.marks_of(board.findings, self.musubi.glyphs)
        if self.choice.group is not None or self.choice.files is not None:
            self.choice = Choice(self.choice.words)
        self.rows = chosen(board, self.choice)
        self._show_all(self._place_of(before))

    def _place_of(self, path: str) -> int | None:
        if not path or self.board is None:
            return None
        paths = self.board.rows.paths
        return next((place for place, row in enumerate(self.rows.tolist()) if paths[row] == path), None)

    # -- drawing

    def _show_all(self, cursor: int | None = None) -> None:
        if not self.is_mounted:
            return
        self.set_class(self.board is None, "-empty")
        self._draw_head()
        if self.board is None:
            self.query_one("#nothing", Plain).update(self._nothing())
            return
        self._show_groups()
        self._show_items(cursor)
        self.query_one(Warnings).show_board(self.board)
        self.query_one(Words).show_board(self.board)
        self.look()

    def _nothing(self) -> str:
        if self._busy:
            name = clean(self.wanted.file) if self.wanted else ""
            return f"{name}\n{self._busy}"
        if self.refused:
            reasons = "\n".join(clean(line) for line in self.refused.splitlines())
            return f"{reasons}\n\n" + hinted(
                self.app,
                say(
                    "{data.open} opens another one, {data.rescan} tries again.",
                    "{data.open} で別のものを開く、{data.rescan} で再試行。",
                ),
            )
        return hinted(self.app, say(
            "No dataset is open. {data.open} opens a dataset file or a preset, {data.open_run} that of the active run.\n\nHere you will see which pictures and clips are "
            "trained at which size, their captions and crops, and what is left out and why.\nAt the shell: musubi-tui data scan my.toml",
            "データセットが開かれていません。{data.open} でデータセットファイルかプリセット、{data.open_run} で実行中の run のものを開きます。\n\n"
            "どの画像やクリップがどの寸法で学習されるか、キャプションと切り抜き、除外されたものとその理由を確認できます。\n"
            "シェルでは: musubi-tui data scan my.toml",
        ))  # fmt: skip

    def _draw_head(self) -> None:
        name = "" if self.board or self.wanted is None else clean(self.wanted.file)
        self.query_one(Head).show_board(self.board, name, self._busy)

    def _show_groups(self) -> None:
        assert self.board is not None
        self._groups = groups(self.board.summary, self.grouping)
        most = max((group.items for group in self._groups), default=1)
        names = min(24, max((cells(clean(group.title)) for group in self._groups), default=8))
        glyphs = self.musubi.glyphs
        found = self._groups
        self.query_one("#buckets", RowList).show(
            len(found), lambda place, width: text.bucket_line(found[place], most, width, names, glyphs)
        )
        title = text.buckets_title(self.board)
        self.query_one("#buckets-panel", Panel).title(title)

    def _show_items(self, cursor: int | None = None) -> None:
        assert self.board is not None
        board, rows, glyphs = self.board, self.rows, self.musubi.glyphs

        def draw(place: int, width: int) -> Line:
            return text.item_line(board, int(rows[place]), width, glyphs, self._marks)

        self.query_one("#items", RowList).show(len(rows), draw, cursor)
        some = f" {len(rows)}/{len(board.rows)}" if len(rows) != len(board.rows) else f" {len(rows)}"
        group = f"  {clean(self.choice.group.title)}" if self.choice.group else ""
        self.query_one("#items-panel", Panel).title(
            say(f"items{some}{group}  / filter", f"項目{some}{group}  / 絞り込み")
        )

    # -- the item under the cursor

    def row_under_cursor(self) -> int | None:
        """The board's row, or nothing."""
        place = self.query_one("#items", RowList).cursor
        return int(self.rows[place]) if self.board is not None and place < len(self.rows) else None

    def _path_under_cursor(self) -> str:
        row = self.row_under_cursor() if self.is_mounted else None
        return "" if row is None or self.board is None else self.board.rows.paths[row]

    def look(self) -> None:
        """Ask for the picture and the facts of the item under the cursor."""
        row = self.row_under_cursor()
        panel = self.query_one("#picture", Lines)
        if row is None or self.board is None or self._painter is None:
            self.painted = None
            panel.show([[(say("no item", "項目なし"), "muted")]] if self.board is not None else [])
            self.query_one("#preview-panel", Panel).title("")
            return
        height = max(1, panel.size.height - self._fact_rows())
        plain = self.musubi.glyphs.name == "ascii"
        self._painter.wish(
            Wish(self.board, row, max(1, panel.size.width), height, not self.musubi.no_color, plain, self.preview == "picture")
        )  # fmt: skip

    def _fact_rows(self) -> int:
        return 8 if self.has_class("-wide") else 3

    def on_data_screen_drawn(self, message: Drawn) -> None:
        """Draw what was painted, if it still is what is looked at."""
        if message.painted.wish.board is self.board and message.painted.wish.row == self.row_under_cursor():
            self.painted = message.painted
            self._draw_item()

    def _draw_item(self) -> None:
        painted, board = self.painted, self.board
        if painted is None or board is None:
            return
        panel, glyphs = self.query_one("#picture", Lines), self.musubi.glyphs
        width, height = panel.size
        row = painted.wish.row
        name = clean(board.rows.names[row])
        bucket = board.rows.bucket[row]
        arrow = text.sign(glyphs, "to")
        self.query_one("#preview-panel", Panel).title(
            f"{name} {arrow} {bucket[0]}x{bucket[1]}" if painted.facts else name
        )
        facts = facts_lines(
            painted,
            board,
            row,
            width,
            height if self.preview == "text" else self._fact_rows(),
            glyphs,
            shown_key(self.app, "data.caption"),
        )
        if self.preview == "frames" and painted.line is not None:
            lines = frames_lines(painted.line, width, height, glyphs, chosen_start=int(board.rows.start[row]))
        elif painted.drawing is not None and self.preview == "picture":
            lines = [*text.drawing_lines(painted.drawing, width), *facts]
        else:
            lines = facts
        panel.show(lines)

    # -- moving

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Look at the new item."""
        if message.rows.id == "items":
            self.look()

    def on_row_list_opened(self, message: RowList.Opened) -> None:
        """Enter on a bucket shows its items; on an item, the whole of it."""
        message.stop()
        if message.rows.id == "buckets" and message.place < len(self._groups):
            group = self._groups[message.place]
            self.choose(Choice(self.choice.words, None if self.choice.group == group else group))
            self.query_one("#items").focus()
        elif message.rows.id == "items":
            self.action_preview()

    def on_warnings_asked(self, message: Warnings.Asked) -> None:
        """The files of one warning among the items; escape shows all again."""
        self.choose(Choice(files=message.files))
        self.query_one("#items").focus()

    def choose(self, choice: Choice) -> None:
        """Show other rows."""
        if self.board is None:
            return
        before = self._path_under_cursor()
        self.choice = choice
        self.rows = chosen(self.board, choice)
        self._show_items(self._place_of(before) or 0)
        self.look()

    def action_filter(self) -> None:
        """Open the filter, or go back into it."""
        boxes = self.query("#data-filter")
        if boxes or self.board is None:
            boxes.focus()
            return
        box = Field(
            self.choice.words, placeholder=say("words, a|b, !without", "語、a|b、!除外"), compact=True, id="data-filter"
        )
        self.query_one("#items-panel").mount(box, before="#items")
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while one types."""
        if event.input.id == "data-filter":
            self.choose(Choice(event.value, self.choice.group, self.choice.files))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the list; the filter stays."""
        if event.input.id == "data-filter":
            self.query_one("#items").focus()

    def action_clear(self) -> None:
        """Show everything again."""
        self.query("#data-filter").remove()
        self.query_one("#items").focus()
        if self.choice != Choice():
            self.choose(Choice())

    def action_group(self) -> None:
        """The next grouping."""
        if self.board is not None:
            self.grouping = GROUPINGS[(GROUPINGS.index(self.grouping) + 1) % len(GROUPINGS)]
            self._show_groups()

    def action_preview(self) -> None:
        """Picture, frames of a clip, or text alone."""
        clip = self.painted is not None and self.painted.line is not None
        kinds = [kind for kind in _PREVIEWS if clip or kind != "frames"]
        place = kinds.index(self.preview) if self.preview in kinds else -1
        self.preview = kinds[(place + 1) % len(kinds)]
        self.look()

    def action_frames(self) -> None:
        """The frames that the clips of this video use, and back."""
        if self.painted is None or self.painted.line is None:
            self.musubi.tell(say("This is no clip.", "クリップではありません。"))
            return
        self.preview = _PREVIEWS[0] if self.preview == "frames" else "frames"
        self.look()

    # -- changes

    def show_board(self) -> None:
        """The board's rows have changed: draw them, with the cursor where it is."""
        self._show_all(self.query_one("#items", RowList).cursor)

    def action_caption(self) -> None:
        """Edit the caption in its panel."""
        self._changes.edit_caption()

    def on_caption_editor_kept(self, message: CaptionEditor.Kept) -> None:
        """Write it."""
        self._changes.keep_caption(message.text)

    def on_caption_editor_left(self) -> None:
        """Leave it."""
        self._changes.leave_caption()

    def action_ignore(self) -> None:
        """Set the file aside."""
        self._changes.set_aside()

    def action_undo(self) -> None:
        """Take the newest change back."""
        self._changes.undo()

    def action_fix(self) -> None:
        """Choose among the proposed fixes."""
        self._changes.fix()

    def action_cache(self) -> None:
        """Encode what is not cached."""
        self._changes.cache()

    # -- other commands

    def action_open_dataset(self) -> None:
        """Ask which."""
        commands.ask(self)

    def action_open_run_dataset(self) -> None:
        """The preset of the active run, or of the newest."""
        commands.open_of_run(self)

    def action_rescan(self) -> None:
        """Look again."""
        if self.wanted is not None:
            self.open(self.wanted)

    def action_doctor(self) -> None:
        """Decode every file and read every cache, in the background."""
        if self.wanted is not None:
            self.open(self.wanted, decode=True)

    def action_stats(self) -> None:
        """The survey in sentences."""
        from musubi_tui.tui.screens.data.words import WordsScreen

        if self.board is not None:
            twin = commands.command(self.wanted, "scan")
            self.app.push_screen(WordsScreen(str(self.board.opened.file), self.board.survey, twin))

    def cli_twin(self) -> str:
        """The command for what has the focus."""
        return commands.twin(self)
