"""The left rail: the operator manual's chapters, in its order, and what a gateway needs beside them.

An entry shows for whom its permission opens something; a chapter shows when an entry does.
"""

import msgspec

from admin.i18n import N_
from admin.permissions import may
from store.sessions import Viewer


class Entry(msgspec.Struct, frozen=True):
    """One page in the rail."""

    title: str
    path: str
    permission: str
    key: str = ""  # after "g" it leads here


class Chapter(msgspec.Struct, frozen=True):
    """A chapter of the manual."""

    title: str
    icon: str
    entries: tuple[Entry, ...]

    @property
    def paths(self) -> set[str]:
        return {entry.path for entry in self.entries}


CHAPTERS = (
    Chapter(
        N_("Overview"),
        "layout-dashboard",
        (Entry(N_("Dashboard"), "/", "dashboard", "d"), Entry(N_("Jobs"), "/jobs", "jobs", "j")),
    ),
    Chapter(
        N_("Business SMS"),
        "send",
        (
            Entry(N_("Send SMS"), "/sms/send", "sms.send", "s"),
            Entry(N_("Task log"), "/sms/tasks", "tasks.read", "t"),
            Entry(N_("Pending and scheduled"), "/sms/pending", "tasks.read", "p"),
            Entry(N_("Complaint handling"), "/sms/complaints", "complaints", "h"),
        ),
    ),
    Chapter(N_("Address book"), "book-user", (Entry(N_("Contacts"), "/contacts", "contacts", "c"),)),
    Chapter(
        N_("Reports"),
        "chart-column",
        (Entry(N_("Message details"), "/reports/messages", "messages.read", "m"),),
    ),
    Chapter(
        N_("User management"),
        "users",
        (
            Entry(N_("Users"), "/users", "users.read", "u"),
            Entry(N_("User groups"), "/users/groups", "groups.read", "o"),
            Entry(N_("Deleted users"), "/users/deleted", "users.deleted"),
            Entry(N_("Quota ledger"), "/users/ledger", "ledger.read", "q"),
        ),
    ),
    Chapter(
        N_("Other settings"),
        "settings-2",
        (
            Entry(N_("Sensitive words"), "/settings/words", "words.read", "w"),
            Entry(N_("Blacklists"), "/settings/blacklist", "blacklist.read", "b"),
            Entry(N_("Phrase library"), "/settings/phrases", "phrases", "f"),
            Entry(N_("Recently deleted"), "/trash", "session"),
        ),
    ),
    Chapter(N_("Review"), "clipboard-check", (Entry(N_("Content review"), "/review/tasks", "review", "r"),)),
    Chapter(
        N_("Gateway"),
        "radio-tower",
        (
            Entry(N_("Connections and routes"), "/gateway", "gateway.read", "g"),
            Entry(N_("Audit log"), "/audit", "audit.read", "a"),
        ),
    ),
)


def chapters_of(viewer: Viewer) -> list[Chapter]:
    """What this person sees of the rail."""
    shown = []
    for chapter in CHAPTERS:
        entries = tuple(entry for entry in chapter.entries if may(viewer, entry.permission))
        if entries:
            shown.append(Chapter(chapter.title, chapter.icon, entries))
    return shown


def current(path: str) -> str:
    """The entry that a page belongs to: the longest path that begins the page's."""
    paths = [entry.path for chapter in CHAPTERS for entry in chapter.entries]
    fitting = [p for p in paths if path == p or (p != "/" and path.startswith(p + "/"))]
    return max(fitting, key=len, default="")
