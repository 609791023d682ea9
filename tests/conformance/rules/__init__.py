"""The rules, in the order of the grid."""

from rules import scope, receive, send, errors, extensions  # noqa: F401, I001
from rules import websocket, websocket_messages, websocket_ends, websocket_errors, lifespan  # noqa: F401, I001
