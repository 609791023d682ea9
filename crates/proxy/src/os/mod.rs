//! The only unsafe code of this crate: one wrapper per thing the kernel gives that Rust cannot check.

#![allow(unsafe_code)]

mod mapping;
mod slab;

pub(crate) use mapping::{Mapping, MappingError};
pub(crate) use slab::Slab;
