//! Host names of a site.

use super::Value;
use crate::Host;

/// `example.org` or `*.example.org`, in any case.
pub(crate) fn host(value: &Value<'_>) -> Option<Host> {
    let text = value.text()?;
    let name = text.to_ascii_lowercase();
    let (below, name) = name
        .strip_prefix("*.")
        .map_or((false, name.as_str()), |name| (true, name));
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits)
    };
    // Labels may have underscores, and these two are no names: nginx's way to say "every other".
    let is_everything = matches!(name, "_" | "default_server");
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok() || is_bracketed_ipv6(name);
    let bare = name.strip_suffix('.').unwrap_or(name);
    if !is_everything
        && bare.len() <= 253
        && (bare.split('.').all(is_label) || is_address)
        && !(below && is_address)
    {
        return Some(if below {
            Host::Below(format!(".{bare}"))
        } else {
            Host::Exact(bare.to_owned())
        });
    }
    let help = if is_everything || matches!(text, "*" | "") {
        "leave `hosts` out of the site that answers for every other host".to_owned()
    } else if text.starts_with(['~', '^']) {
        "there are no patterns: write each name, or \"*.example.org\" for all below it".to_owned()
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("write an IPv6 address in brackets: \"[{text}]\"")
    } else if let [first, second, ..] = text.split([' ', '\t', ',']).collect::<Vec<_>>()[..] {
        format!("write a list of names: [\"{first}\", \"{}\"]", second.trim())
    } else if let Some(domain) = text.strip_prefix('.').filter(|domain| !domain.is_empty()) {
        format!("write the name itself and all below it: \"{domain}\", \"*.{domain}\"")
    } else if text.contains("://") || text.contains('/') {
        "write the host name only, without scheme and path".to_owned()
    } else if let Some((host, _)) = text
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
    {
        format!("write it without the port: \"{host}\"")
    } else if !text.is_ascii() {
        "write an international name in its ASCII form, \"xn--...\"".to_owned()
    } else if text.contains('*') {
        "a `*` may only stand first: \"*.example.org\"".to_owned()
    } else {
        "write a name such as \"example.org\" or \"*.example.org\"".to_owned()
    };
    value.problem_with_help(format!("`{text}` is not a host name"), help);
    None
}

fn is_bracketed_ipv6(name: &str) -> bool {
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inside.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}
