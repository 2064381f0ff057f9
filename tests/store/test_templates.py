"""`[[template]]`: declared by group and name, with variables that its text has."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.directory import Template
from store.document import DocumentError
from tests.store.config_world import apply, world

RENEWAL = """
[[template]]
name = "renewal"
group = "总公司"
text = "【某某保险】【姓名】，您的【单号】将到期。"
variables = ["姓名", "单号"]
"""
REMOVED = '[[template]]\nname = "renewal"\ngroup = "总公司"\nremove = true\n'


def test_a_template_is_added_once_changed_and_removed(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        assert [change.action for change in apply(store, RENEWAL)] == ["added"]
        assert [change.action for change in apply(store, RENEWAL)] == ["unchanged"]
        (template,) = store.directory().templates.values()
        assert (template.name, template.variables) == ("renewal", ("姓名", "单号"))
        (change,) = apply(store, RENEWAL.replace("将到期", "已到期"))
        assert [field for field, _, _ in change.fields] == ["text"]
        assert store.directory().templates[template.id].text.endswith("已到期。")
        assert [change.action for change in apply(store, REMOVED)] == ["removed"]
        assert [change.action for change in apply(store, REMOVED)] == ["unchanged"]
        assert not store.directory().templates
        apply(store, RENEWAL)
        # A new one of the same name is another one.
        assert template.id not in store.directory().templates


def test_export_gives_templates_back(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, RENEWAL)
        exported = tomllib.loads("\n".join(store.export()))
        assert exported["template"] == tomllib.loads(RENEWAL)["template"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('variables = ["姓名", "单号"]', 'variables = ["电话"]'), "the text has no 【电话】"),
        (('group = "总公司"', 'group = "总公"'), 'there is no group "总公"'),
        (('text = "【某某保险】【姓名】，您的【单号】将到期。"\n', ""), 'a new template needs "text"'),
        (('name = "renewal"', 'title = "x"'), "title"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(
    change: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    with world(tmp_path) as store:
        with pytest.raises(DocumentError) as refused:
            apply(store, RENEWAL.replace(*change))
        assert sentence in str(refused.value)
        assert not store.directory().templates


@given(st.lists(st.sampled_from(["a", "【", "】", "【x】", "【y】", "【【x】】"]), max_size=8))
def test_the_pieces_of_a_text_are_the_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    template = Template(1, 1, "t", text, ("x",))
    assert "".join(literal + (f"【{name}】" if name else "") for literal, name in template.pieces()) == text
    assert sum(name == "x" for _, name in template.pieces()) == text.count("【x】")
