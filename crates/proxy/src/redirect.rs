//! Answers that send the client elsewhere.

use config::Redirect;
use message::{answer::Answer, client_error::ClientError, downstream::Downstream, path, request::Request};

/// Sends the client where the route says. `host` stands for the Host field where an old client sent none.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    request: &Request,
    redirect: &Redirect,
    host: &str,
) -> Result<(), ClientError> {
    let location = expand(&redirect.to, request, &down.head().target, host);
    send(down, redirect.status, &location).await
}

/// Sends the client to the same address by HTTPS. `port` is where we speak it, 0 when that is not known.
pub(crate) async fn to_https<D: Downstream>(
    down: &mut D,
    request: &Request,
    host: &str,
    port: u16,
) -> Result<(), ClientError> {
    // A method with a body must stay what it is.
    let status = match down.head().method.as_str() {
        "GET" | "HEAD" => 301,
        _ => 308,
    };
    let location = https_location(request, &down.head().target, host, port);
    send(down, status, &location).await
}

/// Sends the client to `location`, which holds only what may stand in a field.
pub(crate) async fn send<D: Downstream>(
    down: &mut D,
    status: u16,
    location: &str,
) -> Result<(), ClientError> {
    let mut answer = Answer::new(status);
    answer.fields.push("location", location);
    down.send_head(&answer).await?;
    down.end().await
}

/// Path and query as they may stand in a Location field.
pub(crate) fn target(path: &[u8], query: &[u8]) -> String {
    let mut target = path::encode(path);
    push_query(&mut target, query);
    target
}

/// The target as sent, as it may stand in a Location field.
fn sent_target(sent: &[u8], query: &[u8]) -> String {
    let mut target = match path::split(sent) {
        Ok((path, _)) if path.starts_with(b"/") => path::encode_query(path),
        _ => "/".to_owned(),
    };
    push_query(&mut target, query);
    target
}

fn push_query(target: &mut String, query: &[u8]) {
    if !query.is_empty() {
        target.push('?');
        target.push_str(&path::encode_query(query));
    }
}

/// Who asked port 80, the usual one, gets the usual one of HTTPS, whatever port we listen on behind some forwarding; who
/// named another port is told the one we listen on.
fn https_location(request: &Request, sent: &[u8], host: &str, port: u16) -> String {
    let port = match (request.port, port) {
        (80, _) | (_, 0 | 443) => String::new(),
        (_, port) => format!(":{port}"),
    };
    format!("https://{host}{port}{}", sent_target(sent, &request.query))
}

/// Fills in the marks of a template; `sent` is the target. What comes from the client is encoded, so it
/// cannot end the field, and where the template names no host, neither can the client.
fn expand(template: &str, request: &Request, sent: &[u8], host: &str) -> String {
    let mut location = String::with_capacity(template.len() + sent.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, mark) = rest.split_at(open);
        location.push_str(before);
        let end = mark.find('}').map_or(mark.len(), |close| close + 1);
        match &mark[..end] {
            "{scheme}" => location.push_str(if request.https { "https" } else { "http" }),
            "{host}" => location.push_str(host),
            "{path}" => location.push_str(&path::encode(&request.path)),
            "{query}" => push_query(&mut location, &request.query),
            "{target}" => location.push_str(&sent_target(sent, &request.query)),
            unknown => location.push_str(unknown),
        }
        rest = &mark[end..];
    }
    location.push_str(rest);
    // Two slashes begin a host, and browsers take a backslash for one.
    if location.starts_with("//") || location.starts_with("/\\") {
        let path = location.trim_start_matches(['/', '\\']);
        return format!("/{path}");
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sent: &str, port: u16) -> Request {
        let (encoded, query) = path::split(sent.as_bytes()).expect("a path");
        let (path, written) = path::normalise(encoded).expect("a path");
        Request {
            path,
            written,
            query: query.to_vec(),
            port,
            ..Request::default()
        }
    }

    fn location(template: &str, sent: &str) -> String {
        expand(template, &request(sent, 80), sent.as_bytes(), "h.example")
    }

    #[test]
    fn marks_are_filled_in() {
        let sent = "/a%20b//%C3%A9?x=1&y=%20";
        for (template, expected) in [
            (
                "https://new.example{target}",
                "https://new.example/a%20b//%C3%A9?x=1&y=%20",
            ),
            ("{scheme}://{host}/old{path}", "http://h.example/old/a%20b/%C3%A9"),
            ("/here{query}", "/here?x=1&y=%20"),
            ("/{unknown}/{", "/{unknown}/{"),
        ] {
            assert_eq!(location(template, sent), expected);
        }
        assert_eq!(location("/here{query}", "/"), "/here");
        assert_eq!(location("https://h{target}", "http://h?q"), "https://h/?q");
    }

    #[test]
    fn the_target_stays_as_it_was_sent() {
        for sent in [
            "/http://x.test/y",
            "/a%2Fb",
            "/a/%2e%2e/b",
            "//a",
            "/a//b?c//d",
            "/%41;p=1",
        ] {
            assert_eq!(
                location("https://new.example{target}", sent),
                format!("https://new.example{sent}")
            );
        }
    }

    #[test]
    fn a_client_can_not_put_a_field_into_the_answer() {
        let sent = "/\r\nSet-Cookie: a=b?x\r\ny: z";
        assert_eq!(
            location("{target}", sent),
            "/%0D%0ASet-Cookie:%20a=b?x%0D%0Ay:%20z"
        );
        assert_eq!(location("{path}", "/\\evil.example"), "/%5Cevil.example");
    }

    #[test]
    fn a_location_without_a_host_gets_none_from_the_client() {
        for (template, sent, expected) in [
            ("{target}", "//evil.example/x", "/evil.example/x"),
            ("{target}", "///evil.example", "/evil.example"),
            ("{target}", "/\\evil.example", "/%5Cevil.example"),
            ("/{target}", "/evil.example", "/evil.example"),
            ("/{path}", "/evil.example", "/evil.example"),
            ("//{host}{target}", "/x", "/h.example/x"),
        ] {
            assert_eq!(location(template, sent), expected, "{template} {sent}");
        }
    }

    #[test]
    fn https_is_where_the_client_can_reach_it() {
        for (asked, ours, location) in [
            (80, 443, "https://h/a//?b"),
            (80, 8443, "https://h/a//?b"),
            (8000, 8443, "https://h:8443/a//?b"),
            (8000, 443, "https://h/a//?b"),
            (8000, 0, "https://h/a//?b"),
        ] {
            let sent = "/a//?b";
            assert_eq!(
                https_location(&request(sent, asked), sent.as_bytes(), "h", ours),
                location
            );
        }
    }
}
