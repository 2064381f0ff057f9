"""Every kind of job that there is: what `Background.begin` may be asked for, and what the jobs page calls it."""

from collections.abc import Mapping

from admin import importing
from admin.background import Kind
from admin.list_export import EXPORT_LIST

_ALL: tuple[Kind, ...] = (EXPORT_LIST, importing.KIND)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
SWEEPERS = (importing.purge,)
