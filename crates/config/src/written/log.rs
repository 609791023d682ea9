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
    let text = value.text()?;
    match text {
        "stdout" => return Some(To::Stdout),
        "stderr" => return Some(To::Stderr),
        "syslog" | "journald" => {
            let help = "write \"stdout\" or \"stderr\" and let the service manager take it";
            value.problem_with_help(format!("`to = \"{text}\"` is not supported yet"), help);
            return None;
        }
        _ if text.contains(['/', '.']) && !text.ends_with(['/', '.']) => return value.path().map(To::File),
        _ => {}
    }
    let help = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None if text == "off" => "the least that is written is level = \"error\"".to_owned(),
        None if text == "-" => format!("write \"{}\"", words[0]),
        None if text.ends_with('/') => format!("name a file in it: \"{text}site.log\""),
        None => format!("the name of a file has a dot or a slash: \"{text}.log\" or \"./{text}\""),
    };
    value.problem_with_help(format!("`{text}` is not a place for a log"), help);
    None
}
