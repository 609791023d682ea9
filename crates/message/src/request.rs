//! A request as understood: who really asks, for which host, which path.

use std::net::IpAddr;

use crate::{passing::Passing, path};

/// What a head and its connection mean, before a route is looked for; everything that answers uses this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The real client: the peer, or what trusted proxies say. `None` for a Unix socket peer without such a
    /// field.
    pub client: Option<IpAddr>,
    /// Its port, 0 when unknown (a proxy's field rarely has it).
    pub client_port: u16,
    /// The trusted proxies between the client and us, the peer last; empty when the client is the peer.
    pub hops: Vec<IpAddr>,
    /// The client came by HTTPS, to us or to a trusted proxy before us.
    pub https: bool,
    /// Host the client asked for: lower case, without port, IPv6 in brackets; "" when HTTP/1.0 had none.
    pub host: String,
    /// Port the client asked for: a trusted proxy's X-Forwarded-Port, that of the Host field, the scheme's
    /// own when the Host field has none, the listener's when there is no Host field at all.
    pub port: u16,
    /// Host as sent by the client (or by X-Forwarded-Host of a trusted proxy), with its port.
    pub authority: String,
    /// Path: percent-decoded, dot segments and doubled slashes resolved, always starting with `/`. Raw bytes.
    pub path: Vec<u8>,
    /// How the client wrote it.
    pub written: path::Written,
    /// Query string as sent, without `?`.
    pub query: Vec<u8>,
    /// Id in the logs: a trusted proxy's X-Request-ID when it is sane, else 32 hex digits of our own.
    pub request_id: String,
    /// Which of its fields go on.
    pub passing: Passing,
}

impl Request {
    /// The path as an application or server below a prefix is told of it: with its slashes as they came, as
    /// long as it begins with the prefix all the same. The route was found by the normalised path, and nobody
    /// may take another one for it.
    #[inline]
    pub fn told_path(&self, prefix: &str) -> &[u8] {
        let begins = |path: &[u8]| {
            path.strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        match &self.written {
            path::Written::Doubled(path) if begins(path) => path,
            _ => &self.path,
        }
    }

    /// The target `sent` without a prefix, for one that is below it and does not know: cut off what the
    /// client wrote by the same rule, else off the normalised path, which is encoded anew.
    pub fn target_below(&self, prefix: &str, sent: &[u8]) -> Vec<u8> {
        let sent = path::split(sent)
            .ok()
            .filter(|_| self.written != path::Written::Dotted);
        let rest = sent.and_then(|(encoded, _)| path::behind(encoded, prefix));
        let mut target = Vec::with_capacity(self.path.len() + self.query.len() + 2);
        let begin = |target: &mut Vec<u8>, rest: &[u8]| {
            if !rest.starts_with(b"/") {
                target.push(b'/');
            }
        };
        match rest {
            Some(rest) => {
                begin(&mut target, rest);
                target.extend_from_slice(rest);
            }
            None => {
                let rest = self.path.strip_prefix(prefix.as_bytes()).unwrap_or(&self.path);
                begin(&mut target, rest);
                target.extend_from_slice(path::encode(rest).as_bytes());
            }
        }
        if !self.query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(&self.query);
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        let (encoded, query) = path::split(target.as_bytes()).expect("a path");
        let (path, written) = path::normalise(encoded).expect("a path");
        Request {
            path,
            written,
            query: query.to_vec(),
            ..Request::default()
        }
    }

    #[test]
    fn slashes_stay_doubled_where_nothing_else_could_be_meant() {
        for (target, prefix, told) in [
            ("/http://x.test/y", "", "/http://x.test/y"),
            ("//a", "", "//a"),
            ("/shop//a", "/shop", "/shop//a"),
            ("/shop//", "/shop", "/shop//"),
            // Another route would say so of the path as it came.
            ("//shop/a", "/shop", "/shop/a"),
            ("/shop//admin/x", "/shop/admin", "/shop/admin/x"),
            ("/shop//a/../b", "/shop", "/shop/b"),
            ("/shop//%2e/b", "/shop", "/shop/b"),
            ("http://h", "", "/"),
        ] {
            assert_eq!(
                request(target).told_path(prefix),
                told.as_bytes(),
                "{target} below {prefix}"
            );
        }
    }

    #[test]
    fn a_prefix_is_cut_and_the_rest_stays_as_it_was_encoded() {
        for (target, prefix, below) in [
            ("/mq/api/queues/%2F/q", "/mq", "/api/queues/%2F/q"),
            ("/mq/a%20b?x=%20", "/mq", "/a%20b?x=%20"),
            ("/mq", "/mq", "/"),
            ("/mq?q", "/mq", "/?q"),
            ("/mq//a", "/mq", "//a"),
            ("/mq/http://x.test/", "/mq", "/http://x.test/"),
            ("http://h/mq/%2F", "/mq", "/%2F"),
            ("/mq/%252F", "/mq", "/%252F"),
            // Cut off the normalised path.
            ("//mq/%2F", "/mq", "/"),
            ("/mq/%2e%2e/mq/a%20b", "/mq", "/a%20b"),
            ("/mq/%2F../a%3Fb", "/mq", "/a%3Fb"),
            ("/mq%2Fa", "/mq", "/a"),
        ] {
            let found = request(target).target_below(prefix, target.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), below, "{target}");
        }
    }
}
