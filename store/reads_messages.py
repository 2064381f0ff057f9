"""Messages by whatever people ask for: number, account, task, state, reason, a piece of text; newest first.

A reading goes from a key to a key and has a budget of time: what is rare among millions gives a short page and the
id from which to search on, never a long wait. Where the search files have an index for what is asked (a number, a
few numbers, a few accounts) it is used; ends that are rare are looked for among the outcomes, whose rows are a tenth
of a part's; anything else goes through the parts, a few thousand in a statement, so that no reader holds up the
write-ahead log. There is no OFFSET and no COUNT.
"""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from store.day_schema import ATTEMPT_BITS, PART_THROUGH, first_id_of
from store.files import StoreError
from store.ids import id_day
from store.model import FINAL_STATES, NO_CARRIER, Part, State
from store.outcomes import message_outcome
from store.part_rows import accepted_sql
from store.reads import DayReads, chunks, ids_of
from store.search import search_path, segments_of

SCAN_PARTS = 4_000  # of one statement: some 100 pages
SCAN_OUTCOMES = 30_000
HEADS_MAX = 1_000  # candidates of one statement, where some of them may turn out not to fit
SEEKS_MAX = 400  # (accounts times segments) up to which an index is quicker than reading on
DENSE = 20  # times HEADS_MAX parts of some accounts in a segment: more are not looked at one by one
SPREAD_MAX = 20_000  # parts in a range of numbers up to which they are sorted rather than looked for

Ranges = tuple[tuple[int, int], ...]
Block = tuple[list[tuple[int, int]], int]  # candidates, and the id down to which these are all


class MessageFilter(msgspec.Struct, frozen=True):
    """Which messages; what is empty does not narrow.

    accounts: None is all. dests: ranges of numbers, both ends in. taken: whether a carrier had accepted it.
    needles: octets of which one must be in a part's body; `reads_as` then looks at the parts themselves.
    """

    accounts: frozenset[int] | None = None
    dests: Ranges = ()
    since_id: int = 0
    task: int = 0
    carrier: int = 0
    sms_type: int = 0
    states: frozenset[int] = frozenset()
    taken: bool | None = None
    errors: frozenset[int] = frozenset()
    needles: tuple[bytes, ...] = ()
    reads_as: Callable[[Sequence[Part]], bool] | None = None

    def fits(self, row: "MessageRow") -> bool:
        """What is known only once all parts of a message are."""
        return (
            (not self.states or row.state in self.states)
            and (self.taken is None or row.taken == self.taken)
            and (not self.errors or row.error in self.errors)
            and (self.reads_as is None or self.reads_as(row.parts))
        )


class MessageRow(msgspec.Struct):
    """A message with all its parts, its state from theirs, and what the attempts say."""

    parts: list[Part]
    state: State
    error: int
    done_at: int  # 0 while open
    taken: bool  # a carrier accepted it; of what failed: the part that tells why
    sent_at: int  # of the first try, 0 for none
    smsc_message_id: str  # of the first part that has one

    @property
    def id(self) -> int:
        return self.parts[0].id


class FoundMessages(msgspec.Struct):
    """A page. `before_id`: where to go on, 0 at the end. `unreadable`: days whose file gave an error."""

    rows: list[MessageRow]
    before_id: int = 0
    unreadable: list[int] = []


class MessageReads(DayReads):
    """The reads of lists of messages."""

    def find_messages(
        self,
        wanted: MessageFilter,
        before_id: int,
        limit: int,
        *,
        budget_s: float = 0.25,
        now: Callable[[], float] = time.monotonic,
    ) -> FoundMessages:
        """Up to `limit` messages below `before_id`, newest first; fewer when `budget_s` ran out first."""
        deadline = now() + budget_s
        found = FoundMessages([])
        only_open = bool(wanted.states) and not wanted.states & FINAL_STATES
        for day in reversed(list(self._files.days)):
            low, high = max(first_id_of(day), wanted.since_id), min(first_id_of(day + 1), before_id)
            if first_id_of(day + 1) <= wanted.since_id:
                break
            if low >= high or (only_open and day in self._files.sealed):
                continue
            try:
                for heads, reached in self._blocks(day, wanted, low, high, limit):
                    if self._take(day, wanted, heads, limit, found):
                        found.before_id = found.rows[-1].id
                        return found
                    if now() >= deadline:
                        # A message is looked at whole: where a block ends amid its parts, it is done as well.
                        found.before_id = min(reached, heads[-1][0]) if heads else reached
                        return found
            except StoreError:
                found.unreadable.append(day)
        return found

    def count_messages(
        self,
        wanted: MessageFilter,
        before_id: int,
        at_most: int,
        *,
        budget_s: float = 3.0,
        now: Callable[[], float] = time.monotonic,
    ) -> int:
        """About how many messages, without looking at their parts; `at_most` where counting took too long."""
        deadline = now() + budget_s
        count = 0
        for day in reversed(list(self._files.days)):
            low, high = max(first_id_of(day), wanted.since_id), min(first_id_of(day + 1), before_id)
            if low >= high:
                continue
            try:
                for heads, _ in self._blocks(day, wanted, low, high, HEADS_MAX):
                    count += len(heads)
                    if count >= at_most or now() >= deadline:
                        return at_most
            except StoreError:
                continue
        return count

    def _take(
        self,
        day: int,
        wanted: MessageFilter,
        heads: Sequence[tuple[int, int]],
        limit: int,
        found: FoundMessages,
    ) -> bool:
        """Add those of the candidates that fit; True once there are enough (there may be more)."""
        step = max(limit, 20)
        for start in range(0, len(heads), step):
            for row in self._rows(day, heads[start : start + step]):
                if found.rows and row.id >= found.rows[-1].id:
                    continue  # seen already, by another of its parts
                if wanted.fits(row):
                    found.rows.append(row)
                    if len(found.rows) == limit:
                        return True
        return False

    def _rows(self, day: int, heads: Sequence[tuple[int, int]]) -> list[MessageRow]:
        """Messages by (id, number of parts), in that order."""
        ids = [part_id for head, count in heads for part_id in range(head, head + count)]
        by_head: dict[int, list[Part]] = {}
        for part in self._parts_of_day(day, sorted(ids)):
            by_head.setdefault(part.id - part.part_no + 1, []).append(part)
        first = first_id_of(day)
        rows = []
        with self._reader(day) as connection:
            for head, count in heads:
                parts = by_head.get(head)
                if parts is None:
                    continue
                tries = connection.execute(
                    "SELECT key, sent_at, status, smsc_message_id FROM attempt WHERE key BETWEEN ? AND ? ORDER BY key",
                    (head - first << ATTEMPT_BITS, (head + count - first << ATTEMPT_BITS) - 1),
                ).fetchall()
                accepted = {(key >> ATTEMPT_BITS) + first for key, _, status, _ in tries if status == 0}
                state, error, done_at = message_outcome(parts)
                # What failed is judged by the part that tells why; of what did not, any will do.
                asked = [one.id for one in parts if one.state == state and one.done_at == done_at] or range(
                    head, head + count
                )
                # A message of a test key goes nowhere: what stands in for its carrier took it.
                taken = parts[0].carrier == NO_CARRIER or any(part_id in accepted for part_id in asked)
                smsc_id = next((smsc_id for *_, smsc_id in tries if smsc_id), "")
                rows.append(
                    MessageRow(parts, state, error, done_at, taken, tries[0][1] if tries else 0, smsc_id)
                )
        return rows

    def failure_figures(self, task: int, first_id: int, last_id: int) -> dict[tuple[int, int, bool], int]:
        """(state, error, whether a carrier had taken a part) -> messages of a task, in a range of ids, that failed.

        Of several failed parts the one that ended first tells why.
        """
        found: dict[tuple[int, int, bool], int] = {}
        for day in range(id_day(first_id), id_day(last_id) + 1):
            if day not in self._files.days:
                continue
            query = (
                "SELECT state, error, taken, count(*) FROM (SELECT min(o.done_at), o.state AS state, o.error AS"
                f" error, (p.carrier = {NO_CARRIER} OR {accepted_sql(day)}) AS taken FROM outcome o"
                " CROSS JOIN part p ON p.id = o.part_id WHERE o.part_id BETWEEN ? AND ? AND p.task = ?"
                f" AND o.state > {int(State.DELIVERED)} AND o.state != {int(State.CANCELLED)}"
                " GROUP BY p.id - p.part_no) GROUP BY 1, 2, 3"
            )
            with self._reader(day) as connection:
                for state, error, taken, count in connection.execute(query, (first_id, last_id, task)):
                    key = (state, error, bool(taken))
                    found[key] = found.get(key, 0) + count
        return found

    # -- candidates -------------------------------------------------------------------------------

    def _blocks(self, day: int, wanted: MessageFilter, low: int, high: int, limit: int) -> Iterator[Block]:
        """(candidates as (id, number of parts), newest first; the id down to which these are all) of a day."""
        segments: list[tuple[int, int]] = []
        search = search_path(self._files.path(day))
        if (wanted.dests or wanted.accounts is not None) and not wanted.task and search.exists():
            with self._lend(search) as connection:
                segments = segments_of(connection)
        indexed = {segment: through for segment, through in segments if through >= low}
        accounts = wanted.accounts or frozenset()
        if not wanted.dests and len(accounts) * max(len(indexed), 1) > SEEKS_MAX:
            indexed = {}
        floors = dict(zip(indexed, [through + 1 for _, through in segments[1:]] + [0], strict=False))
        for segment, through in indexed.items():
            if through < high - 1:  # what no search file has yet, or lies between
                yield from self._scan(day, wanted, max(low, through + 1), high, limit)
                high = min(high, through + 1)
            floor = max(low, floors[segment])
            if floor < high:
                yield from self._indexed(day, wanted, segment, floor, high, limit)
                high = floor
        if low < high:
            yield from self._scan(day, wanted, low, high, limit)

    def _indexed(
        self, day: int, wanted: MessageFilter, segment: int, low: int, high: int, limit: int
    ) -> Iterator[Block]:
        """The same out of one segment of the search file."""
        search = search_path(self._files.path(day))
        column = "dest" if wanted.dests else "account"
        exact = [(low_, high_) for low_, high_ in wanted.dests if low_ == high_]
        values = [one for one, _ in exact] if wanted.dests else sorted(wanted.accounts or ())
        if len(exact) < len(wanted.dests):
            near = self._spread(search, wanted.dests, segment, low, high)
            if near is None:
                yield from self._scan(day, wanted, low, high, limit)
                return
            for some in chunks(near):
                yield self._heads_of(day, wanted, some), some[-1]
            yield [], low
            return
        span = high - low
        while low < high:
            rows: list[tuple[int]] = []
            with self._lend(search) as connection:
                for value in values:
                    rows += connection.execute(
                        f"SELECT id FROM by_{column} WHERE segment = ? AND {column} = ? AND id < ? AND id >= ?"
                        " ORDER BY id DESC LIMIT ?",
                        (segment, value, high, low, HEADS_MAX),
                    ).fetchall()
            ids = sorted(ids_of(rows), reverse=True)[:HEADS_MAX]
            for some in chunks(ids):
                yield self._heads_of(day, wanted, some), some[-1]
            dense = len(ids) == HEADS_MAX and (high - ids[-1]) * DENSE < span
            high = ids[-1] if len(ids) == HEADS_MAX else low
            yield [], high
            if (
                dense and column == "account" and is_rare(wanted)
            ):  # of much traffic, few ends: those are quicker
                yield from self._scan(day, wanted, low, high, limit)
                return

    def _spread(self, search: Path, dests: Ranges, segment: int, low: int, high: int) -> list[int] | None:
        """Ids of parts to ranges of numbers, newest first; None when they are too many to be sorted."""
        ids: list[int] = []
        with self._lend(search) as connection:
            for first, last in dests:
                rows = connection.execute(
                    "SELECT id FROM by_dest WHERE segment = ? AND dest BETWEEN ? AND ? AND id < ? AND id >= ?"
                    " LIMIT ?",
                    (segment, first, last, high, low, SPREAD_MAX + 1),
                )
                ids += (row[0] for row in rows)
                if len(ids) > SPREAD_MAX:
                    return None
        return sorted(ids, reverse=True)

    def _heads_of(self, day: int, wanted: MessageFilter, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Those of some parts that fit, as messages."""
        where, parameters = _conditions(wanted)
        marks = ",".join("?" * len(ids))
        with self._reader(day) as connection:
            rows = connection.execute(
                f"SELECT p.id - p.part_no + 1, p.parts FROM part p WHERE p.id IN ({marks}) AND {where}"
                f" AND {_ended(wanted, day)} ORDER BY p.id DESC",
                (*ids, *parameters),
            )
            return list(dict.fromkeys(rows.fetchall()))

    def _scan(self, day: int, wanted: MessageFilter, low: int, high: int, limit: int) -> Iterator[Block]:
        """The same by reading on: from the parts, from the outcomes, or from what is open and old."""
        if is_rare(wanted):
            yield from self._read_on(day, wanted, _OUTCOMES, low, high, limit)
            return
        if wanted.states and not wanted.states & FINAL_STATES:
            with self._reader(day) as connection:
                row = connection.execute("SELECT value FROM mark WHERE name = ?", (PART_THROUGH,)).fetchone()
            young = max(low, min(high, row[0] + 1))
            yield from self._read_on(day, wanted, _PARTS, young, high, limit)
            yield from self._read_on(day, wanted, _OPEN, low, young, limit)
            return
        yield from self._read_on(day, wanted, _PARTS, low, high, limit)

    def _read_on(
        self, day: int, wanted: MessageFilter, source: "_Source", low: int, high: int, limit: int
    ) -> Iterator[Block]:
        where, parameters = _conditions(wanted)
        if source is not _PARTS:
            where = where.replace(_FIRST_PART, "1")
        if source is _OUTCOMES:
            where = f"{_end_is(wanted)} AND {where}"
        else:
            where += f" AND {_ended(wanted, day)}"
        filtered = wanted.states or wanted.errors or wanted.needles
        heads_max = HEADS_MAX if filtered else limit + 1
        key, rows = source.key, SCAN_OUTCOMES if source is _OUTCOMES else SCAN_PARTS
        while low < high:
            with self._reader(day) as connection:
                reached, count = connection.execute(
                    f"SELECT min(id), count(*) FROM (SELECT {key} AS id FROM {source.table} WHERE {key} < ? AND"
                    f" {key} >= ? ORDER BY {key} DESC LIMIT ?)",
                    (high, low, rows),
                ).fetchone()
                if count < rows:
                    reached = low
                found = connection.execute(
                    f"SELECT p.id - p.part_no + 1, p.parts FROM {source.joined} WHERE {source.named}"
                    f" BETWEEN ? AND ? AND {where} ORDER BY {source.named} DESC LIMIT ?",
                    (reached, high - 1, *parameters, heads_max),
                ).fetchall()
            if len(found) == heads_max:
                reached = max(low, found[-1][0])
            yield list(dict.fromkeys(found)), reached
            high = reached


class _Source(msgspec.Struct, frozen=True):
    """What is read on through: a table, its key, and how its rows lead to parts."""

    table: str
    key: str
    joined: str
    named: str


_PARTS = _Source("part", "id", "part p", "p.id")
_OUTCOMES = _Source("outcome", "part_id", "outcome o CROSS JOIN part p ON p.id = o.part_id", "o.part_id")
_OPEN = _Source("open_part", "id", "open_part o CROSS JOIN part p ON p.id = o.id", "o.id")
_FIRST_PART = "p.part_no = 1"


def is_rare(wanted: MessageFilter) -> bool:
    """Whether only ends are wanted that few messages have."""
    return bool(wanted.states) and wanted.states <= FINAL_STATES and State.DELIVERED not in wanted.states


def _end_is(wanted: MessageFilter) -> str:
    """SQL: whether outcome `o` is one that is wanted."""
    where = f"o.state IN ({','.join(str(int(state)) for state in sorted(wanted.states))})"
    if wanted.errors:
        where += f" AND o.error IN ({','.join(str(int(error)) for error in sorted(wanted.errors))})"
    return where


def _ended(wanted: MessageFilter, day: int) -> str:
    """SQL: whether the message of part `p` can be in a wanted state, as far as one look tells."""
    if is_rare(wanted):
        return (
            "EXISTS (SELECT 1 FROM outcome o WHERE o.part_id BETWEEN p.id - p.part_no + 1 AND"
            f" p.id - p.part_no + p.parts AND {_end_is(wanted)})"
        )
    if wanted.states and not wanted.states & FINAL_STATES:
        sent = ""
        if wanted.states == {State.SENT}:
            sent = f" AND {accepted_sql(day)}"
        elif State.SENT not in wanted.states:
            sent = f" AND NOT {accepted_sql(day)}"
        return f"(p.parts > 1 OR (NOT EXISTS (SELECT 1 FROM outcome o WHERE o.part_id = p.id){sent}))"
    return "1"


def _conditions(wanted: MessageFilter) -> tuple[str, list[object]]:
    """What a part's own row can tell. Messages are looked for by their first part, texts in every part."""
    where: list[str] = []
    parameters: list[object] = []
    if wanted.needles:
        where.append("(" + " OR ".join(["instr(p.body, ?) > 0"] * len(wanted.needles)) + ")")
        parameters += wanted.needles
    else:
        where.append(_FIRST_PART)
    if wanted.accounts is not None:
        where.append("p.account IN (SELECT value FROM json_each(?))")
        parameters.append(msgspec.json.encode(sorted(wanted.accounts)).decode())
    if wanted.dests:
        where.append("(" + " OR ".join(["p.dest BETWEEN ? AND ?"] * len(wanted.dests)) + ")")
        parameters += [end for ends in wanted.dests for end in ends]
    for column in ("task", "carrier", "sms_type"):
        if getattr(wanted, column):
            where.append(f"p.{column} = ?")
            parameters.append(getattr(wanted, column))
    return " AND ".join(where), parameters
