//! A body that says to be larger than its route allows. One that does not say how large it is meets the limit
//! while it is read.

use config::Route;
use logs::Outcome;
use message::{head::BodyLength, refused::Refused};

use super::Asked;

/// 413
pub(super) fn check(asked: &Asked<'_>, route: &Route) -> Result<(), Refused> {
    match asked.head.body {
        BodyLength::Known(len) if len > route.body_bytes_max => Err(Refused::new(413, Outcome::Refused)),
        BodyLength::Known(_) | BodyLength::Unknown => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use message::downstream::recorder::Recorder;

    use super::*;
    use crate::filter::tests::{route, status};

    #[test]
    fn a_body_may_be_as_large_as_the_route_says() {
        let mut route = route("respond = \"x\"");
        route.body_bytes_max = 10;
        let mut head = Recorder::new("POST", "/", &[]).head;
        for (body, expected) in [
            (BodyLength::Known(0), 0),
            (BodyLength::Known(10), 0),
            (BodyLength::Known(11), 413),
            (BodyLength::Unknown, 0),
        ] {
            head.body = body;
            assert_eq!(status(check, &head, false, &route), expected, "{body:?}");
        }
    }
}
