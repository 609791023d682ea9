//! Methods that a route takes.

use config::{Action, Route};
use logs::Outcome;
use message::{head::METHODS, refused::Refused};

use super::Asked;
use crate::files;

/// 405, which names the methods that are allowed.
pub(super) fn check(asked: &Asked<'_>, route: &Route) -> Result<(), Refused> {
    let method = &asked.head.method;
    let allowed = match route.methods.as_slice() {
        // TRACE would send cookies and credentials back to a script; nginx refuses it everywhere too.
        [] => method != "TRACE",
        // On HTTP/2 the GET of a WebSocket is a CONNECT.
        methods if asked.websocket => methods.iter().any(|method| method == "GET"),
        methods => methods.contains(method),
    };
    if allowed {
        return Ok(());
    }
    let allow = match (route.methods.as_slice(), &route.action) {
        ([], Action::Files(_)) => files::METHODS.to_owned(),
        ([], _) => METHODS.to_owned(),
        (methods, _) => methods.join(", "),
    };
    Err(Refused::new(405, Outcome::Refused).with("allow", allow))
}

#[cfg(test)]
mod tests {
    use message::downstream::recorder::Recorder;

    use super::*;
    use crate::filter::tests::{route, status};

    #[test]
    fn a_route_takes_the_methods_that_it_names() {
        let mut route = route("respond = \"x\"");
        let mut status = |methods: &[&str], method, websocket| {
            route.methods = methods.iter().map(|&method| method.to_owned()).collect();
            status(check, &Recorder::new(method, "/", &[]).head, websocket, &route)
        };
        assert_eq!(status(&[], "DELETE", false), 0);
        assert_eq!(status(&[], "TRACE", false), 405);
        assert_eq!(status(&["GET", "PUT"], "PUT", false), 0);
        assert_eq!(status(&["GET", "PUT"], "POST", false), 405);
        assert_eq!(status(&["GET"], "get", false), 405, "methods have a case");
        assert_eq!(status(&["GET"], "CONNECT", true), 0);
        assert_eq!(status(&["POST"], "CONNECT", true), 405);
    }

    #[test]
    fn a_refusal_names_the_methods_that_are_allowed() {
        let head = Recorder::new("TRACE", "/", &[]).head;
        let asked = Asked {
            head: &head,
            websocket: false,
        };
        let mut route = route("respond = \"x\"");
        let refused = check(&asked, &route).expect_err("TRACE");
        assert_eq!(refused.fields, [("allow", METHODS.to_owned())]);
        route.methods = vec!["GET".to_owned(), "PUT".to_owned()];
        let refused = check(&asked, &route).expect_err("TRACE");
        assert_eq!(refused.fields, [("allow", "GET, PUT".to_owned())]);
    }
}
