//! Which header fields a proxy passes on, and which it keeps to itself.

/// Which fields of a request go on to an app or an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passing {
    /// The peer is a trusted proxy.
    pub trusted: bool,
    /// Names with an underscore are wanted.
    pub underscores: bool,
}

impl Passing {
    /// Does this field go on? Not what concerns this connection only, not what we tell ourselves
    /// ([`request_fields`](crate::forwarding_fields::request_fields)), from a stranger nothing that
    /// applications take for the word of a proxy, and unless it is wanted no name with an underscore, which
    /// an app could not tell from the one with a hyphen. `connection` is the value of the Connection field.
    /// Content-Length is the caller's business.
    #[inline]
    pub fn lets(self, name: &[u8], connection: &[u8]) -> bool {
        if memchr::memchr(b'_', name).is_none() {
            return self.lets_hyphened(name, connection);
        }
        // What the app sees in it decides.
        let hyphened = || {
            name.iter()
                .map(|&byte| if byte == b'_' { b'-' } else { byte })
                .collect::<Vec<_>>()
        };
        self.underscores && {
            let hyphened = hyphened();
            // What folds the two names into one would see a second length of the body, or another type.
            !hyphened.eq_ignore_ascii_case(b"content-length")
                && !hyphened.eq_ignore_ascii_case(b"content-type")
                && self.lets_hyphened(&hyphened, connection)
        }
    }

    fn lets_hyphened(self, name: &[u8], connection: &[u8]) -> bool {
        !(is_ours(name)
            || (!self.trusted && is_of_proxies(name))
            || name.eq_ignore_ascii_case(b"expect")
            || is_hop_by_hop(name, connection))
    }
}

/// A field that only [`request_fields`](crate::forwarding_fields::request_fields) may set.
fn is_ours(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
    ];
    matches!(name.len(), 9..=17) && NAMES.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// A field by which a proxy tells an application where it is and how it was reached, and that is believed
/// without a question.
fn is_of_proxies(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    const NAMES: [&[u8]; 11] = [
        b"x-scheme",
        b"x-url-scheme",
        b"x-script-name",
        b"x-original-url",
        b"x-rewrite-url",
        b"front-end-https",
        // Older and rarer names of the same: gunicorn's manual had the last one.
        b"x-forwarded",
        b"x-host",
        b"x-original-host",
        b"x-original-uri",
        b"script-name",
    ];
    let is_near = matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F' | b's' | b'S'));
    is_near
        && (name
            .split_at_checked(PREFIX.len())
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(PREFIX))
            || (matches!(name.len(), 6..=15) && NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))))
}

/// A field that concerns one connection only (RFC 9110 §7.6.1), of a request or an answer. `connection` is
/// the value of the Connection field. `Proxy` itself is among them: CGI-like gateways would make HTTP_PROXY
/// of it.
pub fn is_hop_by_hop(name: &[u8], connection: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy",
    ];
    NAMES.iter().any(|hop| name.eq_ignore_ascii_case(hop))
        || name
            .split_at_checked(6)
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(b"proxy-"))
        || (!connection.is_empty() && is_named(name, connection))
}

/// Does the Connection field name this one? Host and Content-Length belong to the message whatever it says.
fn is_named(name: &[u8], connection: &[u8]) -> bool {
    connection
        .split(|&byte| byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
        && !name.eq_ignore_ascii_case(b"host")
        && !name.eq_ignore_ascii_case(b"content-length")
}
