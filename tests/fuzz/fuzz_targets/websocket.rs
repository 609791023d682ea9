//! Whatever a WebSocket client sends: no panic, no message past its limit, no part past the room given.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proxy::fuzz::read(bytes));
