//! The only unsafe code of this crate: one wrapper per thing the kernel gives that Rust cannot check.

#![allow(unsafe_code)]

mod mapping;

pub(crate) use mapping::{Mapping, MappingError};
