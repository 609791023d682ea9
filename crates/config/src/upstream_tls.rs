//! `[upstream.NAME.tls]`: how servers are spoken with over `https://`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[upstream.NAME.tls]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// A server must show a trusted certificate that is for its name.
    pub verify: bool,
    /// The certificates that are trusted instead of the system's authorities.
    pub ca: Option<CaFile>,
}

/// A file of certificates, read together with the configuration: a proxy that starts again later does not
/// need the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaFile {
    /// Where it was, for messages.
    #[serde(with = "crate::serialised_path")]
    pub path: PathBuf,
    /// Its text, PEM.
    pub text: String,
}
