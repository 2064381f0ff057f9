"""No page is without a picture: what `make screenshots` takes is what the console serves."""

from admin.routes import ROUTES
from tests.browser.page_shots import NO_PAGES, ON_THE_WAY, SHOTS


def test_every_route_that_shows_something_has_a_picture() -> None:
    served = {path for route in ROUTES if "GET" in route.http_methods for path in route.paths}
    assert served == {*SHOTS, *ON_THE_WAY, *NO_PAGES}
