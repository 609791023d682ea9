//! What a client asks for: the head of an HTTP/1.1 request.

use std::path::PathBuf;

use super::meant;

/// Headers of a request; curl sends three.
const HEADERS_MAX: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// How does it go?
    Status,
    /// New configuration, new code. `wait`: the answer goes on until that is done.
    Reload { wait: bool },
    /// New log files.
    Reopen,
    /// The end. `now`: what runs is not waited for.
    Stop { now: bool },
}

/// A request whose head has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: Result<Command, Refusal>,
    /// The configuration's file whose server is meant, if the client says so.
    pub(super) conf: Option<PathBuf>,
    /// The answer has no body.
    pub(super) is_head: bool,
}

impl Request {
    /// One of which no more than that is known.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            command: Err(refusal),
            conf: None,
            is_head: false,
        }
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
    /// The method that its target has, where it has come with another.
    pub(super) allow: Option<&'static str>,
}

impl Refusal {
    pub(super) const fn new(status: u16, why: &'static str) -> Self {
        Self {
            status,
            why,
            allow: None,
        }
    }
}

/// `None`: the head has not come to its end.
pub(super) fn parse(bytes: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Request::refused(MALFORMED)),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Some(Request::refused(MALFORMED));
    };
    let mut headers = request.headers.iter();
    let conf = headers
        .find(|header| header.name.eq_ignore_ascii_case(meant::NAME))
        .map(|header| meant::decoded(header.value));
    Some(Request {
        command: match conf {
            Some(None) => Err(MALFORMED),
            _ => understand(method, path(target)),
        },
        conf: conf.flatten(),
        is_head: method == "HEAD",
    })
}

/// Of an absolute target, which every server has to understand, what is behind the host.
fn path(target: &str) -> &str {
    const SCHEME: &str = "http://";
    match target.split_at_checked(SCHEME.len()) {
        Some((scheme, behind)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            behind.find('/').map_or("/", |host| &behind[host..])
        }
        _ => target,
    }
}

fn understand(method: &str, path: &str) -> Result<Command, Refusal> {
    let (allow, why, command) = match path {
        "/status" => ("GET", "this needs GET", Command::Status),
        "/reload" => ("POST", NEEDS_POST, Command::Reload { wait: true }),
        "/reload?wait=false" => ("POST", NEEDS_POST, Command::Reload { wait: false }),
        "/reopen" => ("POST", NEEDS_POST, Command::Reopen),
        "/stop" => ("POST", NEEDS_POST, Command::Stop { now: false }),
        "/stop?now=true" => ("POST", NEEDS_POST, Command::Stop { now: true }),
        _ => {
            return Err(Refusal::new(
                404,
                "there are GET /status, POST /reload, POST /reload?wait=false, POST /reopen, POST /stop and POST /stop?now=true",
            ));
        }
    };
    if method == allow {
        return Ok(command);
    }
    Err(Refusal {
        allow: Some(allow),
        ..Refusal::new(405, why)
    })
}

const NEEDS_POST: &str = "this needs POST";

const MALFORMED: Refusal = Refusal::new(400, "this is no HTTP request");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_known_by_method_and_target() {
        let ask = |line: &str| {
            parse(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).map(|found| found.command)
        };
        assert_eq!(ask("GET /status"), Some(Ok(Command::Status)));
        assert_eq!(ask("POST /reload"), Some(Ok(Command::Reload { wait: true })));
        assert_eq!(
            ask("POST /reload?wait=false"),
            Some(Ok(Command::Reload { wait: false }))
        );
        assert_eq!(ask("POST /reopen"), Some(Ok(Command::Reopen)));
        assert_eq!(ask("POST /stop"), Some(Ok(Command::Stop { now: false })));
        assert_eq!(ask("POST /stop?now=true"), Some(Ok(Command::Stop { now: true })));
        // As it is sent to a proxy.
        assert_eq!(ask("GET http://localhost/status"), Some(Ok(Command::Status)));
        assert_eq!(
            ask("POST HTTP://a:80/stop"),
            Some(Ok(Command::Stop { now: false }))
        );
        let refused = |line: &str| ask(line).and_then(Result::err).map(|refusal| refusal.status);
        // A browser, a crawler or a mistyped curl stops nothing.
        for line in [
            "GET /stop",
            "GET /stop?now=true",
            "GET /reload",
            "HEAD /reopen",
            "POST /status",
        ] {
            assert_eq!(refused(line), Some(405), "{line}");
        }
        for line in [
            "GET /",
            "GET http://localhost",
            "GET ftp://localhost/status",
            "GET http:/status",
            "POST /stop/",
            "POST /reload?wait=0",
            "GET /status?",
        ] {
            assert_eq!(refused(line), Some(404), "{line}");
        }
    }

    #[test]
    fn half_a_head_is_waited_for_and_what_is_none_is_refused() {
        let head = b"POST /stop HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(parse(&head[..cut]), None, "{cut}");
        }
        // No `Host`, and a version of before it: `printf | nc` is a client, too.
        let command = |bytes| parse(bytes).map(|request| request.command);
        assert_eq!(
            command(b"POST /stop HTTP/1.0\r\n\r\n"),
            Some(Ok(Command::Stop { now: false }))
        );
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"stop\r\n",
            b"POST /stop HTTP/9.1\r\n\r\n",
            b"POST /stop HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST /stop HTTP/1.1\r\nappliance-conf: /a%\r\n\r\n",
        ] {
            assert_eq!(command(bytes), Some(Err(MALFORMED)), "{bytes:?}");
        }
    }
}
