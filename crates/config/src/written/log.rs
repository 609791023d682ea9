//! `[log.access]` and `[log.error]`

use super::{Other, Section, Value};
use crate::{AccessLog, ErrorLog, Format, Level, To, problem::nearest};

/// The access log (`None` when it is off) and the error log.
pub(crate) fn logs(section: Section<'_>) -> (Option<AccessLog>, ErrorLog) {
    let access = access(section.section("access", "[log.access]", "access = { to = \"/path\" }"));
    let error = error(section.section("error", "[log.error]", "error = { to = \"/path\" }"));
    section.finish(&[
        Other::Meant("level", "it in [log.error]"),
        Other::Meant("format", "it in [log.access]"),
        Other::Meant("to", "it in [log.access] or [log.error]"),
    ]);
    (access, error)
}

fn access(section: Section<'_>) -> Option<AccessLog> {
    let off = section
        .value("to")
        .is_some_and(|value| value.as_text() == Some("off"));
    let formats = [("combined", Format::Combined), ("json", Format::Json)];
    let later = "use \"combined\", or \"json\" which has every field";
    let later = ["gunicorn", "uwsgi", "nginx", "common"].map(|format| (format, later));
    let access = AccessLog {
        // Containers and service managers collect it there.
        to: section
            .value("to")
            .filter(|_| !off)
            .and_then(|value| to(&value, &["stdout", "stderr", "off"]))
            .unwrap_or(To::Stdout),
        // What nginx writes and every log reader knows.
        format: section
            .value("format")
            .and_then(|value| value.choice(&formats, &later))
            .unwrap_or(Format::Combined),
        // About 5000 lines: the disk may pause for a second under load before a line is lost.
        buffer_bytes_max: section.size("buffer_max", 1 << 12..=1 << 30).unwrap_or(1 << 20) as usize,
    };
    section.finish(&[
        Other::Later("when", "filter where the log is read"),
        Other::Later("rotate", "use logrotate and send SIGUSR1 afterwards"),
        Other::Meant("file", "`to = \"/path\"`"),
        Other::Meant("path", "`to = \"/path\"`"),
    ]);
    (!off).then_some(access)
}

fn error(section: Section<'_>) -> ErrorLog {
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
    ];
    let error = ErrorLog {
        to: section
            .value("to")
            .and_then(|value| to(&value, &["stderr", "stdout"]))
            .unwrap_or(To::Stderr),
        // Starts, stops and crashes of processes are seen, single requests are not.
        level: section
            .value("level")
            .and_then(|value| value.choice(&levels, &[]))
            .unwrap_or(Level::Info),
    };
    section.finish(&[
        Other::Later("rotate", "use logrotate and send SIGUSR1 afterwards"),
        Other::Later("format", "leave it out"),
        Other::Meant("file", "`to = \"/path\"`"),
        Other::Meant("path", "`to = \"/path\"`"),
    ]);
    error
}

/// A word without a dot or slash is never taken for a file name: a mistyped `stdout` would silently become a
/// file.
fn to(value: &Value<'_>, words: &[&'static str]) -> Option<To> {
    if let Some(truth) = value.item.get_ref().as_bool() {
        let help = if truth {
            format!("write to = \"{}\"", words[0])
        } else {
            switched_off(words)
        };
        return value.wants_with_help("a text", Some(help));
    }
    let text = value.text()?;
    match text {
        "stdout" => return Some(To::Stdout),
        "stderr" => return Some(To::Stderr),
        "syslog" | "journald" => {
            let help = "write \"stdout\" or \"stderr\" and let the service manager take it";
            value.problem_with_help(format!("`to = \"{text}\"` is not supported yet"), help);
            return None;
        }
        _ if text.contains(['/', '.']) && !names_directory(text) => return value.path().map(To::File),
        _ => {}
    }
    let help = match nearest(text, words.iter().copied()) {
        _ if text.trim().is_empty() => {
            format!("write \"{}\", or a file such as \"/var/log/site.log\"", words[0])
        }
        _ if OFF.contains(&text) => switched_off(words),
        _ if names_directory(text) => {
            format!(
                "it is a directory; name a file in it: \"{}/site.log\"",
                text.trim_end_matches('/')
            )
        }
        Some(word) => format!("did you mean \"{word}\"?"),
        None if text == "-" => format!("write \"{}\"", words[0]),
        None => format!("the name of a file has a dot or a slash: \"{text}.log\" or \"./{text}\""),
    };
    value.problem_with_help(format!("`to = \"{text}\"` is not a place for a log"), help);
    None
}

/// How somebody switches off what can be, and what to do about what cannot.
fn switched_off(words: &[&str]) -> String {
    if words.contains(&"off") {
        "write to = \"off\"".to_owned()
    } else {
        "the error log cannot be switched off; write level = \"error\" for the least".to_owned()
    }
}

/// Ends in a slash, or is `.` or `..` at its end.
fn names_directory(text: &str) -> bool {
    matches!(text.rsplit('/').next(), Some("" | "." | ".."))
}

/// How other formats, and people, say that there is none.
const OFF: [&str; 6] = ["off", "none", "no", "false", "null", "disabled"];
