//! The only unsafe code of this crate: one wrapper per thing the kernel gives that Rust cannot check.

#![allow(unsafe_code)]

mod mapping;
mod read;
mod slab;
mod tray;
mod trim;
mod watch;

pub(crate) use mapping::{Mapping, MappingError};
pub(crate) use read::{append, read};
pub(crate) use slab::Slab;
pub(crate) use tray::{TrayError, TrayMap};
pub(crate) use trim::{renew_kept, trim};
pub(crate) use watch::watch;
