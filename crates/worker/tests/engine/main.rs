//! The engine in real interpreters, with the supervisor and the proxy played by the test.

mod life;
mod link;
mod rig;
mod wsgi;

/// An application with one path per behaviour.
const APP: &str = include_str!("app.py");
