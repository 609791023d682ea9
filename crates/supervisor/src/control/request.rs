//! What a client asks for: the head of an HTTP/1.1 request.

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
    /// The end.
    Stop,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

/// `None`: the head has not come to its end.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<Command, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Err(MALFORMED)),
    }
    match (request.method, request.path) {
        (Some(method), Some(target)) => Some(understand(method, target)),
        _ => Some(Err(MALFORMED)),
    }
}

fn understand(method: &str, target: &str) -> Result<Command, Refusal> {
    let (needed, command) = match target {
        "/status" => ("GET", Command::Status),
        "/reload" => ("POST", Command::Reload { wait: true }),
        "/reload?wait=false" => ("POST", Command::Reload { wait: false }),
        "/reopen" => ("POST", Command::Reopen),
        "/stop" => ("POST", Command::Stop),
        _ => {
            return Err(Refusal {
                status: 404,
                why: "there are GET /status, POST /reload, POST /reload?wait=false, POST /reopen and POST /stop",
            });
        }
    };
    if method == needed {
        Ok(command)
    } else if needed == "GET" {
        Err(Refusal {
            status: 405,
            why: "this needs GET",
        })
    } else {
        Err(Refusal {
            status: 405,
            why: "this needs POST",
        })
    }
}

const MALFORMED: Refusal = Refusal {
    status: 400,
    why: "this is no HTTP request",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_known_by_method_and_target() {
        let ask = |line: &str| parse(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert_eq!(ask("GET /status"), Some(Ok(Command::Status)));
        assert_eq!(ask("POST /reload"), Some(Ok(Command::Reload { wait: true })));
        assert_eq!(
            ask("POST /reload?wait=false"),
            Some(Ok(Command::Reload { wait: false }))
        );
        assert_eq!(ask("POST /reopen"), Some(Ok(Command::Reopen)));
        assert_eq!(ask("POST /stop"), Some(Ok(Command::Stop)));
        let refused = |line: &str| ask(line).and_then(Result::err).map(|refusal| refusal.status);
        // A browser, a crawler or a mistyped curl stops nothing.
        for line in ["GET /stop", "GET /reload", "HEAD /reopen", "POST /status"] {
            assert_eq!(refused(line), Some(405), "{line}");
        }
        for line in ["GET /", "POST /stop/", "POST /reload?wait=0", "GET /status?"] {
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
        assert_eq!(parse(b"POST /stop HTTP/1.0\r\n\r\n"), Some(Ok(Command::Stop)));
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"stop\r\n",
            b"POST /stop HTTP/9.1\r\n\r\n",
            b"POST /stop HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            assert_eq!(parse(bytes), Some(Err(MALFORMED)), "{bytes:?}");
        }
    }
}
