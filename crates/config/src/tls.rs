//! `[tls]`: certificates and versions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// Certificates; the one whose names match the client's SNI is used, the first one when none does.
    pub certificates: Vec<CertificateFiles>,
    /// Oldest protocol version accepted.
    pub minimum: MinimumVersion,
}

/// Longest file of a certificate or key that is read.
pub const PEM_BYTES_MAX: u64 = 4 << 20;

/// A certificate chain and its private key, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    #[serde(with = "crate::serialised_path")]
    pub certificate: PathBuf,
    /// The private key.
    #[serde(with = "crate::serialised_path")]
    pub key: PathBuf,
}

/// Oldest TLS version accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinimumVersion {
    /// TLS 1.2 (RFC 5246)
    Tls12,
    /// TLS 1.3 (RFC 8446)
    Tls13,
}
