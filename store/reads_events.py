"""Reads of the customers' event logs, and of receipts that match nothing or late."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from array import array
from collections.abc import Sequence
from itertools import islice

from store.day_schema import first_id_of
from store.model import Inbound, Notice, ParkedReceipt, Receipt
from store.port import Event
from store.reads import DayReads, chunks, holes, ids_of
from store.search import search_path
from store.young_events import merged


class EventReads(DayReads):
    """The reads about undelivered events, parked receipts and carriers' ids."""

    def pending_events(self, account: int, after_event: int, limit: int) -> list[Event]:
        """Events of an account that are not delivered, by id."""
        files = self._files
        ids = set(self._events.after(account, after_event, limit))
        days = files.unsealed()
        for day in days:
            if files.old_events[day][account]:
                with self._reader(day) as connection:
                    rows = connection.execute(
                        "SELECT id FROM open_event WHERE account = ? AND id > ? ORDER BY id LIMIT ?",
                        (account, after_event, limit),
                    )
                    ids.update(ids_of(rows))
        wanted = sorted(ids)[:limit]
        events: dict[int, Event] = {}
        for day in reversed(days):
            missing = [event for event in wanted if event not in events]
            if not missing:
                break
            self._load_events(day, missing, events)
        return [events[event] for event in wanted if event in events]

    def logged_events(self, account: int, after_event: int, through_event: int, limit: int) -> list[Event]:
        """Events of an account for readers with a cursor, by id, behind one id and up to another.

        An event lies in the file of its message's day, which may be long before its own.
        """
        days: dict[int, int] = {}
        for day in self._files.days_logged_after(after_event):
            if len(days) >= limit and sorted(days)[limit - 1] < first_id_of(day):
                break  # no event is older than its message
            with self._reader(day) as connection:
                found: list[int] = []
                for (packed,) in connection.execute(
                    "SELECT ids FROM event_log WHERE account = ?1 AND first <= ?3 AND first >= coalesce("
                    "(SELECT max(first) FROM event_log WHERE account = ?1 AND first <= ?2), 0) ORDER BY first",
                    (account, after_event, through_event),
                ):
                    ids = array("q")
                    ids.frombytes(packed)
                    found += [event for event in ids if after_event < event <= through_event]
                    if len(found) >= limit:
                        break
            days.update(dict.fromkeys(islice(found, limit), day))
        wanted = sorted(days)[:limit]
        by_day: dict[int, list[int]] = {}
        for event in wanted:
            by_day.setdefault(days[event], []).append(event)
        events: dict[int, Event] = {}
        for day, some in by_day.items():
            self._load_events(day, some, events)
        return [events[event] for event in wanted]

    def logged_range(self, account: int) -> tuple[int, int]:
        """The oldest and newest event id of an account for readers with a cursor that is kept, 0 for none."""
        oldest = newest = 0
        for day in self._files.days_logged_after(0):
            with self._reader(day) as connection:
                first, last = connection.execute(
                    "SELECT (SELECT min(first) FROM event_log WHERE account = ?1), (SELECT last FROM event_log"
                    " WHERE account = ?1 ORDER BY first DESC LIMIT 1)",
                    (account,),
                ).fetchone()
            if first is not None:
                oldest = min(oldest or first, first)
                newest = max(newest, last)
        return oldest, newest

    def _load_events(self, day: int, ids: Sequence[int], events: dict[int, Event]) -> None:
        """Add those of the events that live in a day's file."""
        receipts: list[Receipt] = []
        with self._reader(day) as connection:
            for some in chunks(ids):
                these = f"WHERE id IN ({holes(len(some))})"
                rows = connection.execute(f"SELECT * FROM receipt {these}", tuple(some))
                receipts += [Receipt(*row) for row in rows]
                for row in connection.execute(f"SELECT * FROM inbound {these}", tuple(some)):
                    inbound = Inbound(*row)
                    events[inbound.id] = Event(inbound.id, inbound.account, inbound=inbound)
                for row in connection.execute(f"SELECT * FROM notice {these}", tuple(some)):
                    notice = Notice(*row)
                    events[notice.id] = Event(notice.id, notice.account, notice=notice)
        parts = {part.id: part for part in self._parts_of_day(day, sorted({r.part_id for r in receipts}))}
        for told in receipts:
            events[told.id] = Event(told.id, told.account, part=parts[told.part_id], receipt=told)

    def accounts_with_pending_events(self) -> dict[int, int]:
        """account -> number of undelivered events."""
        return merged([self._events.counts(), *list(self._files.old_events.values())])

    def parked(self, after_id: int, limit: int) -> list[ParkedReceipt]:
        """Parked receipts, by id."""
        found: list[ParkedReceipt] = []
        for day in self._files.unsealed():
            with self._reader(day) as connection:
                rows = connection.execute(
                    "SELECT * FROM parked WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit - len(found))
                )
                found += [ParkedReceipt(*row) for row in rows]
            if len(found) >= limit:
                break
        return found

    def parked_for(self, carrier: int, smsc_message_ids: Sequence[str]) -> list[ParkedReceipt]:
        """Parked receipts of a carrier that name one of these ids, by id."""
        found: list[ParkedReceipt] = []
        for day in self._files.unsealed():
            with self._reader(day) as connection:
                for some in chunks(smsc_message_ids):
                    rows = connection.execute(
                        f"SELECT * FROM parked WHERE carrier = ? AND smsc_message_id IN ({holes(len(some))})",
                        (carrier, *some),
                    )
                    found += [ParkedReceipt(*row) for row in rows]
        found.sort(key=lambda parked: parked.id)
        return found

    def find_by_smsc_id(self, carrier: int, smsc_message_ids: Sequence[str]) -> dict[str, int]:
        """smsc_message_id -> newest part id, for those that `remember_smsc_ids` or an indexed day knows.

        Ids are those given to `remember_smsc_ids`; a past day's index knows them as they stand in the attempts.
        Looks `lookback_days` back.
        """
        files = self._files
        found: dict[str, int] = {}
        missing = list(dict.fromkeys(smsc_message_ids))
        for day in self._recent_days():
            path = files.path(day)
            places = [(path, "carrier_map")]
            if day in files.searchable:
                places.append((search_path(path), "by_smsc_id"))
            for place, table in places:
                for some in chunks(missing):
                    with self._lend(place) as connection:
                        rows = connection.execute(
                            f"SELECT smsc_message_id, max(part_id) FROM {table} WHERE carrier = ?"
                            f" AND smsc_message_id IN ({holes(len(some))}) GROUP BY smsc_message_id",
                            (carrier, *some),
                        ).fetchall()
                    for smsc_id, part_id in rows:
                        found[smsc_id] = max(part_id, found.get(smsc_id, 0))
            missing = [smsc_id for smsc_id in missing if smsc_id not in found]
            if not missing:
                break
        return found
