"""``musubi-tui serve``: the app in a browser of this machine, or of another through ``ssh -L``."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from typing import Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.output import OK, in_japanese, narrate


@in_japanese(
    """アプリをブラウザーで表示します。このマシンの localhost だけで待ち受け、アドレスに含まれるトークンを知る人だけが使えます。

    別のマシンから見るには、表示される ssh -L の行をそのマシンで実行し、同じアドレスを開きます。Ctrl-C で終了しても run は続きます。
    ブラウザーからはエディターもフックも使えません。
    """
)
def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=say("Port on localhost; 0: any free one.", "localhost のポート。0 なら空きポート。"))] = 8000,
) -> int:  # fmt: skip
    """Show the app in a browser. It listens on this machine's localhost alone, and only who knows the token in its address gets in.

    To see it from another machine, type the printed ssh -L line there and open the same address. Ctrl-C ends it; runs go on.
    From the browser neither an editor nor hooks can be reached.
    """
    from musubi_tui.serve.page import static_folder

    static = static_folder()
    from musubi_tui.serve.server import ADDRESS, Server

    server = Server(static)

    def started(actual: int) -> None:
        typer.echo(f"http://localhost:{actual}/{server.gate.token}/")
        narrate(
            say("Open this address in a browser of this machine. From another machine, type this there first:",
                "このアドレスをこのマシンのブラウザーで開いてください。別のマシンから見るには、先にそのマシンで次を実行します:")
        )  # fmt: skip
        narrate(f"  {tunnel_line(actual)}")
        narrate(say("Whoever has the address can steer your runs. Ctrl-C ends this; runs go on.",
                    "アドレスを知る人は誰でも run を操作できます。Ctrl-C で終了しても run は続きます。"))  # fmt: skip

    try:
        asyncio.run(server.serve(port, started))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UserError.of(
            "port_taken",
            say(f"Port {port} of {ADDRESS} cannot be used: {os.strerror(error.errno)}.", f"{ADDRESS} のポート {port} は使えません: {os.strerror(error.errno)}。"),
            say("Give another one with --port; 0 takes any free one.", "--port で別のポートを指定してください。0 なら空きポートを使います。"),
        ) from error  # fmt: skip
    return OK


def tunnel_line(port: int, environment: Mapping[str, str] | None = None) -> str:
    """The ``ssh -L`` line for a machine at home."""
    from engine.events.process import host_name
    from musubi_tui.runs.addresses import provider_environment, ssh_address

    address, ssh_port = ssh_address(host_name(), provider_environment() if environment is None else environment)
    return f"ssh -N -L {port}:127.0.0.1:{port} {f'-p {ssh_port} ' if ssh_port else ''}{address}"
