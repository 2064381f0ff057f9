"""The undo beside a message that something was deleted."""

from admin.console import Flash
from store.trash import Deleted


def undo_flash(text: str, deleted: Deleted) -> Flash:
    """Tells that something is gone, with the way to get it back."""
    return Flash(text, undo=f"/trash/{deleted.trash}/restore" if deleted.trash else "")
