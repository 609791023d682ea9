//! Certificates as `appliance check` looks at them.

use std::time::SystemTime;

use config::Config;

use super::certificate::Certificate;

/// Opens every certificate and key. `Ok`: a line about each, with its names and expiry. `Err`: what keeps the proxy from
/// starting, every problem at once.
pub fn check_certificates(config: &Config) -> Result<Vec<String>, Vec<String>> {
    let now = SystemTime::now();
    let mut told = Vec::new();
    let mut problems = Vec::new();
    for files in &config.tls.certificates {
        match Certificate::load(files) {
            Ok(certificate) => told.push(certificate.told(now)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if config.tls.certificates.is_empty()
        && let Some(listener) = config.listeners.iter().find(|listener| listener.tls)
    {
        problems.push(super::TlsError::NoCertificate(listener.address.to_string()).to_string());
    }
    if problems.is_empty() {
        Ok(told)
    } else {
        Err(problems)
    }
}
