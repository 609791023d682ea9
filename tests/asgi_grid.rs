//! Every rule of the ASGI specifications against appliance, uvicorn and hypercorn; the page that tells the outcome is kept true.
//!
//! `UPDATE_PAGES=1 cargo test -p appliance --test site asgi_grid` writes the page anew.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{
    Site,
    certificate::Certificate,
    processes::MARK,
    python::{self, ASGI_PACKAGES},
    workspace,
};

const SERVERS: [&str; 3] = ["appliance", "uvicorn", "hypercorn"];

/// What the Python side found: server -> rule -> outcome.
struct Grid {
    outcomes: Value,
    /// Name, group and sentence of each rule, in order.
    rules: Vec<[String; 3]>,
}

impl Grid {
    /// Runs the rules. The site under test is only a directory and a mark here: the Python side starts all servers alike, and
    /// what it should leave behind is killed with the site.
    fn run(event_loop: &str, servers: &[&str]) -> Self {
        let site = Site::new("asgi-grid");
        Certificate::new(&["localhost"]).write(&site.directory, "localhost");
        let venv = python::virtualenv(python::python(), ASGI_PACKAGES);
        let output = Command::new(venv.join("bin/python"))
            .arg(workspace().join("tests/conformance/run.py"))
            .arg("--work")
            .arg(site.directory.join("servers"))
            .arg("--certificate")
            .arg(site.directory.join("localhost.crt"))
            .arg("--key")
            .arg(site.directory.join("localhost.key"))
            .args([
                "--appliance",
                env!("CARGO_BIN_EXE_appliance"),
                "--loop",
                event_loop,
            ])
            .args(servers.iter().flat_map(|server| ["--server", server]))
            .env(MARK, site.mark())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rules = serde_json::from_value(outcomes["rules"].clone()).unwrap();
        Self { outcomes, rules }
    }

    fn outcome(&self, server: &str, rule: &str) -> &str {
        self.outcomes[server][rule].as_str().unwrap()
    }

    /// `yes`, `no`, or a dash where a server need not.
    fn cell(&self, server: &str, rule: &str) -> &'static str {
        match self.outcome(server, rule) {
            "ok" => "yes",
            none if none.starts_with("none") => "–",
            _ => "**no**",
        }
    }

    /// Rules that we break, or leave alone.
    fn ours_not_green(&self) -> Vec<String> {
        self.rules
            .iter()
            .map(|[name, ..]| (name, self.outcome("appliance", name)))
            .filter(|(name, outcome)| *outcome != "ok" && !NOT_OFFERED.contains(&name.as_str()))
            .map(|(name, outcome)| format!("{name}: {outcome}"))
            .collect()
    }

    fn page(&self) -> String {
        let mut page = INTRODUCTION.to_owned();
        page.push_str("\n| | ok | broken | not offered |\n|---|---|---|---|\n");
        for server in SERVERS {
            let mut counts = BTreeMap::new();
            for [name, ..] in &self.rules {
                *counts.entry(self.cell(server, name)).or_insert(0) += 1;
            }
            let count = |cell| counts.get(cell).copied().unwrap_or(0);
            let (yes, no, none) = (count("yes"), count("**no**"), count("–"));
            let version = version(server);
            writeln!(page, "| {server}{version} | {yes} | {no} | {none} |").unwrap();
        }
        let mut current = "";
        for [name, group, sentence] in &self.rules {
            if group != current {
                current = group;
                let title = TITLES
                    .iter()
                    .find(|(known, _)| known == group)
                    .expect("the group has a title");
                write!(page, "\n## {}\n\n| rule |", title.1).unwrap();
                for server in SERVERS {
                    write!(page, " {server} |").unwrap();
                }
                page.push_str("\n|---|---|---|---|\n");
            }
            write!(page, "| {} |", sentence.replace('|', "\\|")).unwrap();
            for server in SERVERS {
                write!(page, " {} |", self.cell(server, name)).unwrap();
            }
            page.push('\n');
        }
        page
    }
}

/// As pinned in the virtualenv.
fn version(server: &str) -> String {
    ASGI_PACKAGES
        .iter()
        .find_map(|package| package.strip_prefix(server)?.strip_prefix("=="))
        .map(|version| format!(" {version}"))
        .unwrap_or_default()
}

#[test]
fn no_rule_of_asgi_is_broken() {
    let grid = Grid::run("asyncio", &SERVERS);
    assert!(grid.rules.len() > 100, "only {} rules", grid.rules.len());
    let broken = grid.ours_not_green();
    assert!(broken.is_empty(), "{}", broken.join("\n"));

    let path = workspace().join("tests/conformance/README.md");
    let page = grid.page();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&path, page).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap();
    // Other servers are not ours to hold to their word: a cell of theirs that has changed is told and passes.
    let ours = |page: &str| -> Vec<String> {
        let rows = page.lines().filter(|line| line.starts_with("| "));
        rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | "))
            .filter(|row| !row.starts_with("| uvicorn") && !row.starts_with("| hypercorn"))
            .collect()
    };
    assert_eq!(
        ours(&kept),
        ours(&page),
        "{} is not true any more: UPDATE_PAGES=1 writes it",
        path.display()
    );
    for (kept, now) in kept.lines().zip(page.lines()).filter(|(kept, now)| kept != now) {
        println!("another server has changed: {kept}\n                        now: {now}");
    }
}

#[test]
fn no_rule_of_asgi_is_broken_on_uvloop() {
    let broken = Grid::run("uvloop", &["appliance"]).ours_not_green();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Extensions that we do not have.
const NOT_OFFERED: [&str; 0] = [];

const TITLES: [(&str, &str); 10] = [
    ("scope", "What the application is told of a request"),
    ("receive", "What it receives"),
    ("send", "What it sends"),
    ("errors", "Applications that break"),
    ("extensions", "Extensions"),
    ("websocket", "WebSocket: the handshake"),
    ("websocket_messages", "WebSocket: messages"),
    ("websocket_ends", "WebSocket: ends"),
    ("websocket_errors", "WebSockets that break"),
    ("lifespan", "Lifespan"),
];

const INTRODUCTION: &str = "\
# ASGI, rule by rule

What the [ASGI specifications](https://asgi.readthedocs.io/) for HTTP, WebSocket and lifespan ask of a server, and what HTTP, RFC 6455
and common sense add to it. Each row is a small application and a client that speaks bytes, in `rules/`; the same ones run against each
server. `yes`: it does so; **no**: it does not; –: the rule is about something that a server need not offer, and this one does not.

The test `no_rule_of_asgi_is_broken` writes this page and fails when a cell of appliance's column is not true. Cells of other servers are
those of the versions named here, with one worker and their defaults; `python run.py --help` tells how to run single rules.
";
