//! WebSockets over HTTP/2, where a client believes that whatever answers 200 is one.

use config::{Action, Route};
use logs::Outcome;
use message::{head::Version, refused::Refused};

use super::Asked;

/// 501
pub(super) fn check(asked: &Asked<'_>, route: &Route) -> Result<(), Refused> {
    match asked.websocket && asked.head.version == Version::Http2 && !takes_websockets(&route.action) {
        true => Err(Refused::new(501, Outcome::Refused)),
        false => Ok(()),
    }
}

/// Does this route lead to somebody who may know WebSockets?
fn takes_websockets(action: &Action) -> bool {
    match action {
        Action::App { .. } | Action::Upstream(_) => true,
        Action::Files(_) | Action::Redirect(_) | Action::Respond(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use message::downstream::recorder::Recorder;

    use super::*;
    use crate::filter::tests::{route, status};

    #[test]
    fn over_http2_nobody_but_an_app_or_a_server_is_asked_for_a_websocket() {
        let route = route("respond = \"x\"");
        let mut head = Recorder::new("GET", "/", &[]).head;
        assert_eq!(
            status(check, &head, true, &route),
            0,
            "HTTP/1.1 has its own word for it"
        );
        head.version = Version::Http2;
        assert_eq!(status(check, &head, true, &route), 501);
        assert_eq!(status(check, &head, false, &route), 0);
    }
}
