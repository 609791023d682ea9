//! `[server]`

use std::{path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{Other, Section, Value, listener::SOCKET_PATH_BYTES_MAX};
use crate::{Buffers, Control, Identity, IpNet, Server, Surroundings, problem::nearest};

pub(crate) fn server(section: Section<'_>) -> Server {
    let surroundings = section.reading.surroundings;
    // Front threads are cheap and workers are not: half the processors keeps batches large and leaves the rest to Python.
    let threads = (surroundings.cpus() / 2).max(1) as u64;
    let threads = section
        .value("threads")
        .and_then(|value| value.number_or_auto(1..=256, threads))
        .unwrap_or(threads);
    let state_dir = section.path("state_dir").or_else(|| {
        let usual = PathBuf::from(STATE_DIR_DEFAULT);
        surroundings.is_directory(&usual).then_some(usual)
    });
    let server = Server {
        user: section.value("user").and_then(|value| run_user(&value)),
        threads: threads as usize,
        grace: section
            .duration("grace", Duration::ZERO..=HOUR)
            .unwrap_or(GRACE_DEFAULT),
        old_proxies: section
            .number("old_proxies", 1..=1000)
            .map_or(OLD_PROXIES_DEFAULT, |number| number as usize),
        pid_file: section.path("pid_file"),
        control: section
            .value("control")
            .and_then(|value| control(&value))
            .unwrap_or_default(),
        trusted_proxies: section
            .list("trusted_proxies")
            .iter()
            .filter_map(network)
            .collect(),
        underscores_in_headers: section.boolean("underscores_in_headers").unwrap_or(false),
        buffers: buffers(section.section("buffers", "[server.buffers]", "buffers = { memory = \"256KiB\" }")),
        state_dir,
    };
    section.finish(OTHERS);
    server
}

fn buffers(section: Section<'_>) -> Buffers {
    let buffers = Buffers {
        memory_bytes: section
            .size("memory", 0..=1 << 30)
            .unwrap_or(BUFFER_MEMORY_DEFAULT) as usize,
        shared_bytes: section
            .size("shared", 0..=1 << 40)
            .unwrap_or(BUFFER_SHARED_DEFAULT) as usize,
        response_bytes_max: section
            .size("response_max", 1 << 16..=1 << 50)
            .unwrap_or(BUFFER_RESPONSE_DEFAULT),
        directory: section
            .path("directory")
            .unwrap_or_else(|| buffers_directory(section.reading.surroundings)),
    };
    section.finish(&[]);
    buffers
}

/// A path, or `"off"`. The kernel has little room for the path of a socket.
fn control(value: &Value<'_>) -> Option<Control> {
    let words = "write a path such as \"/run/site.ctl\", \"off\", or leave it out for the usual places";
    match value.item.get_ref() {
        DeValue::Boolean(false) => {
            return value.wants_with_help("a text", Some("write control = \"off\"".to_owned()));
        }
        DeValue::Boolean(true) => return value.wants_with_help("a text", Some(words.to_owned())),
        _ => {}
    }
    let text = value.text()?;
    if text == "off" {
        return Some(Control::Off);
    }
    // A mistyped `off` would silently become a file.
    if !text.is_empty() && !text.contains(['/', '.']) {
        value.problem_with_help(format!("`control = \"{text}\"` is not a path"), words);
        return None;
    }
    let path = value.path()?;
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        let message =
            format!("the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes, this one {bytes}");
        value.problem_with_help(message, "choose a shorter one, such as \"/run/site.ctl\"");
        return None;
    }
    Some(Control::At(path))
}

/// A directory that the run user may write to, on a disk: `/tmp` is memory on many machines, and `state_dir` is root's.
fn buffers_directory(surroundings: &dyn Surroundings) -> PathBuf {
    let usual = PathBuf::from(BUFFER_DIRECTORY_DEFAULT);
    if surroundings.variable("TMPDIR").is_none() && surroundings.is_directory(&usual) {
        return usual;
    }
    surroundings.temp_dir()
}

/// The user to become, as `name`, `name:group` or the numbers of either. `None`, with a warning, when we are not root.
pub(crate) fn run_user(value: &Value<'_>) -> Option<Identity> {
    let surroundings = value.reading.surroundings;
    let text = value.text()?;
    let (user, group) = text
        .split_once(':')
        .map_or((text, None), |(user, group)| (user, Some(group)));
    if user.is_empty() || group == Some("") {
        let help = match user {
            "" => "write \"name\", \"name:group\", or their numbers".to_owned(),
            _ => format!("write \"{user}\" for its own group, or \"{user}:group\""),
        };
        value.problem_with_help(
            format!("`{} = \"{text}\"` names no user or no group", value.key()),
            help,
        );
        return None;
    }
    let known = surroundings
        .user(user)
        .or_else(|| user.parse().ok().map(Identity::from_number));
    let gid = group.map(|group| {
        surroundings
            .group(group)
            .or_else(|| group.parse().ok())
            .ok_or(group)
    });
    let identity = match (known, gid) {
        (None, _) => {
            // nginx's `user www-data www-data`.
            let help = match user.split_once(' ') {
                Some((user, group)) => format!("write \"{user}:{}\"", group.trim()),
                None => "make it with `useradd --system`".to_owned(),
            };
            value.problem_with_help(format!("no user `{user}` on this machine"), help);
            None
        }
        (_, Some(Err(group))) => {
            value.problem_with_help(
                format!("no group `{group}` on this machine"),
                "make it with `groupadd --system`",
            );
            None
        }
        (Some(known), None) => Some(known),
        (Some(known), Some(Ok(gid))) => Some(known.with_group(gid)),
    }?;
    if !surroundings.is_root() {
        let message = format!(
            "`{} = \"{text}\"` is ignored, only root may become another user",
            value.key()
        );
        value
            .reading
            .warning(value.span(), message, "start as root, or leave it out");
        return None;
    }
    Some(identity)
}

/// `10.0.0.0/8`, `::1`, or a word that people use for a well-known range.
fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.text()?;
    let network = text
        .parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    if let Ok(IpNet::V6(mapped)) = network
        && let Some(plain) = mapped.addr().to_ipv4_mapped()
    {
        // A peer with an IPv4 address never has it in this form here, so the range would match nobody.
        let bits = mapped.prefix_len().saturating_sub(96);
        value.problem_with_help(
            format!("`{text}` is an IPv4 address written as IPv6"),
            format!("write \"{plain}/{bits}\""),
        );
        return None;
    }
    if network.is_err() {
        let help = match nearest(text, ["localhost"]) {
            Some(_) => "write \"127.0.0.1\" and \"::1\"",
            None if text.starts_with("unix:") => {
                "leave it out, whoever may connect to a Unix listener is believed already"
            }
            None if text == "*" => {
                "write the addresses of your proxies: \"0.0.0.0/0\" and \"::/0\" would let every client say who it is"
            }
            None => "write an address such as \"10.0.0.7\" or a range such as \"10.0.0.0/8\"",
        };
        value.problem_with_help(format!("`{text}` is not an IP address or range"), help);
    }
    network.ok().map(|network: IpNet| network.trunc())
}

/// Made by the packages; nothing needs it.
const STATE_DIR_DEFAULT: &str = "/var/lib/appliance";

/// gunicorn's `graceful_timeout`; service managers wait longer before they kill.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// Each takes some 10 MB; a few reloads a day do not reach it.
const OLD_PROXIES_DEFAULT: usize = 16;

/// What a worker sends without being asked for more, so that the answers of a fast client never see a file;
/// bounded for all together.
const BUFFER_MEMORY_DEFAULT: u64 = 256 << 10;

/// Dozens of bodies of a megabyte at once; little beside what the workers of an application take.
const BUFFER_SHARED_DEFAULT: u64 = 32 << 20;

/// nginx's `proxy_max_temp_file_size`.
const BUFFER_RESPONSE_DEFAULT: u64 = 1 << 30;

/// For temporary files of any size, on every distribution.
const BUFFER_DIRECTORY_DEFAULT: &str = "/var/tmp";

const HOUR: Duration = Duration::from_secs(60 * 60);

const OTHERS: &[Other] = &[
    Other::Later("chroot", "use a container, or RootDirectory= of systemd"),
    Other::Meant("group", "`user = \"name:group\"`"),
    Other::Meant("pid", "`pid_file`"),
    Other::Meant("pidfile", "`pid_file`"),
    Other::Meant("control_socket", "`control`"),
    Other::Meant("graceful_timeout", "`grace`"),
    Other::Meant("worker_processes", "`threads` here, or `workers` in [app.NAME]"),
];
