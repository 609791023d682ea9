//! Whatever a WebSocket client sends: no panic, no message past its limit, no part past the room given; and
//! of frames that only go past the ends are found however they come.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    websocket::fuzz::read(bytes);
    websocket::fuzz::pass(bytes);
});
