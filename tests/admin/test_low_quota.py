"""Thresholds of low quota: set on the pages, told by a banner and on the dashboard."""

from tests.admin.world import World


async def test_a_threshold_is_set_and_decides_who_is_told(console: World) -> None:
    console.daemon.used = {4: (60, 20)}
    async with console.person("adm") as adm, console.person("usr") as usr:
        assert "You have" not in (await usr.get("/me")).text
        assert "usr</a>" not in (await adm.get("/")).text
        assert (await adm.post("/users/4/low", {"low": "20", "low_unit": "parts"})).status_code == 303
        assert "You have 20 of 100 parts left." in (await usr.get("/me")).text
        assert '<a href="/users/4">usr</a>' in (await adm.get("/")).text
        assert "Low at 20 parts" in (await adm.get("/users/4")).text
    assert console.audit()[-1][1:3] == ("quota.threshold", "user usr")


async def test_a_group_s_administrator_is_told_of_the_group(console: World) -> None:
    console.daemon.used = {4: (100, 0)}
    async with console.person("sys") as sys, console.person("adm") as adm, console.person("usr") as usr:
        fields = {"low": "90", "low_unit": "percent"}
        assert (await sys.post("/users/groups/2/low", fields)).status_code == 303
        banner = "Your group 总公司/a has 900 of 1,000 parts left."
        assert banner in (await adm.get("/me")).text
        assert banner not in (await usr.get("/me")).text
        assert '<a href="/users/groups/2">总公司/a</a>' in (await sys.get("/")).text


async def test_a_senseless_threshold_is_refused_beside_its_field(console: World) -> None:
    async with console.person("sys") as sys:
        for path in ("/users/4/low", "/users/groups/2/low"):
            page = await sys.post(path, {"low": "101", "low_unit": "percent"})
            assert page.status_code == 422
            assert "A share is 0 to 100 percent." in page.text
            assert 'value="101"' in page.text
            assert 'id="low-error"' in page.text
            assert (await sys.post(path, {"low": "ten"})).status_code == 422
