"""Which handler a method and a path belong to. Paths without parameters are one look-up."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.http.messages import Handler, Request, Response
from gateway.http.problems import problem

Admit = Callable[[Request], Response | None]


class Route(msgspec.Struct, eq=False, frozen=True):
    """One operation.

    Args of its constructor:
      template: path with `{name}` for a segment that varies: "/v1/messages/{id}".
      admit: judges the head before any of the body is read (who is it, may they); a Response refuses.
      body_octets_max: None takes the server's.
      streams_body: the handler reads `request.stream`; nothing is collected for it.
      document: whatever describes the operation for people (`gateway/api`: its OpenAPI entry).
    """

    method: str
    template: str
    handler: Handler
    admit: Admit | None = None
    body_octets_max: int | None = None
    streams_body: bool = False
    document: Any = None


class Router:
    """Finds routes. HEAD goes where GET goes; `*` of OPTIONS and unknown methods are answered here."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._fixed: dict[bytes, dict[str, Route]] = {}
        self._varying: dict[int, list[tuple[list[str], dict[str, Route]]]] = {}
        self.routes: list[Route] = []
        for route in routes:
            self.add(route)

    def add(self, route: Route) -> None:
        """Add an operation. Raises ValueError when it is there already."""
        self.routes.append(route)
        methods = self._methods_of(route.template)
        names = (route.method, "HEAD") if route.method == "GET" else (route.method,)
        for name in names:
            if name in methods and methods[name].method == name:
                raise ValueError(f"there are two routes for {name} {route.template}")
            methods[name] = route

    def _methods_of(self, template: str) -> dict[str, Route]:
        if "{" not in template:
            return self._fixed.setdefault(template.encode(), {})
        segments = template.split("/")
        some = self._varying.setdefault(len(segments), [])
        for known, methods in some:
            if known == segments:
                return methods
        methods = {}
        some.append((segments, methods))
        return methods

    def find(self, request: Request) -> Response | None:
        """Sets `route` and `params` of a request; gives the refusal (404, 405, OPTIONS) where there is none."""
        methods = self._fixed.get(request.path) or self._vary(request)
        if methods is None:
            if request.path == b"*" and request.method == "OPTIONS":
                return Response(204, content_type=b"")
            return problem(
                "not-found", "There is nothing at this path. GET /v1/reference lists them.", request
            )
        route = methods.get(request.method)
        if route is not None:
            request.route = route
            return None
        allow = (b"allow", ", ".join(sorted({*methods, "OPTIONS"})).encode())
        if request.method == "OPTIONS":
            return Response(204, content_type=b"", headers=[allow])
        return problem(
            "method-not-allowed",
            f"{request.method} is not for this path; it takes {', '.join(sorted(methods))}.",
            request,
            headers=[allow],
        )

    def _vary(self, request: Request) -> dict[str, Route] | None:
        segments = request.path.decode("latin-1").split("/")
        for template, methods in self._varying.get(len(segments), ()):
            params: dict[str, str] = {}
            for wanted, found in zip(template, segments, strict=True):
                if wanted.startswith("{"):
                    if not found:
                        break
                    params[wanted[1:-1]] = unquote_to_bytes(found).decode("utf-8", "replace")
                elif wanted != found:
                    break
            else:
                request.params = params
                return methods
        return None
