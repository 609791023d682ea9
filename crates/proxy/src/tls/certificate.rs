//! A certificate chain with its key, as loaded from files.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use config::CertificateFiles;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Longest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

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
    /// The file of the chain.
    path: PathBuf,
    not_before: SystemTime,
    not_after: SystemTime,
    /// `not_after` as a day.
    expires: String,
}

/// Why a certificate can not be used; the file and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// The file can not be read.
    #[error("{}: can not be read: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It holds no certificate.
    #[error("{}: holds no certificate; a PEM file with the chain, leaf first, is expected", .0.display())]
    NoCertificate(PathBuf),
    /// It holds no private key.
    #[error("{}: holds no private key; a PEM file with `BEGIN PRIVATE KEY` is expected", .0.display())]
    NoKey(PathBuf),
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
    /// The key is not the certificate's.
    #[error("{}: this key does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl Certificate {
    /// Reads both files and makes sure that they belong together.
    pub(crate) fn load(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let chain = read_chain(&files.certificate)?;
        let key = read_key(&files.key)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| {
            CertificateError::Malformed {
                path: files.key.clone(),
                reason: format!("this private key can not be used: {error}"),
            }
        })?;
        let malformed = |reason: String| CertificateError::Malformed {
            path: files.certificate.clone(),
            reason,
        };
        let leaf = Leaf::parse(&chain[0]).map_err(malformed)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // Unknown: the key can not tell its public half, which no key of ours does.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: files.certificate.clone(),
                    key: files.key.clone(),
                });
            }
            Err(error) => return Err(malformed(format!("this certificate can not be used: {error}"))),
        }
        Ok(Self {
            key: Arc::new(key),
            names: leaf.names,
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
    not_before: SystemTime,
    not_after: SystemTime,
    expires: String,
}

impl Leaf {
    fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, leaf) = X509Certificate::from_der(der)
            .map_err(|error| format!("the first certificate is malformed: {error}"))?;
        let mut names = Vec::new();
        if let Ok(Some(alternatives)) = leaf.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                if let GeneralName::DNSName(name) = name {
                    names.push(name.trim_end_matches('.').to_ascii_lowercase());
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

fn moment(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed_pem(path, &error))?;
    match chain.is_empty() {
        true => Err(CertificateError::NoCertificate(path.to_owned())),
        false => Ok(chain),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(path)?;
    let says = |mark: &[u8]| memchr::memmem::find(&text, mark).is_some();
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::EncryptedKey(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey(path.to_owned()),
        error => malformed_pem(path, &error),
    })
}

fn malformed_pem(path: &Path, error: &pem::Error) -> CertificateError {
    CertificateError::Malformed {
        path: path.to_owned(),
        reason: format!("is not well-formed PEM: {error}"),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |error| CertificateError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text))
        .map_err(unreadable)?;
    Ok(text)
}
