"""``F1``: what the panel under the cursor shows, column by column or line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from engine.config.language import say
from musubi_tui.tui.explain import TOPICS, topics_of
from musubi_tui.tui.explain.topic import Topic
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


def explain(app: MusubiApp) -> None:
    """Open the explanation of the focused panel; its column under the mouse, if there is one, first."""
    screen = app.screen
    if isinstance(screen, ModalScreen):
        return
    widget = screen.focused
    if widget is not None and not widget.region:  # focused, but nothing of it is shown
        widget = None
    topics = topics_of(panel_name(app.current_mode, widget) or app.current_mode)
    if not topics:
        text = (widget.HELP if widget else None) or say(
            "Nothing is written about this panel. {app.help} lists its keys.",
            "このパネルの説明はありません。{app.help} でキー一覧を表示します。",
        )
        app.tell(text)
        return
    first = TOPICS.get(_under_mouse(app, widget))
    if first in topics:
        topics = [first, *(topic for topic in topics if topic is not first)]
    app.push_screen(ExplainScreen(topics))


def panel_name(mode: str, widget: Widget | None) -> str:
    """``mode.id`` of the explained panel that holds a widget; empty for none."""
    while widget is not None:
        if widget.id and topics_of(f"{mode}.{widget.id}"):
            return f"{mode}.{widget.id}"
        widget = widget.parent if isinstance(widget.parent, Widget) else None
    return ""


def _under_mouse(app: MusubiApp, widget: Widget | None) -> str:
    """The topic that a widget says is under the mouse."""
    topic_at = getattr(widget, "topic_at", None)
    if widget is None or topic_at is None or not widget.region.contains_point(app.mouse_position):
        return ""
    return str(topic_at(app.mouse_position.x - widget.region.x))


class ExplainScreen(Dialog[None]):
    """The topics, one below the other."""

    CSS_PATH = "explain.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("explain.close", "escape,q,f1,I", "dismiss", say("close", "閉じる")),
    ]

    def __init__(self, topics: list[Topic]) -> None:
        super().__init__()
        self._topics = topics

    def compose(self) -> ComposeResult:
        """Title and three short lines each."""
        panel = VerticalScroll(id="explain")
        panel.border_title = say("what it means", "説明")
        panel.border_subtitle = hinted(
            self.app, say("up/down scroll  {explain.close} close", "上下 スクロール  {explain.close} 閉じる")
        )
        with panel:
            for topic in self._topics:
                yield Static(hinted(self.app, topic.title), markup=False, classes="title")
                yield Static(hinted(self.app, topic.source), markup=False)
                yield Static(say("good: ", "目安: ") + hinted(self.app, topic.good), markup=False)
                yield Static(say("change: ", "変更: ") + hinted(self.app, topic.change), markup=False, classes="text")
