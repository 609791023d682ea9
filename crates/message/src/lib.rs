//! HTTP's vocabulary (RFC 9110), the same for both of its versions: heads, fields, paths and bodies, a
//! request as understood, and the client as whatever answers sees it. Nothing in here reads or writes a
//! socket.

pub mod accept;
pub mod answer;
pub mod authority;
pub mod chunked;
pub mod client_error;
pub mod connection;
pub mod date;
pub mod downstream;
pub mod duplex;
pub mod error_page;
pub mod field_name;
pub mod fields;
pub mod forwarding_fields;
pub mod head;
pub mod passing;
pub mod path;
pub mod refusal;
pub mod refused;
pub mod request;
pub mod request_line;
pub mod token;
