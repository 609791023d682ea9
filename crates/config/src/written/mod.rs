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
mod path_match;
mod section;
mod server;
mod site;
mod syntax;
mod tls;
mod upstream;
mod upstream_tls;
mod value;

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

pub(crate) use listener::CONNECTIONS_USUAL;
pub(crate) use section::{Other, Section};
pub(crate) use value::Value;

use crate::{
    Action, Config, Problems, Server, Site, Surroundings,
    climb::climbed,
    problem::{Problem, line_number},
    users,
};

/// What is needed, and what gathers, while one document is read.
pub(crate) struct Reading<'r> {
    pub(crate) surroundings: &'r dyn Surroundings,
    text: &'r str,
    /// Relative paths start here.
    pub(crate) directory: PathBuf,
    /// Stands in for tables that are not written.
    pub(crate) nothing: &'r DeTable<'r>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    left_out: Cell<usize>,
}

impl Reading<'_> {
    pub(crate) fn problem(&self, span: Range<usize>, message: impl Into<String>) {
        self.add(Problem {
            span,
            message: message.into(),
            help: None,
        });
    }

    pub(crate) fn problem_with_help(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Problem {
            span,
            message: message.into(),
            help: Some(help.into()),
        });
    }

    pub(crate) fn warning(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let message = format!("warning: {}", message.into());
        self.warnings.borrow_mut().push(Problem {
            span,
            message,
            help: Some(help.into()),
        });
    }

    fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    /// Where the first of two that are the same stands, as the help for the second.
    pub(crate) fn first(&self, span: &Range<usize>) -> String {
        format!("it stands first in line {}", self.line(span))
    }

    /// The line that something begins in.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        line_number(self.text, span.start)
    }

    /// The path from the directory of the file, without `.` and `..`; symbolic links stay, but those that it
    /// climbs out of.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        climbed(&self.directory.join(path), |path| {
            self.surroundings.canonical(path)
        })
    }
}

/// The names that sites refer to, in the order of `Config::apps` and `Config::upstreams`.
pub(crate) struct Names<'r> {
    pub(crate) apps: Vec<&'r str>,
    /// Whether each app gets its requests whole; `None` for those that know nothing else.
    pub(crate) buffering: Vec<Option<bool>>,
    pub(crate) upstreams: Vec<&'r str>,
    pub(crate) tls: bool,
}

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
    let reading = Reading {
        surroundings,
        text,
        directory: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
        nothing: &nothing,
        problems: RefCell::default(),
        warnings: RefCell::default(),
        left_out: Cell::default(),
    };
    let mut config = read(
        Section::new(&reading, "the file", 0..0, document.get_ref()),
        absolute,
    );

    let mut problems = reading.problems.take();
    if problems.is_empty() {
        let warnings = Problems::render(path, text, reading.warnings.take());
        config.warnings = warnings.iter().map(str::to_owned).collect();
        let found = users::find_proxy(surroundings, &mut config);
        let found = found.or_else(|| of_root(surroundings, &config));
        let few_files = config.check_open_files(surroundings);
        config.warnings.extend(found.into_iter().chain(few_files));
        return Ok(config);
    }
    if reading.left_out.get() > 0 {
        let message = format!("and {} more problems", reading.left_out.get());
        problems.push(Problem {
            span: text.len()..text.len(),
            message,
            help: None,
        });
    }
    Err(Problems::render(path, text, problems))
}

/// `[server]` of a file that may be broken: what can be read of it, and the defaults of the rest.
pub(crate) fn server_alone(surroundings: &dyn Surroundings, text: &str, path: &Path) -> Server {
    let (document, _) = DeTable::parse_recoverable(text);
    let nothing = DeTable::new();
    let reading = Reading {
        surroundings,
        text,
        directory: path.parent().unwrap_or(Path::new("/")).to_owned(),
        nothing: &nothing,
        problems: RefCell::default(),
        warnings: RefCell::default(),
        left_out: Cell::default(),
    };
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

/// More than anybody reads; a binary file given by mistake must not make a million.
const PROBLEMS_MAX: usize = 100;

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
