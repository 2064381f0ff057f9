"""Refusals that people meet often, with a code beside the sentence, so that the console says them in Chinese too."""

from store.files import StoreError


class Refused(StoreError):
    """A change against a rule. Nothing was changed.

    `code` names the rule ("login-taken"), `values` what its sentence needs.
    """

    def __init__(self, code: str, text: str, **values: object) -> None:
        super().__init__(text)
        self.code = code
        self.values = values
