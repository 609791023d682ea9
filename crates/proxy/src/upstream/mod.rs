//! Servers outside that speak HTTP: which one is asked, and what is known of each.

mod balance;
mod peers;

pub(crate) use peers::{PeerError, Seat, Upstream};
