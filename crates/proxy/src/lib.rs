//! nginx's role: listeners, TLS, HTTP, files, upstreams and the hop to the workers.
//!
//! The way of a request: [`listening`] accepts, [`listener`] speaks TLS; [`front`] reads an HTTP/1 head (or
//! gives an HTTP/2 connection to [`phases`]); [`serve`] understands the request and finds its route; one of
//! [`files`], [`respond`], [`app`], [`upstream`] answers through the
//! [`Downstream`](message::downstream::Downstream) trait.

mod app;
mod boot;
mod context;
mod control;
mod drain;
mod errors;
mod files;
mod filter;
mod forwarded;
mod front;
mod idle_memory;
mod layers;
mod listener;
mod listening;
mod os;
mod patience;
mod phases;
mod process;
mod redirect;
mod respond;
mod router;
mod serve;
mod tls;
mod unix_socket;
mod upstream;

#[doc(hidden)]
pub use app::fuzz as fuzz_link;
#[doc(hidden)]
pub use front::bench;
pub use process::run;
pub use tls::{CertificatesChecked, check_certificates};
