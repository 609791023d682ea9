//! What a client gets to see when its request fails: a small page, or JSON where that is preferred.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use logs::{Outcome, Record};

use crate::{
    accept,
    answer::{Answer, AnswerLength},
    context::Context,
    downstream::{ClientError, Downstream},
};

/// Answers with the page of `status` and `fields`, if nothing was sent yet, and notes in the record how it ended. What
/// was begun is left without its end, so that the client sees it cut.
pub(crate) async fn refuse<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    status: u16,
    outcome: Outcome,
    fields: &[(&str, &str)],
) {
    record.outcome = Some(outcome);
    if down.answered() {
        return;
    }
    record.status = Some(status);
    let json = accept::prefers_json(down.head().fields.all("accept"));
    let id = record.request_id().and_then(|id| std::str::from_utf8(id).ok());
    let (content_type, body) = if json {
        ("application/json", json_page(status, id))
    } else {
        match id.filter(|_| status >= 500) {
            Some(id) => (HTML, render(status, &reference(id))),
            None => page(status),
        }
    };
    let mut answer = Answer::new(status);
    answer.is_page = true;
    answer.length = AnswerLength::Known(body.len() as u64);
    answer.fields.push("content-type", content_type);
    context.router.name_server(&mut answer);
    for (name, value) in fields {
        answer.fields.push(name, value);
    }
    // Whether the client takes its page changes nothing about how the request ended.
    let _ = send(down, &answer, body).await;
}

async fn send<D: Downstream>(down: &mut D, answer: &Answer, body: Bytes) -> Result<(), ClientError> {
    down.send_head(answer).await?;
    down.send_body(body).await?;
    down.end().await
}

/// Ends a request whose client failed: with a page where it is still waiting for one.
pub(crate) async fn client_failed<D: Downstream>(
    context: &Context,
    down: &mut D,
    record: &mut Record,
    error: ClientError,
) {
    let (status, outcome) = match error {
        // Nothing can be sent to it: its line says 499 unless an answer had begun.
        ClientError::Gone => {
            record.outcome.get_or_insert(Outcome::ClientGone);
            return;
        }
        ClientError::TooSlow => (408, Outcome::ClientTimeout),
        ClientError::BodyTooLarge(_) => (413, Outcome::Refused),
        ClientError::BadBody => (400, Outcome::Refused),
    };
    refuse(context, down, record, status, outcome, &[]).await;
}

/// Content-Type and body of the plain page for a status.
pub(crate) fn page(status: u16) -> (&'static str, Bytes) {
    static PAGES: LazyLock<HashMap<u16, Bytes>> =
        LazyLock::new(|| texts().map(|(status, ..)| (status, render(status, ""))).collect());
    let page = PAGES.get(&status).cloned();
    (HTML, page.unwrap_or_else(|| render(status, "")))
}

fn render(status: u16, reference: &str) -> Bytes {
    let (title, text) = words(status);
    PAGE.replace("{status}", itoa::Buffer::new().format(status))
        .replace("{title}", title)
        .replace("{text}", text)
        .replace("{again}", if helps_to_ask_again(status) { AGAIN } else { "" })
        .replace("{reference}", reference)
        .into()
}

/// Is it likely to be over in a moment?
const fn helps_to_ask_again(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 507)
}

/// By this the operator finds the request in the logs. An id holds nothing that HTML or JSON would have to escape.
fn reference(id: &str) -> String {
    format!("<small>Request <code>{id}</code></small>\n")
}

fn json_page(status: u16, id: Option<&str>) -> Bytes {
    let (title, text) = words(status);
    let id = id
        .map(|id| format!(",\"request_id\":\"{id}\""))
        .unwrap_or_default();
    format!("{{\"status\":{status},\"error\":\"{title}\",\"detail\":\"{text}\"{id}}}\n").into()
}

/// Title and text of a status.
fn words(status: u16) -> (&'static str, &'static str) {
    texts()
        .find(|(known, ..)| *known == status)
        .map_or(("Error", "The request failed."), |(_, title, text)| (title, text))
}

fn texts() -> impl Iterator<Item = (u16, &'static str, &'static str)> {
    TEXTS.lines().filter_map(|line| {
        let mut parts = line.split('|').map(str::trim);
        Some((parts.next()?.parse().ok()?, parts.next()?, parts.next()?))
    })
}

/// The address of the page itself.
const AGAIN: &str = "<a href=\"\">Try again</a>\n";
const PAGE: &str = include_str!("../../../static/errors/page.html");
const TEXTS: &str = include_str!("../../../static/errors/texts.txt");
const HTML: &str = "text/html; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_whole_page() {
        for status in (400..=431).chain(500..=511) {
            let (content_type, body) = page(status);
            let body = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(content_type, HTML);
            assert!(body.contains(&format!("<b>{status}</b>")), "{body}");
            assert!(
                body.contains("<link rel=\"icon\" href=\"data:,\">"),
                "no request for an icon"
            );
            assert_eq!(body.contains("Try again"), helps_to_ask_again(status), "{status}");
            for mark in ["{status}", "{title}", "{text}", "{reference}", "{again}"] {
                assert!(!body.contains(mark), "{mark} is left in the page of {status}");
            }
        }
        assert!(texts().count() > 20);
    }

    /// Relative luminance of `#rrggbb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let part = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let part = f64::from(part) / 255.0;
            match part <= 0.040_45 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn pages_can_be_read_in_light_and_dark_on_the_narrowest_screen() {
        let (_, body) = page(404);
        let body = String::from_utf8_lossy(&body).into_owned();
        // The background is the first pair of colours, a light and a dark one.
        let pairs: Vec<(f64, f64)> = body
            .split("light-dark(")
            .skip(1)
            .filter_map(|rest| rest.split(')').next()?.split_once(", "))
            .map(|(light, dark)| (luminance(light), luminance(dark)))
            .collect();
        let contrast = |one: f64, other: f64| (one.max(other) + 0.05) / (one.min(other) + 0.05);
        assert_eq!(pairs.len(), 4, "{body}");
        for (light, dark) in &pairs[1..] {
            assert!(contrast(pairs[0].0, *light) >= 4.5, "{light} in {body}");
            assert!(contrast(pairs[0].1, *dark) >= 4.5, "{dark} in {body}");
        }
        // The column has one width whatever its text, and a long id is broken.
        for rule in [
            "box-sizing: border-box; width: min(32rem, 100vw)",
            "p { margin: 0; text-wrap: balance; }",
            "overflow-wrap: anywhere",
        ] {
            assert!(body.contains(rule), "{rule}: {body}");
        }
    }

    #[test]
    fn the_page_of_a_failure_names_the_request() {
        let body = render(502, &reference("0af3"));
        assert!(String::from_utf8_lossy(&body).contains("<code>0af3</code>"));
        assert_eq!(
            &json_page(404, Some("0af3"))[..],
            b"{\"status\":404,\"error\":\"Not Found\",\"detail\":\"There is nothing here.\",\"request_id\":\"0af3\"}\n"
        );
    }
}
