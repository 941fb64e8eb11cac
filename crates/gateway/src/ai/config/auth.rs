//! Credentials towards a vendor.

use std::collections::BTreeMap;

use serde::Deserialize;
use tollgate_resources::Secret;

/// Credentials towards a vendor.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Headers set on every request, over those of the client.
    #[schemars(schema_with = "super::schema::texts")]
    pub header: BTreeMap<String, Secret>,
    /// Arguments added to every query.
    #[schemars(schema_with = "super::schema::texts")]
    pub query: BTreeMap<String, Secret>,
    /// A Google service account.
    pub gcp: Option<GcpAuth>,
    /// An Amazon key to sign requests with.
    pub aws: Option<AwsAuth>,
}

/// A Google service account.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct GcpAuth {
    /// The account's JSON. Without it the variable `GCP_SERVICE_ACCOUNT` is used.
    pub service_account_json: Option<Secret>,
    /// Most seconds a token is used, whatever it says itself.
    #[schemars(range(min = 1))]
    pub max_ttl: Option<u64>,
    /// Seconds before its end that a token is renewed.
    #[serde(default = "expire_early_secs")]
    pub expire_early_secs: u64,
}

impl GcpAuth {
    /// An account by its JSON, everything else as it is usual.
    pub fn of_account(json: Secret) -> Self {
        GcpAuth {
            service_account_json: Some(json),
            max_ttl: None,
            expire_early_secs: expire_early_secs(),
        }
    }
}

/// An Amazon key to sign requests with.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct AwsAuth {
    /// Id of the key.
    #[schemars(length(min = 1))]
    pub access_key_id: String,
    /// The key.
    #[schemars(length(min = 1))]
    pub secret_access_key: Secret,
    /// Token of temporary keys.
    #[schemars(length(min = 1))]
    pub session_token: Option<Secret>,
}

fn expire_early_secs() -> u64 {
    60
}
