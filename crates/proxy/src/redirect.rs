//! Answers that send the client elsewhere.

use config::Redirect;

use crate::{
    answer::Answer,
    downstream::{ClientError, Downstream},
    path,
    request::Request,
};

/// Sends the client where the route says. `host` stands for the Host field where an old client sent none.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    request: &Request,
    redirect: &Redirect,
    host: &str,
) -> Result<(), ClientError> {
    send(down, redirect.status, &expand(&redirect.to, request, host)).await
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
    send(down, status, &https_location(request, host, port)).await
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
    if !query.is_empty() {
        target.push('?');
        target.push_str(&path::encode_query(query));
    }
    target
}

/// Who asked port 80, the usual one, gets the usual one of HTTPS, whatever port we listen on behind some forwarding; who
/// named another port is told the one we listen on.
fn https_location(request: &Request, host: &str, port: u16) -> String {
    let port = match (request.port, port) {
        (80, _) | (_, 0 | 443) => String::new(),
        (_, port) => format!(":{port}"),
    };
    format!("https://{host}{port}{}", target(&request.path, &request.query))
}

/// Fills in the marks of a template. What comes from the client is encoded, so it can neither end the field nor, in a
/// path, change the host.
fn expand(template: &str, request: &Request, host: &str) -> String {
    let mut location = String::with_capacity(template.len() + request.path.len() + request.query.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, mark) = rest.split_at(open);
        location.push_str(before);
        let end = mark.find('}').map_or(mark.len(), |close| close + 1);
        match &mark[..end] {
            "{scheme}" => location.push_str(if request.https { "https" } else { "http" }),
            "{host}" => location.push_str(host),
            "{path}" => location.push_str(&path::encode(&request.path)),
            "{query}" if request.query.is_empty() => {}
            "{query}" => {
                location.push('?');
                location.push_str(&path::encode_query(&request.query));
            }
            "{target}" => location.push_str(&target(&request.path, &request.query)),
            unknown => location.push_str(unknown),
        }
        rest = &mark[end..];
    }
    location.push_str(rest);
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, query: &str, port: u16) -> Request {
        Request {
            path: path.into(),
            query: query.into(),
            port,
            ..Request::default()
        }
    }

    #[test]
    fn marks_are_filled_in() {
        let asked = request("/a b/é", "x=1&y=%20", 80);
        for (template, location) in [
            (
                "https://new.example{target}",
                "https://new.example/a%20b/%C3%A9?x=1&y=%20",
            ),
            ("{scheme}://{host}/old{path}", "http://h.example/old/a%20b/%C3%A9"),
            ("/here{query}", "/here?x=1&y=%20"),
            ("/{unknown}/{", "/{unknown}/{"),
        ] {
            assert_eq!(expand(template, &asked, "h.example"), location);
        }
        assert_eq!(expand("/here{query}", &request("/", "", 80), "h"), "/here");
    }

    #[test]
    fn a_client_can_not_put_a_field_into_the_answer() {
        let asked = request("/\r\nSet-Cookie: a=b", "x\r\ny: z", 80);
        assert_eq!(
            expand("{target}", &asked, "h"),
            "/%0D%0ASet-Cookie:%20a=b?x%0D%0Ay:%20z"
        );
        assert_eq!(
            expand("{path}", &request("/\\evil.example", "", 80), "h"),
            "/%5Cevil.example"
        );
    }

    #[test]
    fn https_is_where_the_client_can_reach_it() {
        for (asked, ours, location) in [
            (80, 443, "https://h/a?b"),
            (80, 8443, "https://h/a?b"),
            (8000, 8443, "https://h:8443/a?b"),
            (8000, 443, "https://h/a?b"),
            (8000, 0, "https://h/a?b"),
        ] {
            assert_eq!(https_location(&request("/a", "b", asked), "h", ours), location);
        }
    }
}
