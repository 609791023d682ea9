//! `[[site]]` and `[[site.route]]`

use std::{cmp::Reverse, collections::HashMap, ops::Range};

use super::{
    Names, Other, Section, Value,
    action::{ACTIONS, action, files},
    header::headers,
    host::host,
    path_match::{bare_prefix, is_below, path_key, path_value},
    token::is_token,
};
use crate::{Action, AppIndex, Host, PathMatch, Route, Site};

pub(crate) fn sites(top: &Section<'_>, names: &Names<'_>) -> Vec<Site> {
    let written = top.sections("site", "[[site]]", "[[site]] above its keys");
    if written.is_empty() && !top.has("site") {
        top.problem(
            "there is no [[site]], so nothing would be served",
            "write [[site]] and what it serves, such as app = \"web\"",
        );
    }
    let mut hosts = HashMap::new();
    let mut catch_all = None;
    written
        .into_iter()
        .map(|section| site(section, names, &mut hosts, &mut catch_all))
        .collect()
}

fn site(
    section: Section<'_>,
    names: &Names<'_>,
    taken: &mut HashMap<Host, Range<usize>>,
    catch_all: &mut Option<Range<usize>>,
) -> Site {
    let written = section.list("hosts");
    if let Some(value) = section.value("hosts").filter(Value::is_empty_list) {
        let help =
            "write the names of this site, or leave `hosts` out of the one that answers for every other host";
        value.problem_with_help("`hosts = []` names no host", help);
    }
    let mut hosts = Vec::new();
    for value in &written {
        let Some(host) = host(value) else { continue };
        if let Some(first) = taken.get(&host) {
            let host = value.as_text().unwrap_or_default();
            value.problem_with_help(
                format!("the host `{host}` belongs to a site already"),
                value.reading.first(first),
            );
        }
        taken.entry(host.clone()).or_insert(value.span());
        hosts.push(host);
    }
    if written.is_empty() {
        if let Some(first) = catch_all {
            let help = format!(
                "only one site can answer for every other host, and {}: give this one `hosts`",
                section.reading.first(first)
            );
            section.problem("a second site without `hosts`", help);
        }
        catch_all.get_or_insert(section.span());
    }
    let defaults = Defaults {
        headers: headers(&section, &[]),
        // Uploads of photos and documents work, and a thousand of them at once do not fill a disk. nginx's 1 MiB is
        // the first thing that every new site has to raise.
        body_bytes_max: section.size("body_max", 0..=BODY_MAX).unwrap_or(64 << 20),
    };
    let mut routes = short_routes(&section, names, &defaults);
    routes.extend(
        section
            .sections("route", "[[site.route]]", "[[site.route]] above its keys")
            .into_iter()
            .filter_map(|section| route(section, names, &defaults)),
    );
    if routes.is_empty() && !section.has("route") && !ACTIONS.iter().any(|key| section.has(key)) {
        section.problem(
            "this site serves nothing",
            "give it one of app, files, upstream, redirect, respond, or a [[site.route]]",
        );
    }
    let site = Site {
        name: written
            .first()
            .and_then(Value::as_text)
            .unwrap_or("default")
            .to_ascii_lowercase(),
        hosts,
        headers: defaults.headers,
        redirect_https: redirect_https(&section, names.tls),
        routes: in_order(routes, &section),
    };
    section.finish(OTHERS);
    site
}

/// What a site gives to its routes.
struct Defaults {
    headers: Vec<(String, String)>,
    body_bytes_max: u64,
}

/// A route, where it stands, and the mount when one is written.
struct Written {
    route: Route,
    span: Range<usize>,
    mount: Option<String>,
}

/// The routes of `app = "web"`, `files = {...}` and the like directly in a site.
fn short_routes(section: &Section<'_>, names: &Names<'_>, defaults: &Defaults) -> Vec<Written> {
    let mut routes = Vec::new();
    let written = |value: &Value<'_>, name: &str, path: PathMatch, action: Action| Written {
        route: Route {
            name: name.to_owned(),
            path,
            methods: Vec::new(),
            headers: defaults.headers.clone(),
            body_bytes_max: defaults.body_bytes_max,
            action,
        },
        span: value.span(),
        mount: None,
    };
    let root = || PathMatch::Prefix("/".to_owned());
    for key in ACTIONS {
        let Some(value) = section.value(key) else { continue };
        // `files` is a map from paths, or one directory for the whole site.
        let map = value
            .as_section("files")
            .filter(|map| key == "files" && !map.has("root"));
        let Some(map) = map else {
            routes.extend(
                action(key, &value, &root(), names).map(|action| written(&value, "/", root(), action)),
            );
            continue;
        };
        for entry in map.entries() {
            let Some(path) = path_key(&entry) else {
                continue;
            };
            let action = files(&entry, &path).map(Action::Files);
            routes.extend(action.map(|action| written(&entry, entry.key(), path, action)));
        }
    }
    routes
}

fn route(section: Section<'_>, names: &Names<'_>, defaults: &Defaults) -> Option<Written> {
    let name = section
        .value("path")
        .and_then(|value| value.as_text())
        .unwrap_or("/");
    let path = match section.value("path") {
        Some(value) => path_value(&value),
        None => Some(PathMatch::Prefix("/".to_owned())),
    };
    // A path that cannot be used is told already; what stands beside it is still looked at.
    let usable = path.is_some();
    let path = path.unwrap_or(PathMatch::Prefix("/".to_owned()));
    let written: Vec<_> = ACTIONS
        .iter()
        .filter_map(|key| Some((*key, section.value(key)?)))
        .collect();
    match &written[..] {
        [] => section.problem(
            "this route has nothing that answers",
            format!("give it one of {}", ACTIONS.join(", ")),
        ),
        [_] => {}
        [(first, _), others @ ..] => {
            for (key, value) in others {
                let message = format!(
                    "a route has one of {}, not `{first}` and `{key}`",
                    ACTIONS.join(", ")
                );
                value.problem_with_help(message, "write a [[site.route]] for each");
            }
        }
    }
    let mut action = written
        .iter()
        .map(|(key, value)| action(key, value, &path, names))
        .fold(None, Option::or);
    let mount = section
        .value("mount")
        .and_then(|value| mount(&value, &path, action.as_ref()));
    if let Some(value) = section.value("strip") {
        match (value.boolean(), &mut action) {
            (Some(true), Some(Action::Upstream(to))) => to.strip = bare_prefix(&path).to_owned(),
            (Some(true), Some(Action::App { .. })) if mount.as_deref() == Some("") => {
                value.problem_with_help(
                    "`strip` cuts the mount off, and `mount` is empty",
                    "leave one of the two out",
                );
            }
            (Some(true), Some(Action::App { strip, .. })) => *strip = true,
            (Some(true), Some(_)) => value.problem("`strip` is for routes to an app or an upstream"),
            _ => {}
        }
    }
    if let Some(value) = section.value("request_buffering") {
        request_buffering(&value, action.as_mut(), names);
    }
    let route = Route {
        name: name.to_owned(),
        path,
        methods: methods(&section),
        headers: headers(&section, &defaults.headers),
        body_bytes_max: section
            .size("body_max", 0..=BODY_MAX)
            .unwrap_or(defaults.body_bytes_max),
        action: action.unwrap_or(Action::Respond(crate::Respond {
            status: 404,
            content_type: String::new(),
            body: String::new(),
        })),
    };
    let span = section
        .value("path")
        .or(written.first().map(|(_, value)| *value))
        .map_or(0..0, |value| value.span());
    section.finish(ROUTE_OTHERS);
    usable.then_some(Written { route, span, mount })
}

fn mount(value: &Value<'_>, path: &PathMatch, action: Option<&Action>) -> Option<String> {
    let mount = value.text()?.trim_end_matches('/');
    let (PathMatch::Prefix(text) | PathMatch::Exact(text)) = path;
    if !matches!(action, Some(Action::App { .. }) | None) {
        value.problem("`mount` is for routes to an app");
    } else if !mount.is_empty() && !mount.starts_with('/') {
        value.problem_with_help(
            format!("`{mount}` is not a mount point"),
            "begin it with a slash, or write \"\"",
        );
    } else if !is_below(text, mount) {
        let help = format!("write a part of \"{text}\" from its beginning, or \"\"");
        value.problem_with_help(
            format!("the path `{text}` is not below the mount `{mount}`"),
            help,
        );
    } else {
        return Some(mount.to_owned());
    }
    None
}

fn request_buffering(value: &Value<'_>, action: Option<&mut Action>, names: &Names<'_>) {
    let Some(written) = value.boolean() else { return };
    match action {
        Some(Action::App {
            app,
            request_buffering,
            ..
        }) if names.buffering.get(app.0).copied().flatten().is_some() => *request_buffering = written,
        Some(_) => value.problem("`request_buffering` is for routes to an app with `asgi`"),
        None => {}
    }
}

fn methods(section: &Section<'_>) -> Vec<String> {
    if let Some(value) = section.value("methods").filter(Value::is_empty_list) {
        value.problem_with_help(
            "`methods = []` allows no method",
            "leave it out to allow all, or name some: [\"GET\"]",
        );
    }
    let mut methods: Vec<String> = Vec::new();
    let mut seen = HashMap::new();
    for value in section.list("methods") {
        let Some(method) = value.text() else { continue };
        // `*` and the like are tokens, and yet what nobody calls a method.
        let is_every = !method.chars().any(|c| c.is_ascii_alphabetic());
        if !is_token(method) || is_every || method.chars().any(|c| c.is_ascii_lowercase()) {
            let words = method.to_ascii_uppercase();
            let words: Vec<_> = words
                .split([' ', ',', '|'])
                .filter(|word| !word.is_empty())
                .collect();
            let help = match words[..] {
                _ if is_every => "leave `methods` out to allow all".to_owned(),
                [_, _, ..] => format!("write a list: {words:?}"),
                _ => format!("methods are written \"{}\"", words.concat()),
            };
            value.problem_with_help(format!("`{method}` is not a method"), help);
        } else if let Some(first) = seen.get(method) {
            let message = format!("the method {method} stands here twice");
            value.problem_with_help(message, value.reading.first(first));
        } else {
            seen.insert(method, value.span());
            methods.push(method.to_owned());
        }
    }
    // Whoever may GET may ask for the head alone, as with nginx's `limit_except`.
    if methods.iter().any(|method| method == "GET") && !methods.iter().any(|method| method == "HEAD") {
        methods.push("HEAD".to_owned());
    }
    methods
}

/// Plain HTTP is sent to HTTPS as soon as there is a TLS listener: a site with a certificate wants it used.
fn redirect_https(section: &Section<'_>, tls: bool) -> bool {
    let Some(value) = section.value("https") else {
        return tls;
    };
    let chosen = value.choice(&[("redirect", true), ("off", false)], &[]);
    if chosen == Some(true) && !tls {
        value.problem_with_help(
            "there is no TLS listener to redirect to",
            "give [tls] certificates, or leave `https` out",
        );
    }
    chosen.unwrap_or(tls)
}

/// Exact paths first, then the longest prefix first; two of the same are a problem. Apps get their mounts.
fn in_order(mut written: Vec<Written>, section: &Section<'_>) -> Vec<Route> {
    mount_apps(&mut written);
    written.sort_by_key(|written| match &written.route.path {
        PathMatch::Exact(path) => (0, Reverse(path.len()), path.clone(), written.span.start),
        PathMatch::Prefix(path) => (1, Reverse(path.len()), path.clone(), written.span.start),
    });
    for pair in written.windows(2) {
        if pair[0].route.path == pair[1].route.path {
            let message = format!("two routes of this site have the path `{}`", pair[1].route.name);
            let help = section.reading.first(&pair[0].span);
            section
                .reading
                .problem_with_help(pair[1].span.clone(), message, help);
        }
    }
    written.into_iter().map(|written| written.route).collect()
}

/// An app is mounted at the outermost of its routes: a second route `/admin/` to the app at `/`, there for a
/// larger `body_max` say, must not make `/admin` vanish from the paths the app sees. Where the mount is cut
/// off, the outermost is that of the routes that say so: the same app at `/` keeps its whole path and takes
/// nothing from theirs.
fn mount_apps(written: &mut [Written]) {
    let prefixes: Vec<(AppIndex, bool, String, Option<String>)> = written
        .iter()
        .filter_map(|written| match (&written.route.path, &written.route.action) {
            (path @ PathMatch::Prefix(_), Action::App { app, strip, .. }) => {
                let prefix = bare_prefix(path).to_owned();
                Some((*app, *strip, prefix, written.mount.clone()))
            }
            _ => None,
        })
        .collect();
    for Written {
        route, mount: chosen, ..
    } in written
    {
        let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &route.path;
        if let Action::App {
            app, mount, strip, ..
        } = &mut route.action
        {
            let around = prefixes.iter().filter(|(other, cut, prefix, _)| {
                other == app && (*cut || !*strip) && is_below(path, prefix)
            });
            let outermost = around.min_by_key(|(_, _, prefix, _)| prefix.len());
            let inherited = outermost.map(|(_, _, prefix, mount)| mount.as_ref().unwrap_or(prefix).clone());
            *mount = chosen.take().or(inherited).unwrap_or_default();
        }
    }
}

/// A tebibyte; larger is a typing mistake.
const BODY_MAX: u64 = 1 << 40;

const OTHERS: &[Other] = &[
    Other::Meant("host", "`hosts`"),
    Other::Meant("server_name", "`hosts`"),
    Other::Meant("root", "`files = \"directory\"`"),
    Other::Meant("alias", "`files = \"directory\"`"),
    Other::Meant("static", "files = { \"/static/\" = \"static/\" }"),
    Other::Meant("tls", "it at the top of the file: [tls]"),
    Other::Meant("request_buffering", "it in a [[site.route]] or in [app.NAME]"),
    Other::Meant("client_max_body_size", "`body_max`"),
];

const ROUTE_OTHERS: &[Other] = &[
    Other::Later("match", "use `path`, a prefix or \"= /exact\""),
    Other::Later("timeout", "set `request` in [app.NAME.timeout]"),
    Other::Later("internal", "leave it out"),
    Other::Meant("hosts", "it in the [[site]] above"),
    Other::Meant("https", "it in the [[site]] above"),
    Other::Meant("location", "`path`"),
    Other::Meant("root", "`files = \"directory\"`"),
    Other::Meant("alias", "`files = \"directory\"`"),
    Other::Meant("return", "`redirect` or `respond`"),
    Other::Meant("client_max_body_size", "`body_max`"),
];
