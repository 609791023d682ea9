//! `appliance status`: how a server that runs is doing.

use std::{fmt::Write, path::Path};

use supervisor::control::status::{AppStatus, GenerationStatus, LastReload, Status, WorkerStatus};

use super::{done, find};
use crate::told::tell;

/// For people, or as the JSON that came.
pub(crate) fn status(conf: &Path, json: bool) -> u8 {
    done(conf, || {
        let server = find(conf)?;
        if json {
            let status: serde_json::Value = server.ask("GET", "/status")?;
            tell(&escaped(&status.to_string()));
        } else {
            tell(&page(&server.ask("GET", "/status")?).trim_end());
        }
        Ok(0)
    })
}

/// Characters that a terminal would act on, as JSON writes them: they can only stand in its texts.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if config::is_invisible(char) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    escaped
}

fn page(status: &Status) -> String {
    let mut page = format!(
        "appliance {}, process {}, {} since {}\nconfiguration  {}\n",
        status.version,
        status.pid,
        status.state,
        time(status.uptime_s),
        status.config,
    );
    for listener in &status.listeners {
        let tls = if listener.tls { " (TLS)" } else { "" };
        let _ = writeln!(page, "listens on     {}{tls}", listener.address);
    }
    if status.reloading {
        page.push_str("reload         running\n");
    }
    if let Some(last) = &status.last_reload {
        push_reload(&mut page, last);
    }
    for generation in &status.generations {
        push_generation(&mut page, generation);
    }
    page
}

fn push_reload(page: &mut String, last: &LastReload) {
    let age = time(last.age_s);
    let _ = match last.generation {
        Some(generation) => writeln!(
            page,
            "last reload    {} {age} ago, generation {generation}",
            last.outcome
        ),
        None => writeln!(page, "last reload    {} {age} ago", last.outcome),
    };
    for line in last.message.iter().flat_map(|message| message.lines()) {
        let _ = writeln!(page, "               {line}");
    }
}

fn push_generation(page: &mut String, generation: &GenerationStatus) {
    let _ = write!(
        page,
        "\ngeneration {}, {} since {}",
        generation.generation,
        generation.state,
        time(generation.state_age_s),
    );
    match &generation.proxy {
        Some(proxy) => {
            let _ = write!(page, ", proxy {} {}", proxy.pid, proxy.state);
            if let Some(age) = proxy.heartbeat_age_s {
                let _ = write!(page, ", answered {} ago", time(age));
            }
        }
        None => page.push_str(", no proxy"),
    }
    page.push('\n');
    for app in &generation.apps {
        push_app(page, app);
    }
}

fn push_app(page: &mut String, app: &AppStatus) {
    let _ = write!(
        page,
        "  {}: {} of {} workers ready, {} restarts",
        app.app, app.workers_ready, app.workers_wanted, app.restarts,
    );
    match &app.zygote {
        Some(zygote) => {
            let _ = writeln!(page, ", zygote {} {}", zygote.pid, zygote.state);
        }
        None => page.push_str(", no zygote\n"),
    }
    for worker in &app.workers {
        push_worker(page, &app.app, worker);
    }
    if let Some(exit) = &app.last_exit {
        let who = exit.slot.map_or_else(
            || format!("{}/zygote", app.app),
            |slot| format!("{}/{slot}", app.app),
        );
        let pid = exit.pid.map_or_else(String::new, |pid| format!(" ({pid})"));
        let _ = writeln!(
            page,
            "    last exit: {who}{pid} {} ago: {}",
            time(exit.age_s),
            exit.cause
        );
    }
}

fn push_worker(page: &mut String, app: &str, worker: &WorkerStatus) {
    let name = format!("{app}/{}", worker.slot);
    let pid = worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let age = worker.age_s.map_or_else(String::new, time);
    let _ = writeln!(page, "    {name:<16} {pid:>8}  {:<8} {age}", worker.state);
}

/// In the two largest units that say something.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_the_json_stays_the_same() {
        let value = serde_json::json!({ "cause": "a\u{1b}[2J\u{202e}b\u{9b}c\n" });
        let text = escaped(&value.to_string());
        assert!(text.chars().all(|char| char.is_ascii_graphic()), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, value);
    }

    #[test]
    fn times_have_two_units_at_most() {
        let times = [0, 59, 60, 3599, 3600, 86399, 86400, 1_000_000].map(time);
        assert_eq!(
            times,
            [
                "0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 0h", "11d 13h"
            ]
        );
    }
}
