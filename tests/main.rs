//! Whole-binary tests: the real executable, real interpreters, real clients.
//!
//! One test binary, one module per subject; `harness` starts sites and speaks to them. Applications live in `tests/apps`, one
//! directory per behaviour. Everything a test makes is below `target/`, and is kept when the test fails.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod harness;

mod django;
mod first;
mod flask;
