//! `python`, `venv`, `env` and `env_file` of an app: what its code runs in.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{Section, Value};
use crate::{dotenv, python};

/// The interpreter; a harmless path after a problem.
pub(crate) fn interpreter(section: &Section<'_>, directory: &Path) -> PathBuf {
    let surroundings = section.reading.surroundings;
    if let (Some(venv), true) = (section.value("venv"), section.has("python")) {
        venv.problem_with_help("`python` and `venv` exclude each other", "leave one of them out");
    }
    let found = if let Some(value) = section.value("python") {
        let Some((text, path)) = value.text().zip(value.path()) else {
            return PathBuf::new();
        };
        python::named(text, path.clone(), surroundings).map_err(|message| {
            let help = match python::in_venv(&path, surroundings) {
                Ok(_) => format!("it is a virtualenv: write venv = \"{text}\""),
                Err(_) => "name the interpreter, such as \"/usr/bin/python3\", or a `venv`".to_owned(),
            };
            value.problem_with_help(message, help);
        })
    } else if let Some(value) = section.value("venv") {
        let Some(venv) = value.path() else {
            return PathBuf::new();
        };
        python::in_venv(&venv, surroundings).map_err(|message| {
            let help = if surroundings.is_executable(&venv) {
                "it is an interpreter: name it with `python`".to_owned()
            } else {
                format!("make it with `python3 -m venv {}`", venv.display())
            };
            value.problem_with_help(message, help);
        })
    } else {
        python::found(directory, surroundings).map_err(|message| {
            section.problem(
                format!("no Python for {}: {message}", section.title()),
                "name it with `python` or `venv`",
            );
        })
    };
    found.unwrap_or_default()
}

/// The environment: `env_file` first, `env` on top, which is the table `title`.
pub(crate) fn environment(section: &Section<'_>, title: &str) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    if let Some((value, path)) = section
        .value("env_file")
        .and_then(|value| Some((value, value.path()?)))
    {
        let surroundings = section.reading.surroundings;
        match surroundings.read_for_app(&path) {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && let Some(closed) = surroundings.closed(&path) =>
            {
                value.problem(closed);
            }
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "does not exist".to_owned(),
                    io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                    _ => format!("cannot be read: {error}"),
                };
                let help = "name a file with NAME=value lines, or leave `env_file` out";
                value.problem_with_help(format!("{} {why}", path.display()), help);
            }
            Ok(text) => match dotenv::parse(&text, |name| surroundings.variable(name)) {
                Ok(variables) => environment.extend(variables),
                Err(problems) => {
                    for (line, message) in problems {
                        value.problem(format!("{}:{line}: {message}", path.display()));
                    }
                }
            },
        }
    }
    let written = section
        .section("env", title, "env = { NAME = \"value\" }")
        .entries();
    environment.extend(written.iter().filter_map(variable));
    environment
}

fn variable(value: &Value<'_>) -> Option<(String, String)> {
    if value.key().is_empty() || value.key().contains(['=', '\0']) {
        value.key_problem(
            "the name of an environment variable must not be empty or contain `=`",
            "write NAME = \"value\"",
        );
        return None;
    }
    let text = value
        .as_text()
        .or_else(|| value.wants_with_help("a text", value.quoted()))?;
    if text.contains('\0') {
        value.problem(format!("`{}` must not contain NUL", value.key()));
        return None;
    }
    Some((value.key().to_owned(), text.to_owned()))
}
