//! The engine in real interpreters, with the supervisor and the proxy played by the test.

mod asgi;
mod asgi_endless;
mod green;
#[path = "../../../../tests/harness/interpreter.rs"]
mod interpreter;
mod lent;
mod life;
mod lifespan;
mod link;
mod patched;
mod rig;
mod socket;
mod targets;
mod trays;
mod unshared;
mod websocket;
mod wsgi;

/// An application with one path per behaviour.
const APP: &str = include_str!("app.py");

/// The same for ASGI.
const ASGI_APP: &str = include_str!("asgi_app.py");
