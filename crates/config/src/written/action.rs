//! What answers a route: exactly one of app, files, upstream, redirect, respond.

use super::{
    Names, Other, Value, charset::charset, media_type::media_type, path_match::bare_prefix, section::is_name,
};
use crate::{
    Action, AppIndex, Charset, Files, PathMatch, Redirect, Respond, Symlinks, UpstreamIndex, UpstreamRoute,
    problem::nearest,
};

/// The keys of which a route has one.
pub(crate) const ACTIONS: [&str; 5] = ["app", "files", "upstream", "redirect", "respond"];

/// Reads the action under `key`, which is one of [`ACTIONS`].
pub(crate) fn action(key: &str, value: &Value<'_>, path: &PathMatch, names: &Names<'_>) -> Option<Action> {
    match key {
        "app" => {
            let app = reference(value, ("app", &names.apps), ("upstream", &names.upstreams))?;
            // Where it is mounted is known when all routes of the site are.
            Some(Action::App {
                app: AppIndex(app),
                mount: String::new(),
                strip: false,
                request_buffering: names.buffering.get(app).copied().flatten().unwrap_or(true),
            })
        }
        "files" => files(value, path).map(Action::Files),
        "upstream" => {
            let upstream = UpstreamIndex(reference(
                value,
                ("upstream", &names.upstreams),
                ("app", &names.apps),
            )?);
            Some(Action::Upstream(UpstreamRoute {
                upstream,
                strip: String::new(),
            }))
        }
        "redirect" => redirect(value).map(Action::Redirect),
        _ => respond(value).map(Action::Respond),
    }
}

/// The place among `names` of the app or upstream (`what`) that is named. `others` has the names of the
/// `other` kind.
fn reference(
    value: &Value<'_>,
    (what, names): (&str, &[&str]),
    (other, others): (&str, &[&str]),
) -> Option<usize> {
    let Some(name) = value.as_text() else {
        return value.wants_with_help("a name", Some(apart(what, "", names)));
    };
    let found = names.iter().position(|known| *known == name);
    if found.is_none() {
        let help = match nearest(name, names.iter().copied()) {
            _ if !is_name(name) => apart(what, name, names),
            _ if others.contains(&name) => {
                format!("there is an {other} of this name: write {other} = \"{name}\"")
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write a [{what}.{name}]"),
        };
        value.problem_with_help(format!("there is no {what} `{name}`"), help);
    }
    found
}

/// How an app or upstream is written whose callable or server stands where its name should.
fn apart(what: &str, written: &str, names: &[&str]) -> String {
    let usual = if what == "app" { "web" } else { "api" };
    let name = if names.contains(&usual) { "NAME" } else { usual };
    let keys = match (what, written) {
        ("app", "") => "wsgi = \"mysite.wsgi:application\"".to_owned(),
        ("app", target) if !target.contains("://") => format!("wsgi = \"{target}\" (or asgi)"),
        ("app", url) => {
            return format!("write [upstream.api] with servers = [\"{url}\"], and here upstream = \"api\"");
        }
        (_, "") => "servers = [\"http://127.0.0.1:8001\"]".to_owned(),
        (_, server) if server.contains("://") || server.starts_with("unix:") => {
            format!("servers = [\"{server}\"]")
        }
        (_, server) => format!("servers = [\"http://{server}\"]"),
    };
    format!("write [{what}.{name}] with {keys}, and here {what} = \"{name}\"")
}

/// `"static/"` or `{ root = "static/", ... }`.
pub(crate) fn files(value: &Value<'_>, path: &PathMatch) -> Option<Files> {
    let strip = match path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(_) => bare_prefix(path).to_owned(),
    };
    let with = |root| Files {
        root,
        strip,
        index: vec!["index.html".to_owned()],
        // Costs one look per encoding, and saves the bytes wherever a build step made the siblings.
        precompressed: true,
        cache_control: String::new(),
        // As nginx: `collectstatic --link` and a `media` that lies on another disk work. Who must not trust
        // those that may write there says "inside", and `check` tells where that is so.
        symlinks: Symlinks::Follow,
        types: Vec::new(),
        charset: Charset::Usual,
    };
    if value.as_text().is_some() {
        return value.path().map(with);
    }
    let Some(section) = value.as_section("files") else {
        return value.wants("a directory, or a table with a `root`");
    };
    if !section.has("root") {
        section.problem(
            "`files` has no `root`",
            "name the directory: { root = \"static/\" }",
        );
    }
    let root = section.path("root");
    let mut files = with(root.clone().unwrap_or_default());
    if section.has("index") {
        files.index = section.list("index").iter().filter_map(index).collect();
    }
    files.precompressed = section.boolean("precompressed").unwrap_or(files.precompressed);
    files.cache_control = section
        .text("cache_control")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let symlinks = section.value("symlinks").and_then(|value| {
        let words = [("follow", Symlinks::Follow), ("inside", Symlinks::Inside)];
        let off = "\"inside\" refuses links that lead out of the root";
        value.choice(&words, &[("off", off), ("on", off)])
    });
    files.symlinks = symlinks.unwrap_or(files.symlinks);
    let types = section
        .section("types", "types", "types = { wasm = \"application/wasm\" }")
        .entries();
    files.types = types.iter().filter_map(content_type).collect();
    files.charset = section
        .value("charset")
        .and_then(|value| charset(&value))
        .unwrap_or(files.charset);
    section.finish(&[
        Other::Later("compress", "make `.gz` or `.br` siblings when you deploy"),
        Other::Later("listing", "directories are not listed"),
        Other::Meant("alias", "`root`"),
        Other::Meant("directory", "`root`"),
        Other::Meant("expires", "cache_control = \"max-age=3600\""),
        Other::Meant("mime_types", "types = { wasm = \"application/wasm\" }"),
        Other::Meant("default_type", "types = { ENDING = \"text/plain\" }"),
        Other::Meant("disable_symlinks", "symlinks = \"inside\""),
    ]);
    root.map(|_| files)
}

/// `wasm = "application/wasm"`, with or without the dot.
fn content_type(value: &Value<'_>) -> Option<(String, String)> {
    let ending = value.key().strip_prefix('.').unwrap_or(value.key());
    if ending.is_empty() || ending.contains(['.', '/', '*']) {
        let message = format!("`{}` is not the ending of a file name", value.key());
        value.key_problem(
            message,
            "write what stands behind the last dot, for example \"wasm\"",
        );
        return None;
    }
    Some((ending.to_owned(), media_type(value)?))
}

fn index(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        value.problem_with_help(
            format!("`{name}` is not the name of an index file"),
            "write for example \"index.html\"",
        );
        return None;
    }
    Some(name.to_owned())
}

/// `"https://{host}{target}"` or `{ to = "...", status = 308 }`.
fn redirect(value: &Value<'_>) -> Option<Redirect> {
    // Permanent, and a form that is posted stays a POST.
    let mut redirect = Redirect {
        to: String::new(),
        status: 308,
    };
    if value.as_text().is_some() {
        redirect.to = redirect_target(value)?;
        return Some(redirect);
    }
    let Some(section) = value.as_section("redirect") else {
        return value.wants("a text, or a table with a `to`");
    };
    let to = section.value("to");
    if to.is_none() {
        section.problem(
            "`redirect` has no `to`",
            "write for example { to = \"https://{host}{target}\" }",
        );
    }
    if let Some(status) = section.value("status") {
        let known = |status: &u64| matches!(status, 301 | 302 | 303 | 307 | 308);
        match status.number(100..=599) {
            Some(number) if known(&number) => redirect.status = number as u16,
            Some(number) => status.problem(format!("{number} is not one of 301, 302, 303, 307, 308")),
            None => {}
        }
    }
    section.finish(&[Other::Meant("url", "`to`"), Other::Meant("code", "`status`")]);
    redirect.to = redirect_target(&to?)?;
    Some(redirect)
}

fn redirect_target(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let word = rest[at..]
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        let Some((word, after)) = word else {
            value.problem(format!("a brace in `{text}` has no partner"));
            return None;
        };
        if !PLACEHOLDERS.contains(&word) {
            let help = match nearest(word.trim_start_matches('$'), PLACEHOLDERS) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => "there are {scheme}, {host}, {path}, {query} and {target}".to_owned(),
            };
            value.problem_with_help(format!("unknown placeholder {{{word}}}"), help);
            return None;
        }
        rest = after;
    }
    let begins = ["http://", "https://", "{scheme}://", "/", "{path}"]
        .iter()
        .any(|start| text.starts_with(start));
    // Of the two slashes one would be taken off again: a location that names a host says by which scheme.
    if !begins || text.starts_with("//") || text.contains([' ', '\t', '$', '\\']) {
        let help = if text.contains('$') {
            "placeholders are written {host}, {path}, {query}, {target}"
        } else {
            "begin it with https://, http://, {scheme}:// or one slash, and leave spaces out"
        };
        value.problem_with_help(format!("`{text}` is not a place to redirect to"), help);
        return None;
    }
    Some(text.to_owned())
}

/// `"ok"` or `{ status = 200, body = "ok", content_type = "text/plain" }`.
fn respond(value: &Value<'_>) -> Option<Respond> {
    let text = |body: &str| Respond {
        status: 200,
        content_type: TEXT.to_owned(),
        body: body.to_owned(),
    };
    if let Some(body) = value.as_text() {
        return Some(text(body));
    }
    let Some(section) = value.as_section("respond") else {
        let status = value
            .as_number()
            .map(|status| format!("write {{ status = {status} }}"));
        return value.wants_with_help("a text, or a table with `status` and `body`", status);
    };
    let body = section.value("body").and_then(|value| {
        value
            .as_text()
            .or_else(|| value.wants_with_help("a text", value.quoted()))
    });
    let mut respond = text(body.unwrap_or_default());
    respond.status = section.number("status", 200..=599).unwrap_or(200) as u16;
    if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
        section.problem(
            format!("a response with status {} has no body", respond.status),
            "leave `body` out",
        );
    }
    if let Some(content_type) = section.value("content_type").and_then(|value| media_type(&value)) {
        respond.content_type = content_type;
    }
    section.finish(&[
        Other::Meant("code", "`status`"),
        Other::Meant("type", "`content_type`"),
    ]);
    Some(respond)
}

const PLACEHOLDERS: [&str; 5] = ["scheme", "host", "path", "query", "target"];

const TEXT: &str = "text/plain; charset=utf-8";
