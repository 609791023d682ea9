//! The far end of a connection.

use std::{
    fmt,
    io::Write,
    net::{IpAddr, SocketAddr},
};

/// The far end of a connection: the peer we accepted, or the client a trusted proxy told us about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remote {
    /// An IP address and its port; the port is 0 where a forwarding field did not tell it.
    Inet(IpAddr, u16),
    /// A Unix socket, which has no address worth telling. Written `unix:`, as nginx does.
    #[default]
    Unix,
}

impl Remote {
    /// A client known by its address only, as X-Forwarded-For tells it.
    #[must_use]
    pub fn from_ip(ip: IpAddr) -> Self {
        Self::Inet(ip.to_canonical(), 0)
    }

    /// The address, unless it is a Unix socket.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Inet(ip, _) => Some(ip),
            Self::Unix => None,
        }
    }

    /// The port, where it is known.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Inet(_, port) if port != 0 => Some(port),
            _ => None,
        }
    }
}

impl Remote {
    /// Appends the address without the port. IPv4 does without the machinery of formatting: every line begins with one.
    pub(crate) fn push(self, out: &mut Vec<u8>) {
        match self {
            Self::Inet(IpAddr::V4(address), _) => {
                for (position, octet) in address.octets().into_iter().enumerate() {
                    if position > 0 {
                        out.push(b'.');
                    }
                    out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            Self::Inet(IpAddr::V6(_), _) | Self::Unix => {
                // Writing to a Vec does not fail.
                let _ = write!(out, "{self}");
            }
        }
    }
}

/// IPv4 addresses that arrive on an IPv6 socket (`::ffff:192.0.2.1`) are told as the IPv4 addresses they are, so that
/// one client has one name in the log whatever the listener.
impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address.ip().to_canonical(), address.port())
    }
}

/// The address without the port.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(ip, _) => ip.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}
