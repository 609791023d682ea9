//! A WebSocket client over the plain one: frames out, whole messages in.

use std::io;

use super::{Connection, Response};

/// What arrives on a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Bytes(Vec<u8>),
    /// Code (1005 when the server said none) and reason.
    Close(u16, String),
    /// The connection ended without a close.
    Lost,
}

/// An open WebSocket.
pub(crate) struct WebSocket {
    connection: Connection,
    /// The server's answer to the handshake.
    pub(crate) answer: Response,
}

impl WebSocket {
    /// Opens one; panics when the server does not want to.
    #[track_caller]
    pub(crate) fn open(port: u16, target: &str) -> Self {
        Self::ask(Connection::open(port), target, &[])
            .unwrap_or_else(|answer| panic!("no WebSocket at {target}: {answer:?} {}", answer.text()))
    }

    /// Asks for one over a connection; an answer other than 101 is the error.
    #[track_caller]
    pub(crate) fn ask(
        mut connection: Connection,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        // The key of the RFC, whose answer is known.
        let mut fields = vec![
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        fields.extend_from_slice(headers);
        let answer = connection.request("GET", target, &fields, b"");
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        Ok(Self { connection, answer })
    }

    /// Sends a text message.
    pub(crate) fn text(&mut self, text: &str) {
        self.frame(1, text.as_bytes());
    }

    /// Sends a close.
    pub(crate) fn close(&mut self, code: u16) {
        self.frame(8, &code.to_be_bytes());
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        // A mask like any other, under which the payload stays as it is.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.connection.send(frame).unwrap();
    }

    /// The next message; pings are answered.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Message {
        match self.read_message() {
            Ok(message) => message,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                Message::Lost
            }
            Err(error) => panic!("no message: {error}"),
        }
    }

    /// The next message, which is a text.
    #[track_caller]
    pub(crate) fn read_text(&mut self) -> String {
        match self.read() {
            Message::Text(text) => text,
            other => panic!("no text but {other:?}"),
        }
    }

    fn read_message(&mut self) -> io::Result<Message> {
        let (mut whole, mut text) = (Vec::new(), false);
        loop {
            let mut head = [0; 2];
            self.read_exact(&mut head)?;
            let mut size = u64::from(head[1]);
            if size > 125 {
                let mut long = [0; 8];
                let from = if size == 126 { 6 } else { 0 };
                self.read_exact(&mut long[from..])?;
                size = u64::from_be_bytes(long);
            }
            let mut payload = vec![0; usize::try_from(size).unwrap()];
            self.read_exact(&mut payload)?;
            match head[0] & 0x0f {
                8 if payload.len() < 2 => return Ok(Message::Close(1005, String::new())),
                8 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    let reason = String::from_utf8(payload.split_off(2)).unwrap();
                    return Ok(Message::Close(code, reason));
                }
                9 => self.frame(10, &payload),
                10 => {}
                opcode => {
                    text |= opcode == 1;
                    whole.extend(payload);
                    if head[0] & 0x80 != 0 {
                        return Ok(if text {
                            Message::Text(String::from_utf8(whole).unwrap())
                        } else {
                            Message::Bytes(whole)
                        });
                    }
                }
            }
        }
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.connection.read(buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                size => buffer = &mut buffer[size..],
            }
        }
        Ok(())
    }
}

impl super::Site {
    /// A site of the framework application `tests/apps/APP` under ASGI, in the virtualenv of all frameworks, with `keys` in its
    /// `[app.web]` and `more` sections. It finds the site's directory in `$GATE`.
    pub(crate) fn of_asgi(test: &str, app: &str, target: &str, keys: &str, more: &str) -> Self {
        let venv = super::python::virtualenv(super::python::python(), super::python::ASGI_PACKAGES);
        let keys = format!("asgi = \"{target}\"\nvenv = \"{}\"\n{keys}", venv.display());
        Self::of_app(test, app, &keys, more)
    }

    /// A WebSocket to the site.
    #[track_caller]
    pub(crate) fn websocket(&self, target: &str) -> WebSocket {
        WebSocket::open(self.port, target)
    }
}
