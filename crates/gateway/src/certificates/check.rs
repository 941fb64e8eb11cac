//! Whether an `ssl` object can work, told to whoever wants to store it.

use serde_json::{Map, Value};
use tollgate_resources::objects::Ssl;

use super::clients::Demand;
use super::pem;
use super::served::versions;
use crate::secrets::Secrets;

/// Says what is wrong with an `ssl` object whose shape is right, in APISIX's words: certificates and keys that cannot be
/// read or do not fit. What a secret stands for is found out when the secret is known.
///
/// # Errors
/// The first mistake.
pub fn check_ssl(value: &Map<String, Value>) -> Result<(), String> {
    let ssl: Ssl = serde_json::from_value(Value::Object(value.clone())).map_err(|error| error.to_string())?;
    check_pair(
        ssl.cert.as_deref().unwrap_or_default(),
        ssl.key.as_deref().unwrap_or_default(),
    )?;
    if ssl.is_of_client() {
        return Ok(());
    }
    for (index, (cert, key)) in ssl.certs.iter().zip(&ssl.keys).enumerate() {
        check_pair(cert, key)
            .map_err(|error| format!("failed to handle cert-key pair[{}]: {error}", index + 1))?;
    }
    if let Some(client) = &ssl.client
        && !Secrets::are_named_in(&client.ca)
    {
        pem::authorities(&client.ca).map_err(|error| format!("failed to validate client_cert: {error}"))?;
        Demand::patterns(client)?;
    }
    versions(&ssl.ssl_protocols, &[]).map(|_| ())
}

fn check_pair(cert: &str, key: &str) -> Result<(), String> {
    match (Secrets::are_named_in(cert), Secrets::are_named_in(key)) {
        (false, false) => pem::pair(cert, key, &pem::provider()).map(|_| ()),
        (false, true) => pem::chain(cert).map(|_| ()),
        (true, _) => Ok(()),
    }
}
