"""Texts that an administrator wrote, with variables that the sender fills in.

A template belongs to a group; users of that group and of those below it may send it. Filled in it is a text like
any other: judged, cut and counted as such. A value is put in as it is: a variable's name in it means nothing.
"""

from collections.abc import Iterable

from gateway.accounts import AccountState
from gateway.api import ids
from gateway.api.invalid import Invalid, escaped
from gateway.api.shapes import TEXT_CHARACTERS_MAX, Content, TemplatePage, TemplateUse, TemplateView
from store.directory import Directory, Template


class Filling:
    """A template with the values that are known of it so far."""

    def __init__(self, template: Template, known: dict[str, tuple[str, str]]) -> None:
        self.template = template
        self._known = known  # name -> value, pointer to where it was given

    def text(self, content: Content | None = None) -> str:
        """The text, with the values of a message beside those known. Raises Invalid."""
        values = self._known if content is None else {**self._known, **_given(content)}
        variables = self.template.variables
        for name, (_, pointer) in values.items():
            if name not in variables:
                listed = ", ".join(variables) or "no variables"
                raise Invalid(pointer, "unknown-variable", f"The template has {listed}. Remove this one.")
        pieces: list[str] = []
        for literal, name in self.template.pieces():
            pieces.append(literal)
            if name:
                if name not in values:
                    raise Invalid(f"/vars/{escaped(name)}", "missing", "The template needs this variable.")
                pieces.append(values[name][0])
        text = "".join(pieces)
        if len(text) > TEXT_CHARACTERS_MAX:
            detail = f"Filled in, the text has {len(text)} characters; {TEXT_CHARACTERS_MAX} are the most."
            raise Invalid("/template", "too-long", detail)
        return text


def start(directory: Directory, account: AccountState, content: Content) -> Filling | None:
    """The template that a message or the defaults of a batch name, None for none. Raises Invalid.

    Takes `template` and `vars` out of `content`.
    """
    use = content.template
    if use is None or use.id is None:
        if content.vars is not None or use is not None:
            raise Invalid("/template/id", "missing", "Say which template these values are for.")
        return None
    if content.text is not None or content.binary is not None:
        raise Invalid("/template", "both", "Give exactly one of text, template and binary.")
    known = _given(content)
    template = directory.templates.get(ids.read(ids.TEMPLATE, use.id))
    if template is None or template.group not in account.group_chain:
        raise Invalid("/template/id", "unknown-template", "There is no such template. GET /v1/templates.")
    content.template = content.vars = None
    return Filling(template, known)


def fill(
    directory: Directory, account: AccountState, content: Content, defaults: Filling | None = None
) -> None:
    """Put the filled template where the text of a message belongs. Raises Invalid.

    Args:
      defaults: of a batch; a message that brings no text of its own fills it in.
    """
    if content.template is not None and content.template.id is not None:
        own = start(directory, account, content)
        assert own is not None
        content.text = own.text()
        return
    if defaults is not None and content.text is None and content.binary is None:
        content.text = defaults.text(content)
    elif content.template is not None or content.vars is not None:
        start(directory, account, content)  # values for no template: says so
    content.template = content.vars = None


def visible(directory: Directory, account: AccountState) -> TemplatePage:
    """The templates that an account may send."""
    own: Iterable[Template] = directory.templates.values()
    return TemplatePage(
        [
            TemplateView(
                ids.show(ids.TEMPLATE, one.id),
                one.name,
                directory.groups[one.group].path,
                one.text,
                list(one.variables),
            )
            for one in own
            if one.group in account.group_chain
        ]
    )


def _given(content: Content) -> dict[str, tuple[str, str]]:
    """The values that a message brings, and where each stands."""
    use: TemplateUse = content.template or TemplateUse()
    values = {name: (value, f"/template/vars/{escaped(name)}") for name, value in (use.vars or {}).items()}
    values |= {name: (value, f"/vars/{escaped(name)}") for name, value in (content.vars or {}).items()}
    return values
