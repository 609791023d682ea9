//! Which processes share a user, and so can signal each other and use each other's files.

use crate::{App, Config, Identity, Surroundings};

/// Names the proxy's user where apps have users of their own and `[server]` has none, so that it does not
/// stay root, and tells so. It is the one that nginx takes then, and none of the apps': that one could stop
/// the proxy.
pub(crate) fn find_proxy(surroundings: &dyn Surroundings, config: &mut Config) -> Option<String> {
    let separate = |app: &App| app.user.as_ref().is_some_and(|user| user.uid != 0);
    if config.server.user.is_some() || !surroundings.is_root() || !config.apps.iter().any(separate) {
        return None;
    }
    let nobody = surroundings.user(NOBODY).unwrap_or_else(|| Identity {
        name: NOBODY.to_owned(),
        ..Identity::from_number(NOBODY_ID)
    });
    config.server.user = Some(nobody);
    let mut who = vec!["the proxy".to_owned()];
    let others = config.apps.iter().filter(|app| app.user.is_none());
    who.extend(others.map(|app| format!("app `{}`", app.name)));
    Some(format!(
        "warning: no `user` in [server]: `{NOBODY}` is the user of {}\n  = help: name a user that may read what is served, such as \
         [server] user = \"www-data\"",
        who.join(", ")
    ))
}

const NOBODY: &str = "nobody";

/// Where no database knows the name.
const NOBODY_ID: u32 = 65534;

impl Config {
    /// For each app that shares the proxy's user and does not say that this is meant, a warning with the
    /// lines that separate the two. Nothing is separate where we are not root, and root itself is told of
    /// elsewhere.
    pub fn check_users(&self, surroundings: &dyn Surroundings) -> Vec<String> {
        let Some(proxy) = self.server.user.as_ref().filter(|user| user.uid != 0) else {
            return Vec::new();
        };
        let sharing = self.apps.iter().filter(|app| app.user.is_none());
        sharing
            .map(|app| {
                let name = &app.name;
                let own = if surroundings.user(name).is_some_and(|user| user.uid == proxy.uid) {
                    format!("{name}-app")
                } else {
                    name.to_lowercase()
                };
                let made = match surroundings.user(&own) {
                    Some(_) => String::new(),
                    None => format!("`useradd --system {own}`, then "),
                };
                format!(
                    "warning: app `{name}` runs as {}, as the proxy does: an attacker in it can stop the proxy\n  \
                     = help: {made}write\n\n      [app.{name}]\n      user = \"{own}\"\n\n    \
                     or user = \"{}\" there where that is meant",
                    proxy.name, proxy.name
                )
            })
            .collect()
    }
}
