//! Frames and messages between the processes of `appliance`. No dependencies; everything here is bytes in, values out.
//!
//! * [`frame`], [`request`], [`response`], [`websocket`]: the hop between proxy and worker, multiplexed binary frames on a stream socket.
//! * [`file_system`]: which files may travel on the hop.
//! * [`congestion`]: descriptors that the kernel does not pass on at the moment.
//! * [`page`]: the shared page of one link, which answers "was this request started?" even after the worker is dead.
//! * [`control`]: the messages between supervisor, proxy, zygote and worker, one message per `SOCK_SEQPACKET` packet.
//! * [`parts`]: several files in one.
//!
//! Both ends are always the same build of the same binary, so there is no version negotiation. Both ends still treat the
//! other as untrusted input: malformed bytes are an error, never a panic, and lengths are checked before anything is
//! allocated.

pub mod congestion;
pub mod control;
pub mod file_system;
pub mod frame;
pub mod page;
pub mod parts;
pub mod request;
pub mod response;
pub mod websocket;

mod cursor;

/// Bytes that do not follow the protocol: the peer is broken and the connection must be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What was being read.
    pub what: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed {}", self.what)
    }
}

impl std::error::Error for Malformed {}
