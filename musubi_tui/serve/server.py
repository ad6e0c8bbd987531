"""The web server: 127.0.0.1 only, every request past the gate first, one app per websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from musubi_tui.serve.gate import Gate
from musubi_tui.serve.page import FILES, FOCUS, FONT_SIZES, headers, page
from musubi_tui.serve.session import Session

ADDRESS = "127.0.0.1"
MAX_SESSIONS = 8
_WIDTHS, _HEIGHTS = range(20, 1001), range(5, 501)
_MESSAGE_LIMIT = 1 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """``serve`` works until a signal ends it; ``started(port)`` is called once it listens. Raises ``OSError`` for a taken port."""

    def __init__(self, static: Path, gate: Gate | None = None) -> None:
        self.gate = gate or Gate()
        self._static = static
        self._sessions = 0
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, port: int, started: Callable[[int], None]) -> None:
        """Listen, and come back after INT, TERM or HUP when all apps are left."""
        leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, leave.set)
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False)  # a log would hold the token
        await runner.setup()
        try:
            site = web.TCPSite(runner, ADDRESS, port, shutdown_timeout=1.0)
            await site.start()
            started(int(runner.addresses[0][1]))
            await leave.wait()
        finally:
            for socket in list(self._sockets):
                await socket.close()
            await runner.cleanup()

    def application(self) -> web.Application:
        """The routes, all behind the token."""
        application = web.Application(middlewares=[self._guard], client_max_size=0)
        application.router.add_get("/{token}/", self._page)
        application.router.add_get("/{token}/ws", self._websocket)
        application.router.add_get("/{token}/static/{name}", self._file)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing runs before the gate; a wrong token and a wrong path look alike."""
        websocket = request.path.endswith("/ws")
        status = self.gate.refusal(request.headers, request.match_info.get("token", ""), websocket=websocket)
        if status:
            return web.Response(status=status, text="", headers=headers("localhost"))
        if websocket:
            return await handler(request)
        answer = await handler(request)
        answer.headers.update(headers(request.headers["Host"]))
        return answer

    async def _page(self, request: web.Request) -> web.Response:
        font_size = _number(request, "fontsize", FONT_SIZES, 16)
        return web.Response(text=page(request.headers["Host"], self.gate.token, font_size), content_type="text/html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["name"] == "focus.js":
            return web.Response(text=FOCUS, content_type="text/javascript")
        if request.match_info["name"] not in FILES:
            raise web.HTTPNotFound
        name, kind = FILES[request.match_info["name"]]
        return web.FileResponse(self._static / name, headers={"Content-Type": kind})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self._sessions >= MAX_SESSIONS:
            return web.Response(status=503, text="too many pages are open")
        self._sessions += 1
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=_MESSAGE_LIMIT)
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            await self._connect(request, socket)
        finally:
            self._sockets.discard(socket)
            self._sessions -= 1
        return socket

    async def _connect(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        width, height = _number(request, "width", _WIDTHS, 80), _number(request, "height", _HEIGHTS, 24)
        session = await Session.start(width, height, socket.send_bytes)

        async def show() -> None:
            await session.run()
            await socket.close()

        shown = asyncio.create_task(show())
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await _obey(message.data, session, socket)
        finally:
            await session.stop()
            with contextlib.suppress(ConnectionError):
                await shown


async def _obey(text: str, session: Session, socket: web.WebSocketResponse) -> None:
    """One message of the page: ``[kind, what]``. Anything else is let fall."""
    try:
        kind, what = (*json.loads(text), None)[:2]
    except (ValueError, TypeError, RecursionError):
        return
    if kind == "stdin" and isinstance(what, str):
        await session.keys(what)
    elif kind == "resize" and isinstance(what, dict) and _is_size(what):
        await session.tell(type="resize", width=what["width"], height=what["height"])
    elif kind in ("focus", "blur"):
        await session.tell(type=kind)
    elif kind == "ping" and isinstance(what, str):
        await socket.send_json(["pong", what[:64]])


def _is_size(what: dict[str, Any]) -> bool:
    width, height = what.get("width"), what.get("height")
    return type(width) is int and type(height) is int and width in _WIDTHS and height in _HEIGHTS


def _number(request: web.Request, name: str, allowed: range, otherwise: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 6 and int(text) in allowed else otherwise
