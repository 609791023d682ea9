//! A worker that sends anything on its link, with descriptors of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proxy::fuzz_link::arrive(bytes));
