//! The ASGI host, versions 3 and 2: one file per noun of the specification.
//!
//! * [`server`]: the life of the event loop in a worker: boot, serve, leave.
//! * [`event_loop`]: asyncio's or uvloop's, and what is asked of it.
//! * [`host`]: gives what arrives to the stream it belongs to, and sends once per turn.
//! * [`scope`]: the request as a dict.
//! * [`call`]: the coroutine that a task runs: the application's own, with its beginning and its end.
//! * [`exchange`]: one HTTP request and its answer; [`body`] is what it receives, [`answer`], [`head`] and
//!   [`file_body`] what it sends.
//! * [`websocket`]: one WebSocket; [`conversation`] is what both sides say on it.
//! * [`event`]: an event of the application, taken apart.
//! * [`channel`]: `receive` and `send` as the application sees them, and what they return.
//! * [`lifespan`]: startup and shutdown of the application.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod channel;
pub(crate) mod conversation;
pub(crate) mod event;
pub(crate) mod event_loop;
pub(crate) mod exchange;
pub(crate) mod file_body;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod lifespan;
pub(crate) mod scope;
pub(crate) mod server;
pub(crate) mod websocket;
