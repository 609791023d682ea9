//! A plain HTTP/1 client that hides nothing: what is sent and what comes back is bytes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use super::wait::PATIENCE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// First field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection to a site.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
}

impl Connection {
    /// Plain HTTP.
    pub(crate) fn open(port: u16) -> Self {
        Self::over(connect(port))
    }

    /// Over a stream that is open already.
    pub(crate) fn over(socket: TcpStream) -> Self {
        Self {
            stream: BufReader::new(Box::new(socket.try_clone().unwrap())),
            socket,
        }
    }

    /// HTTPS, with this server name.
    pub(crate) fn open_tls(port: u16, config: Arc<rustls::ClientConfig>, name: &str) -> Self {
        let socket = connect(port);
        let session = rustls::ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap();
        let stream = rustls::StreamOwned::new(session, socket.try_clone().unwrap());
        Self {
            stream: BufReader::new(Box::new(stream)),
            socket,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends a request without body.
    pub(crate) fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", target, headers, b"")
    }

    /// Sends a request and reads the answer. A `Host` of `localhost` is added when there is none.
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(request_bytes(method, target, headers, body)).unwrap();
        self.read_response(method)
            .unwrap_or_else(|error| panic!("no answer to {method} {target}: {error}"))
    }

    /// Reads one answer to a request with this method; interim answers (1xx) are passed over.
    pub(crate) fn read_response(&mut self, method: &str) -> io::Result<Response> {
        loop {
            let mut response = self.read_head()?;
            if (100..200).contains(&response.status) && response.status != 101 {
                continue;
            }
            let bodyless = method == "HEAD" || response.status == 101 || matches!(response.status, 204 | 304);
            if !bodyless {
                response.body = self.read_body(&response)?;
            }
            return Ok(response);
        }
    }

    /// Reads a status line and header fields.
    pub(crate) fn read_head(&mut self) -> io::Result<Response> {
        let line = self.read_line()?;
        let mut parts = line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default();
        let status = parts.next().and_then(|text| text.parse().ok());
        let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("status line {line:?}"),
            ));
        };
        let reason = parts.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("header field {line:?}"))
            })?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Response {
            status,
            reason,
            headers,
            body: Vec::new(),
        })
    }

    fn read_body(&mut self, head: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if head
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            while let Some(chunk) = self.read_chunk()? {
                body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            let length: usize = length.parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, format!("content-length {length:?}"))
            })?;
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            read_to_close(&mut self.stream, &mut body)?;
        }
        Ok(body)
    }

    /// Reads one chunk of a chunked body; `None` at its end.
    pub(crate) fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.read_line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {line:?}")))?;
        if size == 0 {
            while !self.read_line()?.is_empty() {}
            return Ok(None);
        }
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        self.read_line()?;
        Ok(Some(chunk))
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with(b"\r\n") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line without CRLF {line:?}"),
            ));
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Reads some bytes, at most as many as fit.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Has the server closed the connection? Waits for it as long as the harness has patience.
    pub(crate) fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        read_to_close(&mut self.stream, &mut rest).is_ok() && rest.is_empty()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Limits how long a read may wait.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
    }
}

/// A request as bytes.
pub(crate) fn request_bytes(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    let has = |name: &str| headers.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    if !has("host") {
        bytes.extend_from_slice(b"Host: localhost\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() && !has("transfer-encoding") && !has("content-length") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

fn connect(port: u16) -> TcpStream {
    let socket =
        TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("connect to {port}: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads up to the end. A TLS peer that closes without close_notify still has closed.
fn read_to_close(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_to_end(body) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}
