"""Connections (P30): another rate, a new bind, who may, and what is written down."""

import pytest

from tests.admin.world import World


async def test_a_rate_is_changed_kept_written_down_and_can_be_undone(console: World) -> None:
    async with console.person("sys") as person:
        answer = await person.post("/gateway/carriers/1/rate", {"rate": "1,200"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/gateway")
        page = (await person.get("/gateway")).text
        assert "carrier-a may have 1,200 parts a second" in page
        assert 'name="rate" value="0"' in page  # the undo
        assert 'value="1200"' in page
    (written,) = [row for row in console.audit() if row[1] == "carrier.rate"]
    assert written[0] == "console:sys"
    assert "[0, 1200]" in str(written[3])
    assert console.store.directory().carriers[1].rate == 1200
    assert console.daemon.reloads == 1


@pytest.mark.parametrize("typed", ["", "fast", "-1", "1000001", "1.5"])
async def test_a_rate_that_is_none_is_told_beside_its_field(console: World, typed: str) -> None:
    async with console.person("sys") as person:
        answer = await person.post("/gateway/carriers/1/rate", {"rate": typed})
        assert answer.status_code == 422
        assert 'aria-describedby="rate-1-error"' in answer.text
        assert f'value="{typed}" aria-invalid' in answer.text
    assert console.store.directory().carriers[1].rate == 0


async def test_a_carrier_is_bound_anew_and_that_is_written_down(console: World) -> None:
    async with console.person("sys") as person:
        assert (await person.post("/gateway/carriers/1/rebind")).status_code == 303
        assert "binding anew" in (await person.get("/gateway")).text
        assert (await person.post("/gateway/carriers/9/rebind")).status_code == 404
    assert console.daemon.rebound == [1]
    assert [row[1] for row in console.audit()].count("carrier.rebind") == 1
    async with console.person("adm") as person:
        assert (await person.post("/gateway/carriers/1/rebind")).status_code == 403
    assert console.daemon.rebound == [1]
