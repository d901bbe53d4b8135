"""The lessons as web pages of this machine alone: nothing is loaded from elsewhere, nobody else is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import marimo
import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route

from experiments.lessons.registry import LESSONS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_LONGEST_CELL = 5.0
"""Seconds that a cell may go on when the server ends."""


class _SameOrigin:
    """Refuses what a page of another site asks for: a lesson runs what is typed into it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        origin, host = (headers.get(name, b"").decode("latin-1") for name in (b"origin", b"host"))
        if origin and origin.partition("://")[2] != host:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await PlainTextResponse("not from here", status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def lesson_app() -> Starlette:
    """The index page at "/", and each lesson at its slug."""
    builder = marimo.create_asgi_app(quiet=True, include_code=False, skew_protection=True)
    for lesson in LESSONS:
        builder = builder.with_app(path=f"/{lesson.slug}", root=str(lesson.file))
    pages = builder.build()

    async def index(_: Request) -> HTMLResponse:
        return HTMLResponse(index_page())

    @asynccontextmanager
    async def until_closed(_: Starlette) -> AsyncIterator[None]:
        yield
        await _close_sessions(pages)

    return Starlette(
        routes=[Route("/", index), Mount("/", pages)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(_NAMES)), Middleware(_SameOrigin)],
        lifespan=until_closed,
    )


async def _close_sessions(pages: ASGIApp) -> None:
    """End the threads of lessons that are open, or were a moment ago, without which the process would not end.

    marimo does so when its application shuts down, which a mounted one is never told of.
    """
    for route in getattr(pages, "routes", ()):
        if isinstance(route, Mount) and isinstance(route.app, Starlette):
            await route.app.state.session_manager.shutdown()


def index_page() -> str:
    """The list of lessons as HTML."""
    environment = Environment(
        loader=PackageLoader("experiments.lessons", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html.jinja").render(lessons=LESSONS)


def serve(port: int = 0, on_start: Callable[[str], None] = lambda address: None) -> None:
    """Serve the lessons on 127.0.0.1 until interrupted. port: 0 takes a free one.

    on_start: called once with the address, "http://127.0.0.1:…", when connections are accepted. Raises OSError for
    a port that is taken.
    """
    with socket.create_server((HOST, port)) as listening:
        server = uvicorn.Server(uvicorn.Config(lesson_app(), log_level="warning", timeout_graceful_shutdown=1))
        on_start(f"http://{HOST}:{listening.getsockname()[1]}")
        threading.Thread(target=_warm_up).start()
        try:
            server.run(sockets=[listening])
        finally:
            _wait_for_threads()


def _warm_up() -> None:
    """Load what every lesson loads, and draw once: it takes a second, in which the browser still loads the page."""
    from experiments.lessons import kit, runs
    from experiments.timeline.plots import plot_gpu

    log = runs.run(runs.requests((0.0, 1, 2)))
    kit.picture(lambda ax: plot_gpu(ax, log, 0.0, float(log.end[0])), "a request of one token")


def _wait_for_threads() -> None:
    """Let cells that are running come to their end: an interpreter that ends while they draw would be aborted."""
    deadline = time.monotonic() + _LONGEST_CELL
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
