//! The WSGI host, PEP 3333: one file per noun of the PEP.

pub(crate) mod call;
pub(crate) mod client_socket;
pub(crate) mod early_hints;
pub(crate) mod environ;
pub(crate) mod exchange;
pub(crate) mod file_wrapper;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod input;
pub(crate) mod memo;
pub(crate) mod start_response;
