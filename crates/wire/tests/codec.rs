//! What is written is read back, and whatever else arrives is an error and never a panic.

use proptest::prelude::*;
use wire::{
    Malformed,
    control::{FromProxy, FromWorker, FromZygote, ToProxy, ToWorker, ToZygote},
    frame::{self, AbortReason, FileRange, Header, Kind, Return, TRAY_BYTES, TRAYS_MAX, Tray},
    request::{HeadersWriter, Request},
    response::{Response, Trailers},
    websocket::{Accept, Close},
};

/// A request head that owns its texts.
#[derive(Debug, Clone)]
struct Owned {
    numbers: (u16, u8, bool, bool, (u16, u16), u32, u64, u16, u16),
    texts: [Vec<u8>; 8],
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Owned {
    fn borrowed(&self) -> Request<'_> {
        let (entry, version, https, websocket, tls, deadline_ms, content_length, client_port, server_port) =
            self.numbers;
        let (tls_version, cipher_suite) = tls;
        let [method, path, mount, query, target, client, server, request_id] = &self.texts;
        Request {
            entry,
            version,
            https,
            websocket,
            tls_version,
            cipher_suite,
            deadline_ms,
            content_length,
            client_port,
            server_port,
            method,
            path,
            mount,
            query,
            target,
            client,
            server,
            request_id,
            headers: Default::default(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.borrowed().encode(&mut out);
        let mut headers = HeadersWriter::begin(&mut out);
        for (name, value) in &self.headers {
            headers.put(&mut out, name, value);
        }
        headers.finish(&mut out);
        out
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    prop::collection::vec((bytes(), bytes()), 0..12)
}

fn request() -> impl Strategy<Value = Owned> {
    let version = prop::sample::select(vec![10u8, 11, 20]);
    let numbers = (
        any::<u16>(),
        version,
        any::<bool>(),
        any::<bool>(),
        any::<(u16, u16)>(),
        any::<u32>(),
        any::<u64>(),
        any::<u16>(),
        any::<u16>(),
    );
    let texts = prop::array::uniform8(bytes());
    (numbers, texts, headers()).prop_map(|(numbers, texts, headers)| Owned {
        numbers,
        texts,
        headers,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Request,
        Kind::Body,
        Kind::Credit,
        Kind::Cancel,
        Kind::Response,
        Kind::Data,
        Kind::File,
        Kind::Abort,
        Kind::Informational,
        Kind::Trailers,
        Kind::Accept,
        Kind::Return,
        Kind::Tray,
        Kind::Socket,
        Kind::Message,
        Kind::Close,
    ])
}

/// Takes every whole frame off a buffer, as a receiver does.
fn frames(mut buffer: &[u8]) -> Result<Vec<(Header, Vec<u8>)>, Malformed> {
    let mut found = Vec::new();
    while let Some((frame, used)) = frame::split(buffer)? {
        found.push((frame.header, frame.payload.to_vec()));
        buffer = &buffer[used..];
    }
    Ok(found)
}

proptest! {
    #[test]
    fn a_request_is_read_back_with_its_body(request in request(), body in bytes()) {
        let mut payload = request.encode();
        payload.extend_from_slice(&body);
        let (read, rest) = Request::decode(&payload).unwrap();
        prop_assert_eq!(rest, &body[..]);
        let fields: Vec<_> = read.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(read.headers.len(), request.headers.len());
        prop_assert_eq!(fields, request.headers.clone());
        let texts = Request { headers: Default::default(), ..read };
        prop_assert_eq!(texts, request.borrowed());
    }

    #[test]
    fn a_cut_request_is_an_error(request in request(), cut in any::<prop::sample::Index>()) {
        let payload = request.encode();
        let cut = cut.index(payload.len());
        prop_assert!(Request::decode(&payload[..cut]).is_err());
    }

    #[test]
    fn a_response_is_read_back_with_its_body(
        status in 200u16..=999, reason in bytes(), headers in headers(), body in bytes(),
    ) {
        let mut payload = Vec::new();
        let mut writer = Response::encode(status, &reason, &mut payload);
        for (name, value) in &headers {
            writer.put(&mut payload, name, value);
        }
        writer.finish(&mut payload);
        let mut longer = payload.clone();
        Response::append_field(&mut longer, b"Content-Length", b"12").unwrap();
        let (read, rest) = Response::decode(&longer).unwrap();
        prop_assert_eq!((read.status, read.reason, rest), (status, &reason[..], &b""[..]));
        let one_more = [(&b"Content-Length"[..], &b"12"[..])];
        prop_assert!(read.headers.iter().eq(headers.iter().map(|(name, value)| (&name[..], &value[..])).chain(one_more)));
        payload.extend_from_slice(&body);
        let (read, rest) = Response::decode(&payload).unwrap();
        prop_assert_eq!((read.status, read.reason, rest), (status, &reason[..], &body[..]));
        let fields: Vec<_> = read.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(fields, headers);
    }

    #[test]
    fn what_opens_and_closes_a_websocket_is_read_back(
        subprotocol in bytes(), headers in headers(), code: u16, reason in "[a-z\u{e9}]{0,60}",
    ) {
        let mut payload = Vec::new();
        let mut writer = Accept::encode(&subprotocol, &mut payload);
        for (name, value) in &headers {
            writer.put(&mut payload, name, value);
        }
        writer.finish(&mut payload);
        let read = Accept::decode(&payload).unwrap();
        let fields: Vec<_> = read.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!((read.subprotocol, fields), (&subprotocol[..], headers));
        let mut payload = Vec::new();
        Close { code, reason: &reason }.encode(&mut payload);
        prop_assert_eq!(Close::decode(&payload), Ok(Close { code, reason: &reason }));
    }

    #[test]
    fn trailers_are_read_back_and_nothing_may_follow(headers in headers()) {
        let mut payload = Vec::new();
        let mut writer = HeadersWriter::begin(&mut payload);
        for (name, value) in &headers {
            writer.put(&mut payload, name, value);
        }
        writer.finish(&mut payload);
        let read = Trailers::decode(&payload).unwrap();
        let fields: Vec<_> = read.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(fields, headers);
        payload.push(0);
        prop_assert!(Trailers::decode(&payload).is_err());
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_arrive(
        sent in prop::collection::vec((any::<u32>(), kind(), 0u8..32, bytes()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut wire = Vec::new();
        for (stream, kind, flags, payload) in &sent {
            frame::put(&mut wire, *stream, *kind, *flags, payload);
        }
        let whole = frames(&wire).unwrap();
        let expected: Vec<_> = sent.iter().map(|(stream, kind, flags, payload)| {
            let header = Header { len: payload.len() as u32, stream: *stream, kind: *kind, flags: *flags };
            (header, payload.clone())
        }).collect();
        prop_assert_eq!(&whole, &expected);
        // A prefix gives a prefix, never something else.
        let cut = cut.index(wire.len() + 1);
        prop_assert!(expected.starts_with(&frames(&wire[..cut]).unwrap()));
    }

    #[test]
    fn a_file_range_is_read_back_and_never_overflows(offset: u64, len: u64) {
        let read = FileRange::decode(&FileRange { offset, len }.encode());
        prop_assert_eq!(read.is_ok(), offset.checked_add(len).is_some());
    }

    #[test]
    fn a_return_is_read_back(ticket: u32, shared: bool) {
        let back = Return { ticket, shared };
        prop_assert_eq!(Return::decode(&back.encode()), Ok(back));
        prop_assert!(Return::decode(&back.encode()[..4]).is_err());
    }

    #[test]
    fn a_tray_is_read_back_within_its_limits(number in 0..2 * TRAYS_MAX, len in 0..2 * TRAY_BYTES) {
        let tray = Tray { number, len };
        let read = Tray::decode(&tray.encode());
        if number < TRAYS_MAX && len <= TRAY_BYTES {
            prop_assert_eq!(read, Ok(tray));
        } else {
            prop_assert!(read.is_err());
        }
        prop_assert!(Tray::decode(&tray.encode()[..7]).is_err());
        prop_assert!(Tray::decode(&[&tray.encode()[..], &[0]].concat()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics(request in request(), at in any::<prop::sample::Index>(), with: u8) {
        let mut bytes = request.encode();
        let at = at.index(bytes.len());
        bytes[at] = with;
        read_everything(&bytes);
    }

    #[test]
    fn control_messages_are_read_back(link: u64, slot: u32, text in ".{0,50}", flag: bool) {
        let to_proxy = ToProxy::Link { link, app: text.clone(), slot, pid: 7, evented: flag, concurrency: slot };
        prop_assert_eq!(ToProxy::decode(&to_proxy.encode()), Ok(to_proxy.clone()));
        let down = ToProxy::AppDown { app: text.clone(), down: flag };
        prop_assert_eq!(ToProxy::decode(&down.encode()), Ok(down));
        let failed = FromWorker::Failed { step: text.clone(), message: String::new(), traceback: text.clone() };
        prop_assert_eq!(FromWorker::decode(&failed.encode()), Ok(failed));
        let addresses = vec![slot.to_be_bytes().into(), u128::from(link).to_be_bytes().into()];
        let told = FromProxy::Addresses { host: text, addresses };
        prop_assert_eq!(FromProxy::decode(&told.encode()), Ok(told));
        let mut longer = to_proxy.encode();
        longer.push(0);
        prop_assert!(ToProxy::decode(&longer).is_err());
    }
}

fn read_everything(bytes: &[u8]) {
    let _ = frames(bytes);
    let _ = AbortReason::decode(bytes);
    let _ = FileRange::decode(bytes);
    let _ = Return::decode(bytes);
    let _ = Tray::decode(bytes);
    if let Ok((request, _)) = Request::decode(bytes) {
        assert_eq!(request.headers.iter().count(), request.headers.len());
    }
    if let Ok((response, _)) = Response::decode(bytes) {
        assert_eq!(response.headers.iter().count(), response.headers.len());
    }
    let _ = Response::decode_informational(bytes);
    let _ = Trailers::decode(bytes);
    let _ = Accept::decode(bytes);
    let _ = Close::decode(bytes);
    let _ = ToProxy::decode(bytes);
    let _ = FromProxy::decode(bytes);
    let _ = ToZygote::decode(bytes);
    let _ = FromZygote::decode(bytes);
    let _ = ToWorker::decode(bytes);
    let _ = FromWorker::decode(bytes);
}

#[test]
fn a_payload_over_the_limit_is_refused_before_it_is_read() {
    let mut wire = Vec::new();
    frame::put(&mut wire, 1, Kind::Data, 0, b"");
    wire[..4].copy_from_slice(&(frame::PAYLOAD_MAX as u32 + 1).to_le_bytes());
    assert!(frame::split(&wire).is_err());
}

#[test]
fn unknown_kinds_and_flags_are_refused() {
    let mut wire = Vec::new();
    frame::put(&mut wire, 1, Kind::Data, 0, b"");
    for (at, value) in [(8, 0), (8, 26), (9, 64), (10, 1)] {
        let mut damaged = wire.clone();
        damaged[at] = value;
        assert!(frame::split(&damaged).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn a_descriptor_comes_with_a_socket_and_with_a_tray_that_is_new() {
    let carries = |kind, flags| {
        let (len, stream) = (0, 1);
        let header = Header {
            len,
            stream,
            kind,
            flags,
        };
        header.carries_descriptor()
    };
    assert!(carries(Kind::Tray, frame::BODY_FD) && carries(Kind::Tray, frame::BODY_FD | frame::END));
    assert!(carries(Kind::Socket, 0) && carries(Kind::Socket, frame::END));
    assert!(!carries(Kind::Tray, frame::END) && !carries(Kind::Data, frame::BODY_FD));
}
