//! Commands and options of other servers, each with a hint at ours.

/// What to write in place of the first word here that is not ours. `given` is the command line without the
/// program.
pub(crate) fn hint(given: &[String], stranger: &str) -> Option<String> {
    // `--workers=4` and `-w4` are `--workers` and `-w`.
    let word = match stranger.split_once('=') {
        Some((word, _)) => word,
        None if stranger.starts_with('-') && !stranger.starts_with("--") => {
            stranger.get(..2).unwrap_or(stranger)
        }
        None => stranger,
    };
    if word == "-s" {
        return Some(signal(given));
    }
    let known = HINTS.iter().find(|(words, _)| words.contains(&word));
    match known {
        Some((_, hint)) => Some((*hint).to_owned()),
        None => application(stranger),
    }
}

/// nginx's `-s SIGNAL`, also as `-sSIGNAL`.
fn signal(given: &[String]) -> String {
    let at = given.iter().position(|word| word.starts_with("-s"));
    let signal = at.and_then(|at| match given[at].as_str() {
        "-s" => given.get(at + 1).map(String::as_str),
        joined => joined.get(2..),
    });
    match signal {
        Some("reload") => "write `appliance reload`".to_owned(),
        Some("reopen") => "write `appliance reopen`".to_owned(),
        Some("stop") => {
            "write `appliance stop --now`; without --now, running requests end within server.grace".to_owned()
        }
        Some("quit") => "write `appliance stop`: running requests end within server.grace".to_owned(),
        _ => "write `appliance reload`, `appliance reopen` or `appliance stop`".to_owned(),
    }
}

/// gunicorn's and uvicorn's `mysite.wsgi:application`.
fn application(word: &str) -> Option<String> {
    let (module, object) = word.split_once(':')?;
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    };
    (is_name(module) && is_name(object)).then(|| {
        format!(
            "write `wsgi = \"{word}\"` (or `asgi`) below [app.web] in site.toml, and `app = \"web\"` below [[site]]"
        )
    })
}

const TRANSLATED: &str =
    "this is a key of site.toml; deploy/APPLICATIONS.md translates the options of gunicorn and uvicorn";

const HINTS: &[(&[&str], &str)] = &[
    (
        &["run", "serve", "up"],
        "write `appliance --conf FILE`: it runs without a word",
    ),
    (
        &["start", "daemon", "-d", "-D", "--daemonize", "--background"],
        "write `appliance --conf FILE --daemon`, or leave the background to a service manager",
    ),
    (
        &[
            "validate",
            "configtest",
            "test",
            "-T",
            "--check",
            "--check-config",
            "--test",
            "lint",
        ],
        "write `appliance check`",
    ),
    (
        &["quit", "shutdown", "terminate", "kill", "exit"],
        "write `appliance stop`",
    ),
    (
        &["restart"],
        "write `appliance reload`: new code and configuration without a lost request; for a new program stop and start it",
    ),
    (
        &["rotate", "reopen-logs", "logrotate"],
        "write `appliance reopen`",
    ),
    (
        &["info", "ps", "top", "list", "workers"],
        "write `appliance status`",
    ),
    (
        &["--reload"],
        "files are not watched: write `appliance reload` once they are changed",
    ),
    (
        &["--config", "--config-file", "--ini", "-f", "-i"],
        "write `--conf FILE`, or `-c FILE`",
    ),
    (
        &[
            "-w",
            "--workers",
            "--threads",
            "-k",
            "--worker-class",
            "-b",
            "--bind",
            "--host",
            "--port",
            "-p",
        ],
        TRANSLATED,
    ),
    (
        &[
            "--timeout",
            "--graceful-timeout",
            "--max-requests",
            "--preload",
            "--chdir",
            "--env",
            "-e",
            "-u",
            "--user",
        ],
        TRANSLATED,
    ),
    (
        &[
            "--access-logfile",
            "--error-logfile",
            "--log-level",
            "--log-file",
            "--certfile",
            "--keyfile",
            "--pid",
        ],
        TRANSLATED,
    ),
    (
        &[
            "--ssl-certfile",
            "--ssl-keyfile",
            "--http",
            "--socket",
            "--module",
            "--master",
            "--processes",
        ],
        TRANSLATED,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let given: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        hint(&given, &given[0]).unwrap_or_default()
    }

    #[test]
    fn the_words_of_other_servers_lead_to_ours() {
        for (line, ours) in [
            ("run", "appliance --conf FILE"),
            ("start", "--daemon"),
            ("validate", "appliance check"),
            ("configtest", "appliance check"),
            ("quit", "appliance stop"),
            ("restart", "appliance reload"),
            ("-s reload", "`appliance reload`"),
            ("-sreload", "`appliance reload`"),
            ("-s reopen", "`appliance reopen`"),
            ("-s quit", "`appliance stop`"),
            ("-s stop", "`appliance stop --now`"),
            ("-s", "`appliance reload`, `appliance reopen` or"),
            ("--reload", "not watched"),
            ("-w 4", "APPLICATIONS.md"),
            ("-w4", "APPLICATIONS.md"),
            ("--workers=4", "APPLICATIONS.md"),
            ("--config site.toml", "--conf FILE"),
            ("mysite.wsgi:application", "wsgi = \"mysite.wsgi:application\""),
        ] {
            assert!(told(line).contains(ours), "{line}: {}", told(line));
        }
        for line in [
            "frobnicate",
            "--frobnicate",
            "http://a:80",
            ":8000",
            "a:",
            "site.toml",
        ] {
            assert_eq!(told(line), "", "{line}");
        }
    }
}
