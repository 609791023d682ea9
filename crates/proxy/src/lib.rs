//! nginx's role: listeners, TLS, HTTP, files, upstreams and the hop to the workers.
//!
//! The way of a request: [`listener`] accepts and speaks TLS; [`front`] reads an HTTP/1 head (or gives an HTTP/2
//! connection to [`phases`]); [`serve`] understands the request and finds its route; one of [`files`], [`respond`],
//! [`app`] answers through the [`downstream::Downstream`] trait, or pingora takes it to an [`upstream`].

mod answer;
mod app;
mod connection;
mod context;
mod downstream;
mod drain;
mod fields;
mod forwarded;
mod head;
mod os;
mod path;
mod phases;
mod request;
mod tls;
mod upstream;
