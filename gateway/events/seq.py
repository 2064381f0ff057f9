"""Store ids of events as `seq`, the cursor that clients see.

An id has 63 bits, of which JSON readers with floating-point numbers keep 53. The second (33 bits) and the number
within it (20 bits) are 53; what is left out is the node, which is the same for all of one log.
"""

from store.ids import NODE_BITS, NUMBER_MASK, SECOND_BITS

SEQ_MAX = (1 << 53) - 1


def seq_of(event_id: int) -> int:
    """The seq of an event."""
    return (event_id >> SECOND_BITS) << NODE_BITS | event_id & NUMBER_MASK


def id_of_seq(seq: int, node: int) -> int:
    """The id of an event of a node's log by its seq."""
    return (seq >> NODE_BITS) << SECOND_BITS | node << NODE_BITS | seq & NUMBER_MASK
