//! Starting real sites and speaking to them.

pub(crate) mod app;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod curl;
pub(crate) mod http2;
pub(crate) mod interpreter;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod name_server;
pub(crate) mod nginx;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod python;
pub(crate) mod site;
pub(crate) mod upstream;
pub(crate) mod wait;
pub(crate) mod websocket;

pub(crate) use client::{Connection, Response};
pub(crate) use ports::free_port;
pub(crate) use site::Site;
pub(crate) use wait::wait_for;
pub(crate) use websocket::{Message, WebSocket};

use std::path::{Path, PathBuf};

/// The checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/appliance is two levels below the workspace")
}

/// Where everything that tests make goes.
pub(crate) fn scratch() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("tests")
}
