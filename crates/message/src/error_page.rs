//! The page that a client sees when its request fails: a small one, or JSON where that is preferred.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;

use crate::accept;

/// Content-Type and body of the page for a status: JSON where `accept`, the values of that field, prefers it.
/// A failure of ours names the request by its `id`.
pub fn preferred<'a>(
    status: u16,
    accept: impl Iterator<Item = &'a [u8]>,
    id: Option<&str>,
) -> (&'static str, Bytes) {
    if accept::prefers_json(accept) {
        return ("application/json", json_page(status, id));
    }
    match id.filter(|_| status >= 500) {
        Some(id) => (HTML, render(status, &reference(id))),
        None => page(status),
    }
}

/// Content-Type and body of the plain page for a status.
pub fn page(status: u16) -> (&'static str, Bytes) {
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

/// By this the operator finds the request in the logs. An id holds nothing that HTML or JSON would have to
/// escape.
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
