//! The file as written, and the step from there to the configuration as used.
//!
//! serde stops at the first problem and knows positions only of what it could read. Here the parsed document is walked
//! by hand instead: every reader reports what it dislikes, goes on with a harmless value, and the whole is an error
//! when anything was reported. One file per table of site.toml; each default stands there, with its reason.

mod action;
mod amount;
mod app;
mod charset;
mod elsewhere;
mod header;
mod health;
mod host;
mod interface;
mod interpreter;
mod listener;
mod log;
mod media_type;
mod names;
mod other;
mod path_match;
mod reading;
mod section;
mod server;
mod site;
mod syntax;
mod target;
mod tls;
mod token;
mod upstream;
mod upstream_tls;
mod value;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use names::Names;
use other::Other;
use reading::{PROBLEMS_MAX, Reading};
use section::Section;
use value::Value;

use crate::{Action, Config, Problems, Server, Site, Surroundings, users};

/// Reads the whole document.
pub(crate) fn config(surroundings: &dyn Surroundings, text: &str, path: &Path) -> Result<Config, Problems> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let errors = errors.iter().take(PROBLEMS_MAX);
        let problems = errors.map(|error| syntax::problem(text, error)).collect();
        return Err(Problems::render(path, text, problems));
    }
    let absolute = crate::absolute(path)?;
    let nothing = DeTable::new();
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let reading = Reading::new(surroundings, text, directory, &nothing);
    let top = Section::new(&reading, "the file", 0..0, document.get_ref());
    let mut config = read(top, absolute.clone());
    let problems = reading.problems();
    if problems.is_empty() {
        let warnings = Problems::render(path, text, reading.warnings());
        config.warnings = warnings.iter().map(str::to_owned).collect();
        let found = users::find_proxy(surroundings, &mut config);
        let found = found.or_else(|| of_root(surroundings, &config));
        let few_files = config.check_open_files(surroundings);
        config.warnings.extend(found.into_iter().chain(few_files));
        return Ok(config);
    }
    Err(Problems::render(path, text, problems))
}

/// `[server]` of a file that may be broken: what can be read of it, and the defaults of the rest.
pub(crate) fn server_alone(surroundings: &dyn Surroundings, text: &str, path: &Path) -> Server {
    let (document, _) = DeTable::parse_recoverable(text);
    let nothing = DeTable::new();
    let directory = path.parent().unwrap_or(Path::new("/"));
    let reading = Reading::new(surroundings, text, directory, &nothing);
    let top = Section::new(&reading, "the file", 0..0, document.get_ref());
    server::server(top.section("server", "[server]", "[server] above its keys"))
}

/// One line, however many apps there are.
fn of_root(surroundings: &dyn Surroundings, config: &Config) -> Option<String> {
    if !surroundings.is_root() || config.server.user.is_some() {
        return None;
    }
    let apps: Vec<_> = config
        .apps
        .iter()
        .filter(|app| app.user.is_none())
        .map(|app| app.name.as_str())
        .collect();
    (!apps.is_empty()).then(|| {
        format!(
            "warning: workers run as root: {}; name a user, such as [server] user = \"www-data\"",
            apps.join(", ")
        )
    })
}

fn read(top: Section<'_>, path: PathBuf) -> Config {
    let reading = top.reading;
    let server = server::server(top.section("server", "[server]", "[server] above its keys"));
    let tls = tls::tls(top.section("tls", "[tls]", "[tls] above its keys"));
    let listeners = listener::listeners(&top, !tls.certificates.is_empty());

    let written_apps = top.named("app");
    let written_upstreams = top.named("upstream");
    let names = Names {
        apps: written_apps.iter().map(|(name, _)| *name).collect(),
        buffering: written_apps
            .iter()
            .map(|(_, section)| interface::request_buffering(section))
            .collect(),
        upstreams: written_upstreams.iter().map(|(name, _)| *name).collect(),
        tls: listeners.iter().any(|listener| listener.tls),
    };
    let sites = site::sites(&top, &names);
    let used = |wanted: &dyn Fn(&Action) -> bool| {
        sites
            .iter()
            .flat_map(|site: &Site| &site.routes)
            .any(|route| wanted(&route.action))
    };
    let mut apps = Vec::new();
    for (index, (name, section)) in written_apps.into_iter().enumerate() {
        if !used(&|action| matches!(action, Action::App { app, .. } if app.0 == index)) {
            section.warning(
                format!("app `{name}` is used by no route"),
                "name it in a site, or leave it out",
            );
        }
        apps.push(app::app(name, section));
    }
    let mut upstreams = Vec::new();
    for (index, (name, section)) in written_upstreams.into_iter().enumerate() {
        if !used(&|action| matches!(action, Action::Upstream(route) if route.upstream.0 == index)) {
            section.warning(
                format!("upstream `{name}` is used by no route"),
                "name it in a site, or leave it out",
            );
        }
        upstreams.push(upstream::upstream(name, section));
    }
    let (access_log, error_log) =
        log::logs(top.section("log", "[log]", "[log.access] or [log.error] above its keys"));
    top.finish(OTHERS);
    Config {
        path,
        directory: reading.directory.clone(),
        server,
        listeners,
        tls,
        apps,
        upstreams,
        sites,
        access_log,
        error_log,
        warnings: Vec::new(),
    }
}

const OTHERS: &[Other] = &[
    Other::Later(
        "metrics",
        "the access log as JSON (`format = \"json\"`) carries times and sizes",
    ),
    Other::Later("status", "`appliance status` tells what each process does"),
    Other::Later(
        "acme",
        "get certificates with certbot and name the files in [tls]",
    ),
    Other::Later(
        "cache",
        "let the application send Cache-Control, or put a cache in front",
    ),
    Other::Meant("apps", "[app.NAME]"),
    Other::Meant("sites", "[[site]]"),
    Other::Meant("listeners", "[[listener]]"),
    Other::Meant(
        "http",
        "its tables at the top of the file: [server], [[listener]], [[site]]",
    ),
    Other::Meant("events", "`connections_max` in [listener.limits]"),
    Other::Meant("route", "[[site.route]] below its [[site]]"),
];
