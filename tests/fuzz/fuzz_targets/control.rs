//! A process that sends anything on its control socket: what is understood is what would be sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::control::{FromProxy, FromWorker, FromZygote, ToProxy, ToWorker, ToZygote};

macro_rules! round_trip {
    ($bytes:expr, $($message:ty),*) => {
        $(if let Ok(message) = <$message>::decode($bytes) {
            assert_eq!(message.encode(), $bytes);
        })*
    };
}

fuzz_target!(|bytes: &[u8]| {
    round_trip!(bytes, ToProxy, FromProxy, ToZygote, FromZygote, ToWorker, FromWorker);
});
