//! Memory files that processes of this program share: made, sealed and mapped.
//!
//! A file is made by one process and handed on as a descriptor. Its seals are what makes a mapping safe: a
//! file that cannot become shorter takes no page away from who has it mapped, and touching a page that is
//! gone is a SIGBUS. Who may still write decides what a mapping gives out:
//!
//! | file | made and written by | read by | mapped as |
//! |---|---|---|---|
//! | configuration, certificates, engine | supervisor, before the seal | proxy, interpreter | not at all ([`file`]) |
//! | page of a link | proxy and worker, word by word | both | [`Words`]: atomic words |
//! | slab, for bodies of requests | proxy alone | workers | [`Exclusive`]: bytes; at the other end [`Reader`] |
//! | tray, for answers | worker | proxy | [`Writer`]: to be written only; at the other end [`Reader`] |
//!
//! What another process may write is not `&[u8]`, whose bytes stay as they are by Rust's rules. It is
//! [`Shared`], which can be copied: only a copy can be looked at twice and be the same.

#![allow(unsafe_code)]

mod error;
mod exclusive;
pub mod file;
mod map;
mod reader;
mod shared;
mod words;
mod writer;

pub use error::Error;
pub use exclusive::Exclusive;
pub use reader::Reader;
pub use shared::Shared;
pub use words::Words;
pub use writer::Writer;
