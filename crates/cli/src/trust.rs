//! Who is trusted and what is shown in TLS: certificates of the listeners, authorities for upstreams.

use std::path::Path;
use std::sync::Arc;

use tollgate_gateway::server::{Offer, Tls, server_config};
use tollgate_gateway::upstream::Reach;
use tollgate_resources::model::{AdminTls, Deployment, Server, TlsVersion, TrustedCertificates};

use crate::cli::Failure;
use crate::load::env;

/// Where systems keep the authorities they trust: Debian and its kin, Red Hat and its kin, SUSE, Alpine and the BSDs.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The variable with which OpenSSL and others are told of another file.
const SYSTEM_FILE_VARIABLE: &str = "SSL_CERT_FILE";

/// APISIX's name for authorities of the operator.
const TRUSTED_KEY: &str = "apisix.ssl.ssl_trusted_certificate";

/// How upstreams are reached and who vouches for them.
///
/// # Errors
/// A file of authorities cannot be used, or the machine has none.
pub fn reach(deployment: &Deployment) -> Result<Reach, Failure> {
    let mut reach = Reach::new(&deployment.resolve);
    let mut trust = |key: &str, file: &str| {
        reach
            .trust(file)
            .map_err(|error| Failure::new(format!("{key}: {error}")))
    };
    if let Some(file) = &deployment.ca_file {
        trust("tollgate.ca_file", file)?;
    }
    match &deployment.trusted_certificates {
        None => {}
        Some(TrustedCertificates::File(file)) => trust(TRUSTED_KEY, file)?,
        Some(TrustedCertificates::System) => trust(TRUSTED_KEY, &system_file()?)?,
    }
    Ok(reach)
}

fn system_file() -> Result<String, Failure> {
    let named = env(SYSTEM_FILE_VARIABLE).filter(|file| !file.is_empty());
    let usual = || SYSTEM_FILES.into_iter().find(|file| Path::new(file).is_file());
    named.or_else(|| usual().map(str::to_owned)).ok_or_else(|| {
        Failure::new(format!(
            "{TRUSTED_KEY}: this system has no file of authorities where one is usual; \
             name one in {SYSTEM_FILE_VARIABLE}"
        ))
    })
}

/// Versions of TLS of certificates that name none.
pub fn versions(server: &Server) -> Vec<TlsVersion> {
    server
        .https
        .as_ref()
        .map(|https| https.versions.clone())
        .unwrap_or_default()
}

/// What the listeners for calls show, but for those whose certificates come as objects.
///
/// # Errors
/// The certificate cannot be used.
pub fn of_listeners(server: &Server) -> Result<Tls, Failure> {
    let Some(tls) = &server.tls else {
        return Ok(Tls::Off);
    };
    server_config(&tls.cert_file, &tls.key_file, None, Offer::Both)
        .map(Tls::Fixed)
        .map_err(|error| Failure::new(format!("server.tls: {error}")))
}

/// What the listener of the Admin API shows and demands.
///
/// # Errors
/// The certificate, or the authorities for clients, cannot be used.
pub fn of_admin(tls: &AdminTls) -> Result<Arc<tollgate_gateway::server::ServerConfig>, Failure> {
    server_config(
        &tls.cert_file,
        &tls.key_file,
        tls.client_ca_file.as_deref(),
        Offer::Http1,
    )
    .map_err(|error| Failure::new(format!("deployment.admin.admin_api_mtls: {error}")))
}
