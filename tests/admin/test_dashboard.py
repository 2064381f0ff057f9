"""The dashboard (P27): today against yesterday, the table behind the chart, and where its cards lead."""

import re

from admin.pages.dashboard import Minute, Today, by_minute
from tests.admin.world import USERS, World, clock


async def test_today_is_cut_in_the_viewer_s_zone_and_yesterday_up_to_the_same_time(console: World) -> None:
    console.daemon.days = ({"QUEUED": 80, "DELIVERED": 70}, {"QUEUED": 100, "DELIVERED": 90, "FAILED": 10})
    async with console.person("sys") as person:
        page = (await person.get("/")).text
    (begin, end, everybody), (begin_before, end_before, _) = console.daemon.asked_days
    assert everybody is None
    assert (begin * 60 + 8 * 3600) % 86_400 == 0  # midnight in Shanghai
    assert end == clock.at // 60_000 + 1
    assert (begin - begin_before, end - end_before) == (1440, 1440)
    assert "+25 %" in page
    assert "90.0" in page


async def test_others_count_their_own_accounts_only(console: World) -> None:
    with console.store.reading() as connection:
        owners = dict(connection.execute("SELECT id, user_id FROM account"))
    for login, people in (
        ("usr", {"usr"}),
        ("sibling7", {"sibling7"}),
        ("adm", {"adm", "peer", "usr", "low"}),
    ):
        console.daemon.asked_days.clear()
        async with console.person(login) as person:
            await person.get("/")
        asked = console.daemon.asked_days[0][2]
        assert asked is not None
        assert {owners[one] for one in asked} == {USERS[one] for one in people}


def test_a_day_without_a_past_or_an_end_has_no_percentages() -> None:
    assert (Today(5, 0, 0, 0).change, Today(5, 0, 0, 0).success) == (None, None)
    assert (Today(5, 10, 3, 4).change, Today(5, 10, 3, 4).success) == (-50.0, 75.0)


def test_the_table_behind_the_chart_adds_seconds_up_by_minute() -> None:
    seconds = [(60, 1, 2, 3, 0), (119, 1, 2, 3, 0), (120, 5, 5, 5, 0)]
    assert by_minute(seconds) == [Minute(120_000, 5, 5, 5), Minute(60_000, 2, 4, 6)]


async def test_every_card_leads_to_a_page_that_is_there(console: World) -> None:
    async with console.person("sys") as person:
        page = (await person.get("/")).text
        cards = re.findall(r'<a class="sheet card" href="([^"]+)"', page)
        assert len(cards) == 6
        for href in cards:
            if href.startswith("#"):
                assert f'id="{href[1:]}"' in page
            else:
                assert (await person.get(href.replace("&amp;", "&"))).status_code == 200
