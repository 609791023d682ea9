//! `appliance check`: everything a start would need, tried without starting.

use std::{io::Write, path::Path};

use config::{Config, Machine};
use supervisor::Engine;

/// Tells on standard output what was found, and problems on standard error. Answers the exit code: 2 when the
/// configuration or a file it names is at fault, 3 when an application does not import.
pub(crate) fn run(conf: &Path, engine: Engine) -> u8 {
    let conf = config::absolute(conf).unwrap_or_else(|_| conf.to_owned());
    let config = match Config::load(&conf) {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems);
            return 2;
        }
    };
    tell(&format!("{}: understood", conf.display()));
    for warning in config.warnings.iter().chain(&config.check_names(&Machine)) {
        tell(&warning.trim_end());
    }
    let paths = config.check_paths();
    let mut problems = paths.problems;
    for warning in &paths.warnings {
        tell(&format!("warning: {warning}"));
    }
    match proxy::check_certificates(&config) {
        Ok(told) => told.iter().for_each(|line| tell(line)),
        Err(found) => problems.extend(found),
    }
    problems
        .iter()
        .for_each(|problem| complain(&format!("problem: {problem}")));

    let apps_fail = match supervisor::check_apps(&config, engine) {
        Ok(checks) => checks.iter().filter(|check| !app(check)).count() > 0,
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

fn app(check: &supervisor::AppCheck) -> bool {
    match &check.outcome {
        Ok(imported) => {
            tell(&format!(
                "app {}: imports in {} ms with Python {} ({})",
                check.app, imported.import_ms, imported.version, check.python
            ));
            if let Some(warning) = &imported.warning {
                tell(&format!("warning: {warning}"));
            }
            true
        }
        Err(journey) => {
            complain(&format!("problem: app {} does not boot", check.app));
            journey.iter().for_each(|line| complain(line));
            false
        }
    }
}

// A closed pipe behind us is not our trouble.
fn tell(line: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
