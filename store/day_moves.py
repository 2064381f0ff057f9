"""Parts that change while they wait: to another state or carrier (`moved`), or in what they say (`replaced`).

None of this is on the ordinary way of a message, but for carriers that want each part claimed before it is
sent. A part that was sent or is final stays as it is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from store import day_sql
from store.model import Part, State
from store.young import YOUNG_STATES, PartKey

if TYPE_CHECKING:
    from store.day_round import Round


def write_moves(a_round: "Round", moved: Sequence[tuple[int, int, int]]) -> None:
    """(part id, state, carrier) of parts that still wait; of several for one part the last stands."""
    file = a_round.file
    wanted = {part_id: (state, carrier) for part_id, state, carrier in moved}
    young = {part_id: key for part_id in wanted if (key := _young_key(a_round, part_id)) is not None}
    old = _old_keys(a_round, [part_id for part_id in wanted if part_id not in young])
    rows: list[tuple[int, int, int]] = []
    open_rows: list[tuple[int, int, int]] = []
    new_open: list[tuple[int, ...]] = []
    for part_id, (state, carrier) in wanted.items():
        key = young.get(part_id) or old.get(part_id)
        if key is None:
            a_round.refused_parts.append(part_id)
            continue
        rows.append((part_id, state, carrier))
        _count_carrier(a_round, key, carrier)
        if part_id in old:
            open_rows.append((part_id, state, carrier))
            continue
        now = a_round.moved[part_id] = file.keys.moved(key, state, carrier)
        if state not in YOUNG_STATES:  # it will wait for long: indexed at once
            a_round.left.append(part_id)
            open_rows.append((part_id, state, carrier))
            new_open.append((part_id, now.account, carrier, now.lane, now.sms_type, int(now.first), state, 0))
    rows.sort()
    day_sql.MOVE_PARTS.run(file.connection, rows)
    day_sql.INSERT_OPEN_PARTS.run(file.connection, new_open)
    day_sql.MOVE_OPEN_PARTS.run(file.connection, open_rows)  # which also sets due_at


def write_replaced(a_round: "Round", part: Part) -> None:
    """A part as replace_sm left it."""
    old = _old_keys(a_round, [part.id]) if _young_key(a_round, part.id) is None else {}
    if _young_key(a_round, part.id) is None and not old:
        a_round.refused_parts.append(part.id)
        return
    a_round.file.connection.execute(
        day_sql.REPLACE_PART,
        (
            part.state, part.registered_delivery, part.data_coding, part.deliver_at, part.expires_at,
            part.flags, part.body, part.detail, part.id,
        ),
    )  # fmt: skip
    write_moves(a_round, [(part.id, part.state, part.carrier)])


def _young_key(a_round: "Round", part_id: int) -> PartKey | None:
    """The key of a part that is young and not sent."""
    young = a_round.file.young
    if part_id in a_round.sent or part_id in a_round.left:
        return None
    return a_round.moved.get(part_id) or young.unsent.get(part_id) or a_round.new.get(part_id)


def _old_keys(a_round: "Round", ids: Sequence[int]) -> dict[int, PartKey]:
    """The keys of parts that are indexed and not sent."""
    sent_old = a_round.file.young.sent_old
    return {
        part_id: key
        for part_id, key in a_round.file.old_keys(ids).items()
        if key.state != State.SENT and part_id not in sent_old and part_id not in a_round.sent_old
    }


def _count_carrier(a_round: "Round", key: PartKey, carrier: int) -> None:
    """Roll-ups follow a part to its carrier."""
    if carrier != key.carrier:
        a_round.count([key], State.QUEUED, -1)
        a_round.count([a_round.file.keys.moved(key, key.state, carrier)], State.QUEUED)
