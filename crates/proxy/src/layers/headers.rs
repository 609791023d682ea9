//! The `headers` of a route: fields that its answers are given, or that are taken off them.

use message::answer::Answer;

use super::content_field::is_of_content;

/// Sets fields; an empty value removes the field.
pub(super) fn set(answer: &mut Answer, headers: &[(String, String)]) {
    for (name, value) in headers {
        if answer.is_page && is_of_content(name) {
            continue;
        }
        if name.eq_ignore_ascii_case("server") {
            answer.names_server = false;
        }
        if value.is_empty() {
            answer.fields.remove(name);
        } else {
            answer.fields.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_replace_and_remove() {
        let mut answer = Answer::new(200);
        answer.fields.push("content-type", "text/html");
        answer.fields.push("x-frame-options", "DENY");
        answer.fields.push("X-Frame-Options", "DENY");
        let headers = [
            ("X-Frame-Options", ""),
            ("Content-Type", "text/plain"),
            ("X-New", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        set(&mut answer, &headers);
        assert_eq!(
            answer.fields.as_http1(),
            b"Content-Type: text/plain\r\nX-New: 1\r\n"
        );
        assert!(answer.names_server);
    }

    #[test]
    fn a_page_of_our_own_gets_what_is_policy_and_not_what_is_content() {
        let headers = [
            ("Cache-Control", "immutable"),
            ("Content-Type", "text/css"),
            ("Strict-Transport-Security", "max-age=1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut page = Answer::new(404);
        page.is_page = true;
        page.fields.push("content-type", "text/html");
        set(&mut page, &headers);
        assert_eq!(
            page.fields.as_http1(),
            b"content-type: text/html\r\nStrict-Transport-Security: max-age=1\r\n"
        );
        let mut answer = Answer::new(404);
        set(&mut answer, &headers);
        assert_eq!(
            answer.fields.get("cache-control"),
            Some(&b"immutable"[..]),
            "an answer of the app keeps all"
        );
    }

    #[test]
    fn server_is_replaced_and_removed() {
        for (value, expected) in [("theirs", Some(&b"theirs"[..])), ("", None)] {
            let mut answer = Answer::new(200);
            set(&mut answer, &[("SERVER".to_owned(), value.to_owned())]);
            assert_eq!(
                (answer.names_server, answer.fields.get("server")),
                (false, expected)
            );
        }
    }
}
