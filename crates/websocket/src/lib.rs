//! The WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692), as the server speaks it. No IO and
//! no clock.
//!
//! [`handshake`] checks what a client asks for and agrees on an extension. [`reader`] takes the client's
//! bytes as they come and gives messages in parts: nothing is gathered, so a large message costs no more
//! memory than a small one, and what is wrong with it is found at its first wrong byte. [`writer`] frames
//! what goes to the client. [`passing`] is for an application that speaks the protocol itself: it only finds
//! where frames end.
//!
//! Memory: we agree to compression only without context takeover in both directions, which a server may
//! demand (RFC 7692 §7.1.1). So what compresses and unpacks is needed for the length of one message and
//! shared by the connections of a thread (`deflate`); an idle WebSocket holds no compression memory at all,
//! where takeover would cost about 250 KiB each. What is lost is the similarity of one small message to the
//! last one.

pub mod close;
mod code;
mod deflate;
pub mod extension;
#[cfg(any(test, feature = "frames"))]
pub mod frames;
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
mod header;
mod mask;
pub mod passing;
pub mod reader;
#[cfg(test)]
mod tests;
mod utf8;
mod violation;
pub mod writer;

pub use violation::Violation;
