//! What a route lets through: small pure checks, each in a file of its own, run before anything is read or
//! answered.

pub(crate) mod body_length;
pub(crate) mod host;
pub(crate) mod method;
pub(crate) mod websocket;

use config::Route;
use message::{head::Head, refused::Refused};

/// What a check sees of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The request's head.
    pub(crate) head: &'a Head,
    /// It asks for a WebSocket.
    pub(crate) websocket: bool,
}

type Filter = fn(&Asked<'_>, &Route) -> Result<(), Refused>;

/// In this order. The first check of all is [`host`], which finds the site whose route is asked.
const FILTERS: &[Filter] = &[method::check, body_length::check, websocket::check];

/// Refuses what the route does not allow.
pub(crate) fn check(asked: &Asked<'_>, route: &Route) -> Result<(), Refused> {
    FILTERS.iter().try_for_each(|filter| filter(asked, route))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::Config;

    use super::*;

    /// The only route of a site that says `text`.
    pub(super) fn route(text: &str) -> Route {
        let text = format!("[[site]]\n{text}\n");
        let config = Config::parse(&text, Path::new("/site.toml")).expect("a site");
        config.sites[0].routes[0].clone()
    }

    /// What one check says of a request: 0 lets it pass.
    pub(super) fn status(
        check: fn(&Asked<'_>, &Route) -> Result<(), Refused>,
        head: &Head,
        websocket: bool,
        route: &Route,
    ) -> u16 {
        check(&Asked { head, websocket }, route).map_or_else(|refused| refused.status, |()| 0)
    }

    #[test]
    fn the_first_check_that_does_not_pass_refuses() {
        let mut head = message::downstream::recorder::Recorder::new("TRACE", "/", &[]).head;
        head.body = message::head::BodyLength::Known(u64::MAX);
        let route = route("respond = \"x\"");
        assert_eq!(status(check, &head, false, &route), 405);
        head.method = "POST".to_owned();
        assert_eq!(status(check, &head, false, &route), 413);
    }
}
