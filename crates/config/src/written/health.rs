//! `health` of `[upstream.NAME]`.

use std::{ops::RangeInclusive, time::Duration};

use super::{Other, Value};
use crate::{Health, HealthCheck};

/// `"/healthz"` or `{ path = "/healthz", interval = "5s" }`.
pub(super) fn health(value: &Value<'_>) -> Option<Health> {
    if value.as_text().is_some() {
        let check = HealthCheck::Get {
            path: path(value)?,
            host: None,
            status: STATUS,
        };
        return Some(Health { check, ..DEFAULT });
    }
    let Some(section) = value.as_section("health") else {
        return value.wants("a path, or a table with a `path`");
    };
    let written_path = section.value("path");
    let host = section.value("host");
    let status = section.value("status");
    if written_path.is_none()
        && let Some(value) = host.or(status)
    {
        value.key_problem(
            format!(
                "`{}` needs a `path`: without one a connect is enough",
                value.key()
            ),
            "write for example path = \"/healthz\"",
        );
    }
    let times = |key| section.number(key, 1..=100).map(|times| times as usize);
    let wait = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
    let interval = section
        .duration("interval", wait.clone())
        .unwrap_or(DEFAULT.interval);
    let timeout = section
        .duration("timeout", wait)
        .unwrap_or(DEFAULT.timeout.min(interval));
    if let Some(value) = section.value("timeout")
        && timeout > interval
    {
        value.problem_with_help(
            "`timeout` is longer than `interval`",
            "a check must be over when the next one begins",
        );
    }
    let health = Health {
        check: HealthCheck::Connect,
        interval,
        timeout,
        healthy: times("healthy").unwrap_or(DEFAULT.healthy),
        unhealthy: times("unhealthy").unwrap_or(DEFAULT.unhealthy),
    };
    let path = written_path.map(|value| path(&value));
    let host = host.and_then(|value| host_field(&value));
    let status = status
        .and_then(|value| value.number(200..=599))
        .map_or(STATUS, |status| status as u16..=status as u16);
    section.finish(OTHERS);
    match path {
        None => Some(health),
        Some(path) => Some(Health {
            check: HealthCheck::Get {
                path: path?,
                host,
                status,
            },
            ..health
        }),
    }
}

/// What is not said. A server that is overloaded for a moment is not given up for it, and one that is back is
/// needed at once.
const DEFAULT: Health = Health {
    check: HealthCheck::Connect,
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(2),
    healthy: 1,
    unhealthy: 3,
};

/// A redirect is an answer as well; so it is with nginx's `health_check`.
const STATUS: RangeInclusive<u16> = 200..=399;

/// A target as it stands in a request line.
fn path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Some(text.to_owned());
    }
    let help = match text.starts_with('/') {
        true => "encode everything else than ASCII, and leave blanks and `#` out",
        false => "begin it with a slash, the servers are those of `servers`",
    };
    value.problem_with_help(format!("`{text}` is not a path to ask for"), help);
    None
}

fn host_field(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) {
        return Some(text.to_owned());
    }
    value.problem_with_help(
        format!("`{text}` is not a host"),
        "write a name, with a port where it is not the usual one: host = \"example.org\"",
    );
    None
}

const OTHERS: &[Other] = &[
    Other::Meant("uri", "`path`"),
    Other::Meant("url", "`path`"),
    Other::Meant("rise", "`healthy`"),
    Other::Meant("passes", "`healthy`"),
    Other::Meant("fall", "`unhealthy`"),
    Other::Meant("fails", "`unhealthy`"),
    Other::Meant("method", "nothing, the method is GET"),
    Other::Meant("port", "nothing, the server is asked on its own port"),
];
