//! `appliance check`: everything a start would need, tried without starting.

use std::path::Path;

use config::{Config, Interface, Machine, WsgiHost};
use supervisor::{AppCheck, Engine};

use crate::{
    names,
    told::{complain, tell},
};

/// Tells on standard output what was found, and problems on standard error. Answers the exit code: 2 when the
/// configuration or a file it names is at fault, 3 when an application does not import.
pub(crate) fn run(conf: &Path, daemon: bool, engine: Engine) -> u8 {
    let config = match config::absolute(conf).and_then(|conf| Config::load(&conf)) {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems);
            return 2;
        }
    };
    tell(&format!("{}: understood", config.path.display()));
    let looked_up = [config.check_users(&Machine), names::warnings(&config)].concat();
    for warning in config.warnings.iter().chain(&looked_up) {
        tell(&warning.trim_end());
    }
    let paths = config.check_paths();
    let mut problems = paths.problems;
    for warning in &paths.warnings {
        tell(&format!("warning: {warning}"));
    }
    match proxy::check_certificates(&config) {
        Ok(checked) => {
            checked.told.iter().for_each(|line| tell(line));
            for warning in &checked.warnings {
                tell(&format!("warning: {warning}"));
            }
        }
        Err(found) => problems.extend(found),
    }
    let lost = daemon
        .then(|| supervisor::check_daemon(&config))
        .and_then(Result::err);
    problems.extend(lost.map(|lost| lost.to_string()));
    problems
        .iter()
        .for_each(|problem| complain(&format!("problem: {problem}")));

    let apps_fail = match supervisor::check_apps(&config, engine) {
        Ok(checks) => {
            let pairs = checks.iter().zip(&config.apps);
            pairs
                .filter(|(check, configured)| !app(check, configured, &problems))
                .count()
                > 0
        }
        Err(error) => {
            complain(&format!("problem: {error}"));
            return 1;
        }
    };
    match (problems.is_empty(), apps_fail) {
        (false, _) => 2,
        (true, true) => 3,
        (true, false) => {
            tell(&"everything is in order");
            0
        }
    }
}

/// `told`: the problems that are known already.
fn app(check: &AppCheck, configured: &config::App, told: &[String]) -> bool {
    let name = &check.app;
    match &check.outcome {
        Ok(imported) => {
            tell(&format!(
                "app {name}: imports in {} ms with Python {} ({})",
                imported.import_ms, imported.version, check.python
            ));
            if let Some(warning) = &imported.warning {
                tell(&format!("warning: {warning}"));
            }
            if configured.preload && !imported.unshared.is_empty() {
                tell(&format!(
                    "app {name}: the import leaves {}; workers cannot share that, so each imports on its own, \
                     which costs memory (preload = false says so)",
                    imported.unshared
                ));
            }
            let Interface::Wsgi(WsgiHost::Threads { count, patched }) = configured.interface else {
                return true;
            };
            if !imported.patched.is_empty() {
                let library = &imported.patched;
                let runs = match patched {
                    1 => "one request at a time, in its main thread".to_owned(),
                    _ => format!("{patched} requests at a time, each in a greenlet"),
                };
                tell(&format!(
                    "app {name}: patches the standard library with {library}, so each worker runs {runs}; green = \"{library}\" \
                     runs as many as `connections` says"
                ));
            } else if count > 1 {
                tell(&format!(
                    "app {name}: {count} threads in each worker, so views run at the same time, most of them outside of the \
                     main thread; threads = 1 runs them one by one in the main thread, as gunicorn's sync workers do"
                ));
            }
            true
        }
        // Nobody could boot with it, and why is told.
        Err(_)
            if told
                .iter()
                .any(|told| told.starts_with(&format!("app.{name}.python:"))) =>
        {
            false
        }
        Err(journey) => {
            complain(&format!("problem: app {name} does not boot"));
            journey.iter().for_each(|line| complain(line));
            false
        }
    }
}
