"""`hypertrader codec`: opens sealed payloads for the Web UI and the `temporal` program, and seals what they send.

Whoever reaches it can read what the keys open, so it listens on this machine alone unless told otherwise, and a browser
is answered on behalf of the Web UI's pages only.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from aiohttp import web
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payloads

from cli.common import run, settings
from cli.errors import BadOption, CommandFailed
from cli.ports import HOST, Ports
from cli.process_commands import set_up_logs
from cli.watch import on_interrupt
from encryption import KEYS_VARIABLE, SealingCodec, load_keys, new_key

PORT = 8234
BODY_BYTES_MAX = 64 * 1024 * 1024
"""A page of a history asks for all of its payloads at once."""
ALLOWED_HEADERS = "Content-Type, X-Namespace"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def register(app: typer.Typer) -> None:
    codec = typer.Typer(help="Open sealed payloads for the Web UI and the temporal program.", rich_markup_mode=None)
    codec.callback(invoke_without_command=True)(serve)
    codec.command("new-key")(print_new_key)
    app.add_typer(codec, name="codec")


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = HOST,
    port: Annotated[int, typer.Option(help="0 for any.", min=0, max=65535)] = PORT,
    ui_origin: Annotated[
        list[str] | None,
        typer.Option(help=f"Where the Web UI is, once for each address; default port {Ports.ui} of this machine."),
    ] = None,
) -> None:
    """Serve Temporal's codec protocol with this installation's payload keys, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    chosen = settings()
    set_up_logs(chosen.log_level)
    keys = load_keys(chosen)
    if not keys:
        raise BadOption(f"there is no payload key, so nothing is sealed: set {KEYS_VARIABLE} or {KEYS_VARIABLE}_FILE")
    origins = ui_origin or [f"http://{name}:{Ports.ui}" for name in (HOST, "localhost")]
    run(_serve(codec_app(SealingCodec(keys), frozenset(origins)), host, port))


def print_new_key() -> None:
    """Print a fresh payload key. Lost, it takes with it all that was sealed with it: keep a copy."""
    typer.echo(new_key())


def codec_app(codec: SealingCodec, origins: frozenset[str]) -> web.Application:
    """POST /encode and /decode take and give Payloads as protobuf's JSON; pages of other origins are refused."""

    @web.middleware
    async def for_the_web_ui_only(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A browser names the page's origin with every POST; programs that are none name nothing.
        origin = request.headers.get("Origin")
        if origin is not None and origin not in origins:
            raise web.HTTPForbidden(text=f"{origin} is not allowed: see --ui-origin\n")
        response = await handler(request)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Vary"] = "Origin"
        return response

    async def encode(request: web.Request) -> web.Response:
        return _json(Payloads(payloads=await codec.encode((await _payloads(request)).payloads)))

    async def decode(request: web.Request) -> web.Response:
        return _json(Payloads(payloads=await codec.decode((await _payloads(request)).payloads)))

    async def preflight(request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application(middlewares=[for_the_web_ui_only], client_max_size=BODY_BYTES_MAX)
    for path, handler in {"/encode": encode, "/decode": decode}.items():
        app.router.add_post(path, handler)
        app.router.add_options(path, preflight)
    return app


async def _payloads(request: web.Request) -> Payloads:
    try:
        return Parse(await request.text(), Payloads())
    except (ParseError, UnicodeDecodeError):
        raise web.HTTPBadRequest(text="Payloads in protobuf's JSON form are expected\n") from None


def _json(payloads: Payloads) -> web.Response:
    return web.Response(text=MessageToJson(payloads), content_type="application/json")


async def _serve(app: web.Application, host: str, port: int) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stop = on_interrupt()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        typer.echo(f"codec server at http://{bound[0]}:{bound[1]}; Ctrl-C stops it")
        await stop.wait()
    except OSError as error:
        raise CommandFailed(f"the codec server can't listen at {host}:{port}: {error.strerror or error}") from error
    finally:
        await runner.cleanup()
