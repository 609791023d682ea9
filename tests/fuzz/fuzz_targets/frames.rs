//! A peer that sends anything on a link: frames are split, and every payload is read as what its header says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{
    frame::{self, AbortReason, FileRange, Kind, Return, Tray},
    request::Request,
    response::{Response, Trailers},
    websocket::{Accept, Close},
};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((frame, used))) = frame::split(rest) {
        assert!(used <= rest.len() && used >= frame::HEADER_LEN);
        match frame.header.kind {
            Kind::Request => {
                if let Ok((request, body)) = Request::decode(frame.payload) {
                    assert_eq!(request.headers.iter().count(), request.headers.len());
                    assert!(frame.payload.ends_with(body));
                }
            }
            Kind::Response => {
                if let Ok((response, body)) = Response::decode(frame.payload) {
                    assert_eq!(response.headers.iter().count(), response.headers.len());
                    assert!(frame.payload.ends_with(body));
                }
            }
            Kind::File => {
                if let Ok(range) = FileRange::decode(frame.payload) {
                    assert_eq!(range.encode(), frame.payload);
                }
            }
            Kind::Abort => {
                let _ = AbortReason::decode(frame.payload);
            }
            Kind::Informational => {
                if let Ok(response) = Response::decode_informational(frame.payload) {
                    assert_eq!(response.headers.iter().count(), response.headers.len());
                }
            }
            Kind::Trailers => {
                if let Ok(fields) = Trailers::decode(frame.payload) {
                    assert_eq!(fields.iter().count(), fields.len());
                }
            }
            Kind::Accept => {
                if let Ok(accept) = Accept::decode(frame.payload) {
                    assert_eq!(accept.headers.iter().count(), accept.headers.len());
                }
            }
            Kind::Return => {
                if let Ok(back) = Return::decode(frame.payload) {
                    assert_eq!(back.encode(), frame.payload);
                }
            }
            Kind::Tray => {
                if let Ok(tray) = Tray::decode(frame.payload) {
                    assert_eq!(tray.encode(), frame.payload);
                }
            }
            Kind::Close => {
                if let Ok(close) = Close::decode(frame.payload) {
                    let mut again = Vec::new();
                    close.encode(&mut again);
                    assert_eq!(again, frame.payload);
                }
            }
            Kind::Body | Kind::Credit | Kind::Cancel | Kind::Data | Kind::Message | Kind::Socket => {}
        }
        rest = &rest[used..];
    }
});
