//! A certificate chain with its key, as loaded from files.

use std::{
    io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use config::{CertificateFiles, Host};
use rustls::{pki_types::CertificateDer, sign::CertifiedKey};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate, X509Version},
    public_key::PublicKey,
};

use super::{
    chain,
    pem::{self, Pem},
};

const RSA_BITS_MIN: usize = 2048;
/// The keys that handshakes can be signed with.
const KEYS: &str = "RSA of 2048 bits and more, P-256, P-384 and Ed25519";
/// Curves by their identifiers.
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// A certificate that expires sooner than this is worth a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// A certificate chain with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// For the handshake.
    pub(crate) key: Arc<CertifiedKey>,
    /// DNS names it is for, lower case, `*.example.org` for a wildcard.
    pub(crate) names: Vec<String>,
    /// The names are of its subjectAltName, not only the common name.
    has_alternatives: bool,
    /// The file of the chain.
    path: PathBuf,
    not_before: SystemTime,
    not_after: SystemTime,
    /// `not_after` as a day.
    expires: String,
}

/// Why a certificate cannot be used; the file and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// The file cannot be read.
    #[error("{}", pem::unreadable(path, error))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It holds no certificate.
    #[error("{}: holds no certificate{found}; name the PEM file of the chain, leaf first", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, as a part of the sentence.
        found: &'static str,
    },
    /// It holds no private key.
    #[error("{}: holds no private key{found}; name the PEM file that begins with `BEGIN PRIVATE KEY`", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, as a part of the sentence.
        found: &'static str,
    },
    /// The key is protected by a passphrase.
    #[error(
        "{}: the private key is encrypted and nobody can be asked for its passphrase; decrypt it with `openssl pkey`",
        .0.display()
    )]
    EncryptedKey(PathBuf),
    /// The text is not PEM or not what PEM says it is.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is that of another certificate of the chain.
    #[error(
        "{}: the chain is in the wrong order: the certificate that the key belongs to is number {place} in it; put it first, \
         and behind it that of its issuer", path.display()
    )]
    Order {
        /// The file of the chain.
        path: PathBuf,
        /// Where in it the leaf is, counted from one.
        place: usize,
    },
    /// The key is that of an authority in the chain.
    #[error(
        "{}: this key belongs to certificate number {place} in {}, which is that of an authority; name the key that the \
         first one was made for", key.display(), certificate.display()
    )]
    Authority {
        /// The file of the chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Where in the chain its certificate is, counted from one.
        place: usize,
    },
    /// The key is not the certificate's.
    #[error(
        "{}: this key does not belong to the certificate {}; name the key that the certificate was made for",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl Certificate {
    /// Understands what stands in both files and makes sure that it belongs together.
    pub(crate) fn new(files: &CertificateFiles, pem: &Pem) -> Result<Self, CertificateError> {
        let chain = pem::chain(&files.certificate, &pem.chain)?;
        let key = pem::key(&files.key, &pem.key)?;
        let malformed = |reason: String| CertificateError::Malformed {
            path: files.certificate.clone(),
            reason,
        };
        // Whoever verifies the chain refuses all of it for one that is damaged.
        for (before, der) in chain.iter().enumerate() {
            if !matches!(X509Certificate::from_der(der), Ok(([], _))) {
                return Err(malformed(damaged(before + 1)));
            }
        }
        let leaf = Leaf::parse(&chain[0]).map_err(malformed)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| {
            CertificateError::Malformed {
                path: files.key.clone(),
                reason: format!(
                    "this private key is damaged or of another kind than this server has; it has {KEYS}"
                ),
            }
        })?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // Unknown: the key cannot tell its public half, which no key of ours does.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let belongs = |der: &CertificateDer<'static>| {
                    CertifiedKey::new(vec![der.clone()], key.key.clone())
                        .keys_match()
                        .is_ok()
                };
                let is_authority =
                    |der| X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca());
                return Err(match key.cert.iter().position(belongs) {
                    Some(before) if is_authority(&key.cert[before]) && !is_authority(&key.cert[0]) => {
                        CertificateError::Authority {
                            certificate: files.certificate.clone(),
                            key: files.key.clone(),
                            place: before + 1,
                        }
                    }
                    Some(before) => CertificateError::Order {
                        path: files.certificate.clone(),
                        place: before + 1,
                    },
                    None => CertificateError::Mismatch {
                        certificate: files.certificate.clone(),
                        key: files.key.clone(),
                    },
                });
            }
            Err(_) => return Err(malformed(damaged(1))),
        }
        Ok(Self {
            key: Arc::new(key),
            names: leaf.names,
            has_alternatives: leaf.has_alternatives,
            path: files.certificate.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            expires: leaf.expires,
        })
    }

    /// What an operator wants to know, on one line.
    pub(crate) fn told(&self, now: SystemTime) -> String {
        let names = match self.names.is_empty() {
            true => "no DNS name".to_owned(),
            false => self.names.join(", "),
        };
        let mut line = format!("{}: {names}, expires {}", self.path.display(), self.expires);
        if let Some(problem) = self.expiry_problem(now) {
            line.push_str(", ");
            line.push_str(&problem);
        }
        line
    }

    /// What clients will dislike, though it is served.
    pub(crate) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let shown = self.path.display();
        let mut warnings = Vec::new();
        if let Some(problem) = self.expiry_problem(now) {
            warnings.push(format!("{shown}: expires {}, {problem}", self.expires));
        }
        if !self.has_alternatives {
            let name = self.names.first().map_or("example.org", String::as_str);
            warnings.push(format!(
                "{shown}: has no subjectAltName, and browsers ignore the common name; make a new certificate, with openssl \
                 by -addext subjectAltName=DNS:{name}"
            ));
        }
        let chain: Vec<_> = self
            .key
            .cert
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok())
            .map(|(_, certificate)| certificate)
            .collect();
        warnings.extend(chain::problem(&chain).map(|problem| format!("{shown}: {problem}")));
        for authority in chain.iter().skip(1) {
            if moment(authority.validity().not_after.timestamp()) < now {
                warnings.push(format!(
                    "{shown}: the intermediate certificate of {} expired",
                    authority.subject()
                ));
            }
        }
        warnings
    }

    /// Is it for this host, or for all below a `.host`?
    pub(crate) fn covers(&self, host: &Host) -> bool {
        self.names.iter().any(|name| match host {
            Host::Exact(host) => {
                let wild = name.strip_prefix('*').zip(host.split_once('.'));
                name == host || wild.is_some_and(|(below, (_, rest))| below.strip_prefix('.') == Some(rest))
            }
            Host::Below(below) => name.strip_prefix('*') == Some(below),
        })
    }

    /// What is wrong with its dates.
    pub(crate) fn expiry_problem(&self, now: SystemTime) -> Option<String> {
        if now < self.not_before {
            return Some("not valid yet".to_owned());
        }
        let Ok(left) = self.not_after.duration_since(now) else {
            return Some("expired".to_owned());
        };
        (left < EXPIRY_WARNING).then(|| match left.as_secs() / DAY {
            0 => "which is in less than a day".to_owned(),
            1 => "which is in 1 day".to_owned(),
            days => format!("which is in {days} days"),
        })
    }

    /// A certificate past its dates is served all the same: a browser's warning is better than no site, and it may be
    /// the clock that is wrong.
    pub(crate) fn warn_of_expiry(&self) {
        if let Some(problem) = self.expiry_problem(SystemTime::now()) {
            let certificate = self.path.display();
            tracing::warn!(%certificate, expires = self.expires, problem, "certificate out of its dates or near their end");
        }
    }
}

/// What the leaf certificate says.
struct Leaf {
    names: Vec<String>,
    has_alternatives: bool,
    not_before: SystemTime,
    not_after: SystemTime,
    expires: String,
}

impl Leaf {
    fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, leaf) = X509Certificate::from_der(der).map_err(|_| damaged(1))?;
        if let Some(unusable) = unusable(&leaf) {
            return Err(unusable);
        }
        let mut names = Vec::new();
        let mut has_alternatives = false;
        if let Ok(Some(alternatives)) = leaf.subject_alternative_name() {
            has_alternatives = true;
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push(name.trim_end_matches('.').to_ascii_lowercase()),
                    GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                    _ => {}
                }
            }
        } else {
            // Clients ignore the common name since long; it is kept for choosing among old certificates only.
            let common = leaf
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok());
            names.extend(common.map(str::to_ascii_lowercase));
        }
        let validity = leaf.validity();
        let expires = validity.not_after.to_datetime();
        Ok(Self {
            names,
            has_alternatives,
            not_before: moment(validity.not_before.timestamp()),
            not_after: moment(validity.not_after.timestamp()),
            expires: format!(
                "{:04}-{:02}-{:02}",
                expires.year(),
                u8::from(expires.month()),
                expires.day()
            ),
        })
    }
}

/// What is said of a certificate, counted from one, that is none.
fn damaged(place: usize) -> String {
    format!("certificate number {place} in it is damaged; copy the file anew from where it was made")
}

/// As a site's `hosts` have it.
fn address(bytes: &[u8]) -> Option<String> {
    <[u8; 4]>::try_from(bytes)
        .map(|bytes| IpAddr::from(bytes).to_string())
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::from(bytes).to_string()))
        .ok()
}

/// Why no client of ours could be served with this certificate.
fn unusable(leaf: &X509Certificate<'_>) -> Option<String> {
    if leaf.version() != X509Version::V3 {
        return Some(
            "is an X.509 certificate of version 1, which clients refuse; make one of version 3, with a subjectAltName: \
             openssl req -x509 -addext subjectAltName=DNS:example.org ..."
                .to_owned(),
        );
    }
    let key = leaf.public_key();
    let has = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < RSA_BITS_MIN => {
            format!("an RSA key of {} bits", rsa.key_size())
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key
                .algorithm
                .parameters
                .as_ref()
                .and_then(|any| any.as_oid().ok())?
                .to_id_string();
            match curve.as_str() {
                P256 | P384 => return None,
                "1.3.132.0.35" => "a key on the curve P-521".to_owned(),
                other => format!("a key on the curve {other}"),
            }
        }
        _ => return None,
    };
    Some(format!(
        "has {has}; this server has {KEYS}: make a new key, for \
         example with `openssl ecparam -name prime256v1 -genkey -noout`, and a certificate for it"
    ))
}

fn moment(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}
