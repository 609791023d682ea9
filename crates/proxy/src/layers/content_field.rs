//! Fields that speak of the content of an answer.

/// Does this field say something about what the route is there for? On a page of our own it would be wrong: a
/// 404 that is `immutable` stays in caches, those in front of a site included (RFC 9213), a page that is
/// called `text/css` cannot be read, and one that has a Location leads nowhere. Policies are for pages too.
pub(super) fn is_of_content(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let ends = |suffix: &str| {
        let at = name.len().checked_sub(suffix.len());
        at.and_then(|at| name.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    OF_CONTENT.iter().any(|other| name.eq_ignore_ascii_case(other))
        || ends("cache-control")
        || starts("content-") && !starts("content-security-policy")
}

/// Besides Content-*, and Cache-Control with what is made of it for some caches, as CDN-Cache-Control is.
const OF_CONTENT: &[&str] = &[
    "age",
    "edge-control",
    "etag",
    "expires",
    "last-modified",
    "location",
    "surrogate-control",
    "x-accel-expires",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_content_is_told_from_what_is_policy() {
        for content in [
            "Cache-Control",
            "expires",
            "ETag",
            "Last-Modified",
            "CDN-Cache-Control",
            "cloudflare-cdn-cache-control",
            "Surrogate-Control",
            "X-Accel-Expires",
            "Age",
            "Location",
            "Content-Type",
            "content-disposition",
        ] {
            assert!(is_of_content(content), "{content}");
        }
        for policy in [
            "Content-Security-Policy",
            "Content-Security-Policy-Report-Only",
            "Strict-Transport-Security",
            "Access-Control-Allow-Origin",
            "X-Frame-Options",
        ] {
            assert!(!is_of_content(policy), "{policy}");
        }
    }
}
