"""Every kind of job that there is: what `Background.begin` may be asked for, and what the jobs page calls it."""

from collections.abc import Mapping

from admin.background import Kind

_ALL: tuple[Kind, ...] = ()
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
