//! `[tls]`: certificates and versions.

use std::path::PathBuf;

/// `[tls]`
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificates; the one whose names match the client's SNI is used, the first one when none does.
    pub certificates: Vec<CertificateFiles>,
    /// Oldest protocol version accepted.
    pub minimum: MinimumVersion,
}

/// A certificate chain and its private key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Oldest TLS version accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2 (RFC 5246)
    Tls12,
    /// TLS 1.3 (RFC 8446)
    Tls13,
}
