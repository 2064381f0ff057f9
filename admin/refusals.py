"""What the store refuses, as sentences in the reader's language: by code, in `store/refusals.py`'s words."""

from admin.i18n import N_, Language, translate
from store.files import StoreError
from store.quota import QuotaRefused
from store.refusals import Refused

SENTENCES = {
    "login-form": N_("A login has 3 to 32 letters, digits, dots, hyphens or underscores."),
    "login-taken": N_("The login “%(login)s” is taken, perhaps by a deleted user. Choose another."),
    "stale": N_(
        "Somebody else changed this meanwhile; nothing was saved. Compare, then save again what you want."
    ),
    "self": N_("You cannot do this to yourself. Ask another administrator."),
    "gone": N_("This user does not exist any more."),
    "group-gone": N_("That group is deleted. Choose another."),
    "last-admin": N_("This is the last system administrator. Make another one first."),
    "group-in-use": N_(
        "The group still has %(users)s users and %(groups)s child groups. Move or delete them first."
    ),
    "group-taken": N_("There is a group “%(path)s” already. Choose another name."),
    "group-name": N_("A group's name has 1 to 64 characters and no slash."),
    "task-state": N_("Nothing was done: the task is in state “%(state)s” by now (%(actor)s)."),
    "task-note": N_("Give a reason."),
    "too-many-jobs": N_("You have %(limit)s jobs that are not over. Wait for one, or cancel one."),
    "import-state": N_("Nothing was done: the import has gone on meanwhile. This is where it stands."),
    "type-not-allowed": N_("You may not send SMS of this type. Ask your administrator."),
    "group-inside": N_("A group cannot be put under itself. Choose another place."),
    "group-unlimited": N_("An unlimited group stays a root group: nothing above could hold it."),
    "not-deleted": N_("Only a deleted user can be made anonymous. Delete the user first."),
    "anonymous": N_("This user was made anonymous, for good. Make a new user."),
    "group-top": N_("There is no group above this one. Move its contacts first, or delete them."),
    "too-many": N_("At most %(limit)s at once."),
}
QUOTA = N_("At most %(available)s parts can be moved here. Give a smaller number, or top up the group above.")


def sentence(error: StoreError, language: Language) -> str:
    """What to tell the reader."""
    if isinstance(error, QuotaRefused):
        return translate(language, QUOTA, available=f"{error.available:,}")
    if isinstance(error, Refused) and error.code in SENTENCES:
        return translate(language, SENTENCES[error.code], **error.values)
    return str(error)
