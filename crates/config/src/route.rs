//! `[[site.route]]`: a path and what answers it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{AppIndex, UpstreamIndex};

/// `[[site.route]]`, or one made from the short form of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Name in the log: the path as written.
    pub name: String,
    /// What the normalised request path must look like.
    pub path: PathMatch,
    /// Methods allowed; empty: all that the action knows. Others are answered 405.
    pub methods: Vec<String>,
    /// Fields set on every response of this route (an empty value removes the field).
    pub headers: Vec<(String, String)>,
    /// Largest request body in bytes (413 past it).
    pub body_bytes_max: u64,
    /// What answers.
    pub action: Action,
}

/// How a route matches the normalised, percent-decoded path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathMatch {
    /// Written `"= /path"`: this path only.
    Exact(String),
    /// Written `"/path/"` or `"/path"`, kept as `/path` (and `/` for the root): this path and all below it, at a
    /// segment boundary.
    Prefix(String),
}

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// A Python application; `mount` becomes SCRIPT_NAME ("" at the root, else "/prefix").
    App {
        /// Which.
        app: AppIndex,
        /// SCRIPT_NAME
        mount: String,
        /// The application is not told of the mount: it sees path and target as if that were not there.
        strip: bool,
        /// The request's body is read whole before the application hears of it.
        request_buffering: bool,
    },
    /// Files below a directory.
    Files(Files),
    /// Servers outside.
    Upstream(UpstreamRoute),
    /// 3xx
    Redirect(Redirect),
    /// A fixed answer.
    Respond(Respond),
}

/// Files below a directory; the route's prefix is cut off first (nginx's `alias`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// The directory, absolute; or one file when the route is exact.
    #[serde(with = "crate::serialised_path")]
    pub root: PathBuf,
    /// What is cut from the request path: the prefix without its closing slash ("" at the root), or the whole path of
    /// an exact route, whose `root` is the file.
    pub strip: String,
    /// Names tried for a directory, in order.
    pub index: Vec<String>,
    /// Serve `.br`, `.zst` and `.gz` siblings when the client accepts them.
    pub precompressed: bool,
    /// Cache-Control of the answers; empty: none is sent.
    pub cache_control: String,
    /// How far symbolic links below the root are followed.
    pub symlinks: Symlinks,
    /// Content types by the ending of the name, without its dot, before those of the table.
    pub types: Vec<(String, String)>,
    /// What is said of the characters of texts.
    pub charset: Charset,
}

/// `charset` of the files that are texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charset {
    /// UTF-8, and nothing for HTML and XML, which declare it themselves.
    Usual,
    /// Nothing.
    None,
    /// This one, for every text.
    Named(String),
}

/// How far symbolic links below the root of `files` are followed. Those on the way to the root always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Symlinks {
    /// Wherever they lead, as nginx does.
    Follow,
    /// As long as they stay below the root.
    Inside,
}

/// A route to an upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpstreamRoute {
    /// Which.
    pub upstream: UpstreamIndex,
    /// What is cut from the path before it is sent: the prefix without its closing slash ("" keeps the path).
    pub strip: String,
}

/// 3xx
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Target; `{scheme}`, `{host}`, `{path}`, `{query}` (with its `?`) and `{target}` (path and query) are replaced.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Respond {
    /// Status code.
    pub status: u16,
    /// Content-Type
    pub content_type: String,
    /// Body
    pub body: String,
}
