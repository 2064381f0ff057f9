"""SMPP's message states and ours (SMPP 3.4 section 5.2.28), and who wants to hear of which."""

from gateway.smpp.constants import MessageState, RegisteredDelivery
from store.model import State

STATE_OF_MESSAGE_STATE: dict[int, State] = {
    MessageState.DELIVERED: State.DELIVERED,
    MessageState.EXPIRED: State.EXPIRED,
    MessageState.DELETED: State.CANCELLED,
    MessageState.UNDELIVERABLE: State.FAILED,
    MessageState.REJECTED: State.REJECTED,
    MessageState.SKIPPED: State.FAILED,
}
MESSAGE_STATE_OF_STATE = {
    State.DELIVERED: MessageState.DELIVERED,
    State.EXPIRED: MessageState.EXPIRED,
    State.CANCELLED: MessageState.DELETED,
    State.FAILED: MessageState.UNDELIVERABLE,
    State.REJECTED: MessageState.REJECTED,
    State.UNKNOWN: MessageState.UNKNOWN,
}


def wants(registered_delivery: int, message_state: int) -> bool:
    """Whether a customer who asked so wants a receipt of this final state (SMPP 3.4 section 5.2.17)."""
    asked = registered_delivery & 0x03
    if asked == RegisteredDelivery.ALWAYS:
        return True
    if asked == RegisteredDelivery.FAILURE_ONLY:
        return message_state != MessageState.DELIVERED
    if asked == RegisteredDelivery.SUCCESS_ONLY:
        return message_state == MessageState.DELIVERED
    return False
