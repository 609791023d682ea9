//! Whole-binary tests: the real executable, real interpreters, real clients.
//!
//! One test binary, one module per subject; `harness` starts sites and speaks to them. Applications live in `tests/apps`, one
//! directory per behaviour. Everything a test makes is below `target/` (what other users must reach: in `/tmp`), and is kept when the test fails.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod harness;

mod access_log;
mod app_output;
mod asgi_channels;
mod asgi_check;
mod asgi_fastapi;
mod asgi_grid;
mod asgi_quart;
mod asgi_reload;
mod asgi_starlette;
mod asgi_streams;
mod browser;
mod busy;
mod check;
mod compare;
mod connections;
mod control;
mod crashes;
mod demo;
mod django;
mod env_file;
mod error_log;
mod expect;
mod files;
mod first;
mod flask;
mod forwarded;
mod green;
mod hostile;
mod http1;
mod http2;
mod http2_applications;
mod http2_parity;
mod http2_refused;
mod idle_memory;
mod leaving;
mod life;
mod parity;
mod processes;
mod projects;
mod proxy_again;
mod queue;
mod reload;
mod routes;
mod scopes;
mod silent_names;
mod slow_clients;
mod start_and_check;
mod threads;
mod timeouts;
mod tls;
mod too_large;
mod unit;
mod unshared;
mod upstream;
mod wsgi;
mod wsgi_answers;
mod wsgi_websockets;
