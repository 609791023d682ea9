//! `[tls]`

use super::{Other, Section};
use crate::{CertificateFiles, MinimumVersion, Tls};

pub(crate) fn tls(section: Section<'_>) -> Tls {
    let versions = [("1.2", MinimumVersion::Tls12), ("1.3", MinimumVersion::Tls13)];
    let tls = Tls {
        certificates: section
            .sections(
                "certificates",
                "[[tls.certificates]]",
                "certificates = [{ certificate = \"...\", key = \"...\" }]",
            )
            .into_iter()
            .filter_map(certificate)
            .collect(),
        // TLS 1.2 with the suites rustls has is sound, and some clients of site owners still have nothing newer.
        minimum: section
            .value("minimum")
            .and_then(|value| value.choice(&versions, &[("1.0", RETIRED), ("1.1", RETIRED)]))
            .unwrap_or(MinimumVersion::Tls12),
    };
    section.finish(OTHERS);
    tls
}

fn certificate(section: Section<'_>) -> Option<CertificateFiles> {
    let (certificate, key) = (section.path("certificate"), section.path("key"));
    for (name, what) in [
        ("certificate", "the chain, leaf first"),
        ("key", "the private key"),
    ] {
        if !section.has(name) {
            section.problem(
                format!("`{name}` is missing"),
                format!("name the PEM file with {what}"),
            );
        }
    }
    section.finish(&[
        Other::Meant("cert", "`certificate`"),
        Other::Meant("chain", "`certificate`, the file with the whole chain"),
        Other::Meant("private_key", "`key`"),
    ]);
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

const RETIRED: &str = "it is retired (RFC 8996), use \"1.2\" or \"1.3\"";

const OTHERS: &[Other] = &[
    Other::Later(
        "acme",
        "get certificates with certbot and name the files in `certificates`",
    ),
    Other::Later(
        "client_auth",
        "ask for client certificates in front of the appliance",
    ),
    Other::Later("ciphers", "leave it out, only sound suites are offered"),
    Other::Meant(
        "certificate",
        "certificates = [{ certificate = \"...\", key = \"...\" }]",
    ),
    Other::Meant("key", "certificates = [{ certificate = \"...\", key = \"...\" }]"),
    Other::Meant("min_version", "`minimum`"),
    Other::Meant("protocols", "`minimum`"),
];
