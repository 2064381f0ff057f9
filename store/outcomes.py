"""A message's end out of its parts' ends."""

from collections.abc import Sequence

from store.model import FINAL_STATES, NO_ERROR, Part, State


def message_outcome(parts: Sequence[Part]) -> tuple[State, int, int]:
    """A message's state from its parts: (state, error, when done). Delivered when all are, else the worst."""
    finals = [part for part in parts if part.state in FINAL_STATES]
    failed = [part for part in finals if part.state != State.DELIVERED]
    if failed:
        first = min(failed, key=lambda part: part.done_at)
        return State(first.state), first.error, first.done_at
    if len(finals) == len(parts):
        return State.DELIVERED, NO_ERROR, max(part.done_at for part in parts)
    waiting = min((part for part in parts if part.state not in FINAL_STATES), key=lambda part: part.state)
    return State(waiting.state), NO_ERROR, 0
