//! The access record, its formats and sinks, and the error log.
//!
//! One request is one [`Record`]. It is opened with [`AccessLog::open`] when the request is first seen, filled as the
//! request travels, and becomes exactly one access line when its [`OpenRecord`] is finished or dropped.

mod error;
mod open_record;
mod outcome;
mod record;
mod remote;

mod combined;
mod json;
mod stamp;

mod channel;
mod log_file;
mod output;
mod room;
mod writer;
mod writer_thread;

mod access_log;
mod sink;
mod thread_buffer;

mod app_output;
pub mod error_log;
mod escape;
mod event_line;
mod event_queue;

pub use access_log::AccessLog;
pub use error::Error;
pub use log_file::{Fifo, look_at_fifo, open_for_append};
pub use open_record::OpenRecord;
pub use outcome::Outcome;
pub use record::{Protocol, Record, Scheme, Tls};
pub use remote::Remote;
