"""HEAD: as GET, without the body. Monitors and load balancers ask so."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadMiddleware:
    """Has HEAD answered by the routes of GET. Stands innermost, so that the others see HEAD.

    The server sends no body after HEAD, whatever the application writes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server looks into its own for the method.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            if "route" in asked:
                # Those further out name it.
                scope["route"] = asked["route"]
