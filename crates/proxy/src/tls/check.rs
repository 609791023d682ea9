//! Certificates as `appliance check` looks at them.

use std::time::SystemTime;

use config::{Config, Host};

use super::{certificate::Certificate, pem::Pem};

/// Certificates that can be served.
#[derive(Debug, Default)]
pub struct CertificatesChecked {
    /// A line about each, with its names and expiry.
    pub told: Vec<String>,
    /// What clients will dislike.
    pub warnings: Vec<String>,
}

/// Opens every certificate and key, and looks at those that servers of upstreams are verified by. `Err`: what
/// keeps the proxy from starting, every problem at once.
pub fn check_certificates(config: &Config) -> Result<CertificatesChecked, Vec<String>> {
    let now = SystemTime::now();
    let mut checked = CertificatesChecked::default();
    let mut certificates = Vec::new();
    let mut problems = Vec::new();
    for files in &config.tls.certificates {
        match Pem::read(files).and_then(|pem| Certificate::new(files, &pem)) {
            Ok(certificate) => {
                checked.told.push(certificate.told(now));
                checked.warnings.extend(certificate.warnings(now));
                certificates.push(certificate);
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    if let Some(listener) = config.listeners.iter().find(|listener| listener.tls) {
        if config.tls.certificates.is_empty() {
            problems.push(super::TlsError::NoCertificate(listener.address.to_string()).to_string());
        }
        for host in config.sites.iter().flat_map(|site| &site.hosts) {
            if !certificates.iter().any(|certificate| certificate.covers(host)) {
                let name = match host {
                    Host::Exact(name) => name.clone(),
                    Host::Below(below) => format!("*{below}"),
                };
                checked.warnings.push(format!(
                    "no certificate is for {name}: clients refuse it by HTTPS"
                ));
            }
        }
    }
    match super::servers(&config.upstreams) {
        Ok((_, warning)) => checked.warnings.extend(warning),
        Err(error) => problems.push(error.to_string()),
    }
    if problems.is_empty() {
        Ok(checked)
    } else {
        Err(problems)
    }
}
