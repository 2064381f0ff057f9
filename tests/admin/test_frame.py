"""What stands around every page: the menu that folds, the colours, the badge of what waits for review."""

from tests.admin.world import World


async def test_the_menu_stays_folded_in_the_browser_that_folded_it(console: World) -> None:
    async with console.person("usr") as person:
        assert 'data-rail="narrow"' not in (await person.get("/")).text
        answer = await person.post("/rail", {"rail": "narrow", "next": "/contacts"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/contacts")
        assert 'data-rail="narrow"' in (await person.get("/")).text
        await person.post("/rail", {"rail": "sideways"})
        assert 'data-rail="narrow"' in (await person.get("/")).text
        await person.post("/rail", {"rail": "wide"})
        assert 'data-rail="narrow"' not in (await person.get("/")).text


async def test_colours_are_chosen_from_the_frame_and_nothing_else_of_the_preferences_changes(
    console: World,
) -> None:
    async with console.person("usr") as person:
        await person.post(
            "/me", {"language": "en", "theme": "auto", "zone": "Europe/Berlin", "page_size": "20"}
        )
        answer = await person.post("/theme", {"theme": "dark", "next": "https://elsewhere.example/"})
        assert answer.headers["location"] == "/"
        page = (await person.get("/me")).text
        assert 'data-theme="dark"' in page
        assert 'value="Europe/Berlin"' in page
        await person.post("/theme", {"theme": "pink"})
        assert 'data-theme="dark"' in (await person.get("/me")).text


async def test_the_chapter_and_the_entry_of_a_page_are_marked(console: World) -> None:
    async with console.person("sys") as person:
        page = (await person.get("/users/groups/new")).text
        assert page.count('aria-current="page"') == 1
        assert '<a href="/users/groups" aria-current="page"' in page
        assert page.count('class="chapter here"') == 1


async def test_what_waits_for_review_is_counted_beside_its_entry_for_those_who_may(console: World) -> None:
    async with console.person("adm") as person:
        assert 'data-live="review">1<' in (await person.get("/")).text
    async with console.person("usr") as person:
        assert 'data-live="review"' not in (await person.get("/")).text
