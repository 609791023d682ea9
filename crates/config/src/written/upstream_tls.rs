//! `[upstream.NAME.tls]`

use super::{Other, Section, Value};
use crate::{CaFile, UpstreamTls};

/// The table, and the name that the certificates of all servers must be for.
pub(super) fn tls(section: Section<'_>) -> (UpstreamTls, Option<String>) {
    let tls = UpstreamTls {
        // Unlike nginx's `proxy_ssl_verify`: TLS with a server that may be anybody protects nothing.
        verify: section.boolean("verify").unwrap_or(true),
        ca: section.value("ca").and_then(|value| ca(&value)),
    };
    if !tls.verify && section.has("ca") {
        section.warning(
            "`ca` has no effect: with `verify = false` every certificate is accepted",
            "leave `verify` out",
        );
    }
    let server_name = section.value("server_name").and_then(|value| server_name(&value));
    section.finish(OTHERS);
    (tls, server_name)
}

fn ca(value: &Value<'_>) -> Option<CaFile> {
    let path = value.path()?;
    let text = match value.reading.surroundings.read(&path) {
        Ok(text) => text,
        Err(error) => {
            value.problem_with_help(format!("{}: cannot be read: {error}", path.display()), CA);
            return None;
        }
    };
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        value.problem_with_help(format!("{}: holds no certificate in PEM", path.display()), CA);
        return None;
    }
    Some(CaFile { path, text })
}

fn server_name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if is_server_name(text) {
        return Some(text.to_owned());
    }
    value.problem_with_help(
        format!("`{text}` is not a name that a certificate can be for"),
        "write a host name or an IP address, without scheme and port",
    );
    None
}

/// Can a certificate be for this host?
pub(super) fn is_server_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits) && !label.starts_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    // The last label of a name is never a number; `127.1` is an address to some and a name to others.
    let is_numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    is_name && !is_numeric || host.parse::<std::net::IpAddr>().is_ok()
}

const CA: &str = "name the PEM file of the authority that signs the servers' certificates, or a self-signed certificate itself";

const CLIENT: &str = "let the servers ask for no client certificate";

const OTHERS: &[Other] = &[
    Other::Later("certificate", CLIENT),
    Other::Later("key", CLIENT),
    Other::Later("cert", CLIENT),
    Other::Meant("ca_file", "`ca`"),
    Other::Meant("ca_certs", "`ca`"),
    Other::Meant("trusted_certificate", "`ca`"),
    Other::Meant("trusted_ca_certs", "`ca`"),
    Other::Meant("sni", "`server_name`"),
    Other::Meant("insecure", "`verify = false`"),
    Other::Meant("insecure_skip_verify", "`verify = false`"),
    Other::Meant("tls_insecure_skip_verify", "`verify = false`"),
    Other::Meant(
        "verify_hostname",
        "the name that the certificate is for as `server_name`",
    ),
];
