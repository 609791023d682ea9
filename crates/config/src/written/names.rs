//! What sites may refer to.

/// The names that sites refer to, in the order of `Config::apps` and `Config::upstreams`.
pub(crate) struct Names<'r> {
    pub(crate) apps: Vec<&'r str>,
    /// Whether each app gets its requests whole; `None` for those that know nothing else.
    pub(crate) buffering: Vec<Option<bool>>,
    pub(crate) upstreams: Vec<&'r str>,
    pub(crate) tls: bool,
}
