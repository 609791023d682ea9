//! The only unsafe code of this crate: one wrapper per thing the kernel gives that Rust cannot check.

#![allow(unsafe_code)]

mod read;
mod trim;
mod watch;

pub(crate) use read::{append, read};
pub(crate) use trim::{renew_kept, trim};
pub(crate) use watch::watch;
