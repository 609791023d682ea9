"""The rules, in the order of the grid."""

from rules import scope, receive, send, errors, extensions, websocket, websocket_errors, lifespan  # noqa: E402, F401, I001
