//! An application that prints anything, our markers among it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| supervisor::fuzz_lines::print(bytes));
