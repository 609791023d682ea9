//! Where an application is, as a route of it says.

/// What the application hears of where it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mount<'a> {
    /// The part of the path that leads to it, SCRIPT_NAME; "" at the root.
    pub(crate) prefix: &'a str,
    /// It is not told of that: path and target are cut as if there were nothing before them.
    pub(crate) strip: bool,
    /// What the path begins with for this route, which is the prefix or below it.
    pub(crate) route: &'a str,
}
