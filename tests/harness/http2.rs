//! A client of HTTP/2 that sends frames made by hand, also those that break the rules.

use std::{io, sync::Arc};

use super::{Connection, certificate::Certificate};

/// A connection on which both sides have said their preface.
pub(crate) struct Http2 {
    pub(crate) connection: Connection,
    input: Vec<u8>,
}

/// A frame of the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What a client needs that trusts this certificate and speaks nothing but HTTP/2.
pub(crate) fn client(certificate: &Certificate) -> Arc<rustls::ClientConfig> {
    let mut client = (*certificate.client()).clone();
    client.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(client)
}

impl Http2 {
    /// Connects to this port of 127.0.0.1, with a [`client`].
    pub(crate) fn open(port: u16, client: &Arc<rustls::ClientConfig>) -> Self {
        Self::open_with(port, client, &[])
    }

    /// The same with the client's own settings.
    pub(crate) fn open_with(port: u16, client: &Arc<rustls::ClientConfig>, settings: &[u8]) -> Self {
        let mut http2 = Self {
            connection: Connection::open_tls(port, Arc::clone(client), "localhost"),
            input: Vec::new(),
        };
        let preface = [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            &frame(SETTINGS, 0, 0, settings),
        ]
        .concat();
        http2.connection.send(preface).unwrap();
        http2
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.connection.send(frame(kind, flags, stream, payload)).unwrap();
    }

    /// A request with these fields and no body.
    pub(crate) fn request(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, WHOLE, stream, &block(fields));
    }

    /// The next frame of this kind; what comes before it is passed over.
    #[track_caller]
    pub(crate) fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().expect("a frame");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    pub(crate) fn frame(&mut self) -> io::Result<Frame> {
        let head = self.take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: self.take(length as usize)?,
        })
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            let mut piece = [0; 4096];
            match self.connection.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.input.extend_from_slice(&piece[..read]),
            }
        }
        let rest = self.input.split_off(length);
        Ok(std::mem::replace(&mut self.input, rest))
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals that no table learns (RFC 7541 §6.2.2).
pub(crate) fn block<T: AsRef<[u8]>>(fields: &[(T, T)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    block
}

/// Did a read wait in vain? The connection is open then.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A good request.
pub(crate) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/"),
];

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 0x20;
pub(crate) const FLOW_CONTROL_ERROR: [u8; 4] = [0, 0, 0, 3];
pub(crate) const STREAM_CLOSED: [u8; 4] = [0, 0, 0, 5];
pub(crate) const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
pub(crate) const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
pub(crate) const FRAME_SIZE_ERROR: [u8; 4] = [0, 0, 0, 6];
pub(crate) const COMPRESSION_ERROR: [u8; 4] = [0, 0, 0, 9];
