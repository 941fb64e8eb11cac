//! `providers`: where models come from.

use super::Env;
use super::file::{AwsEntry, File, ProviderEntry};
use crate::check;
use crate::model::{Dialect, Instance, Provider, SIMULATED_SCHEME, Signing, UpstreamTls};
use crate::named::Named;
use crate::report::{Report, quote, unknown};
use crate::secret::SecretRef;
use crate::tree::Path;

/// Everything an instance has from its provider.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) kind: Provider,
    /// May hold `{region}` and `{project}` until the provider is used.
    pub(crate) endpoint: String,
    pub(crate) credential: Option<SecretRef>,
    /// The region of the key that signs is empty until the provider is used.
    pub(crate) signing: Option<Signing>,
    pub(crate) region: Option<SecretRef>,
    pub(crate) project: Option<SecretRef>,
    pub(crate) headers: Named<SecretRef>,
    pub(crate) tls: UpstreamTls,
    pub(crate) http2: bool,
    pub(crate) dialects: Vec<Dialect>,
}

impl Connection {
    /// An instance over this connection, with nothing else set.
    pub(crate) fn instance(self, name: impl Into<String>) -> Instance {
        Instance {
            name: name.into(),
            provider: self.kind,
            model: None,
            endpoint: self.endpoint,
            credential: self.credential,
            signing: self.signing,
            headers: self.headers,
            options: Named::new(),
            weight: 1,
            tls: self.tls,
            http2: self.http2,
            dialects: self.dialects,
        }
    }
}

/// What comes of using a provider.
#[derive(Clone, Debug)]
pub(crate) enum Use {
    /// Its models can be served.
    On(Box<Connection>),
    /// It is optional, and this environment variable is not set.
    Off { variable: String },
    /// Something is wrong with it, and has been reported.
    Mistaken,
}

/// What a variable that is not set means for a provider that is not optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// A mistake.
    Refuse,
    /// A note; requests go out without a key, and the provider refuses them.
    SendNone,
}

/// The providers of a file together with the built-in ones.
pub(crate) struct Providers {
    known: Named<Known>,
}

struct Known {
    /// `None` when something is wrong with it.
    connection: Option<Connection>,
    optional: bool,
    /// Built-in and not mentioned in the file.
    implied: bool,
    used: Option<Use>,
}

impl Providers {
    /// Checks all providers of the file. Environment variables are looked up only when a provider is used.
    pub(crate) fn new(file: &File, report: &mut Report) -> Providers {
        let mut known = Named::new();
        for (name, entry) in file.providers.iter() {
            let connection = check_provider(name, entry, report);
            known.insert(
                name,
                Known {
                    connection,
                    optional: entry.optional,
                    implied: false,
                    used: None,
                },
            );
        }
        // Entries that did not fit their type are known by name, so that models that use them are not wrong as well.
        let written: Vec<String> = report
            .tree
            .get("providers")
            .into_iter()
            .flat_map(|node| node.keys())
            .map(str::to_owned)
            .collect();
        for name in written {
            if !known.contains(&name) {
                known.insert(
                    name,
                    Known {
                        connection: None,
                        optional: false,
                        implied: false,
                        used: None,
                    },
                );
            }
        }
        for kind in Provider::ALL {
            let Some(endpoint) = kind.default_endpoint() else {
                continue;
            };
            if !known.contains(kind.name()) {
                let connection = Some(Connection {
                    kind,
                    endpoint: endpoint.to_owned(),
                    credential: kind.default_key_variable().map(SecretRef::variable),
                    signing: None,
                    region: kind.default_region_variable().map(SecretRef::variable),
                    project: default_project(kind),
                    headers: Named::new(),
                    tls: UpstreamTls::default(),
                    http2: false,
                    dialects: kind.default_dialects().to_vec(),
                });
                known.insert(
                    kind.name(),
                    Known {
                        connection,
                        optional: false,
                        implied: true,
                        used: None,
                    },
                );
            }
        }
        Providers { known }
    }

    /// Tells whether there is a provider of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Names of all providers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.known.names()
    }

    /// Uses the provider `name` that is named at `path`. The variables its key and headers refer to are looked up, and
    /// what is wrong with them is reported once.
    pub(crate) fn connect(
        &mut self,
        name: &str,
        path: &Path,
        missing: MissingKey,
        report: &mut Report,
        env: Env<'_>,
    ) -> Use {
        let Some(known) = self.known.get_mut(name) else {
            report.mistake(
                path,
                unknown("provider", name, self.known.names().collect::<Vec<_>>()),
            );
            return Use::Mistaken;
        };
        if let Some(used) = &known.used {
            return used.clone();
        }
        let used = match &known.connection {
            None => Use::Mistaken,
            Some(connection) => look_up(name, connection, known.optional, path, missing, report, env),
        };
        known.used = Some(used.clone());
        used
    }

    /// Notes the providers that were written but not used.
    pub(crate) fn note_unused(&self, report: &mut Report) {
        for (name, known) in self.known.iter() {
            if known.used.is_none() && known.connection.is_some() && !known.implied {
                report.note(format!("providers.{name}: not used by any model"));
            }
        }
    }
}

fn check_provider(name: &str, entry: &ProviderEntry, report: &mut Report) -> Option<Connection> {
    let path = Path::of(["providers", name]);
    let before = report.mistakes.len();
    if let Err(text) = check::name(name) {
        report.mistake(&path, text);
    }
    let Some(kind) = entry
        .kind
        .or_else(|| Provider::ALL.into_iter().find(|kind| kind.name() == name))
    else {
        // A `kind` that did not fit its type has been reported.
        if report.tree.at(&path.key("kind")).is_none() {
            let kinds = Provider::ALL.map(Provider::name).join(", ");
            report.mistake(
                &path.key("kind"),
                format!("missing; which API does it speak? (allowed: {kinds})"),
            );
        }
        return None;
    };

    let endpoint = check_endpoint(kind, entry, &path, report);
    check_places(kind, entry, &path, report);
    if entry.key.as_ref().is_some_and(SecretRef::is_empty) {
        report.mistake(
            &path.key("key"),
            "the key is empty; name a variable, such as `$env://NAME`, or leave `key` out",
        );
    }
    let mut headers = Named::new();
    for (header, value) in entry.headers.iter() {
        let path = path.key("headers").key(header);
        match check::header_name(header) {
            Ok(lower) if headers.contains(&lower) => report.mistake(&path, "the header is given twice"),
            Ok(lower) => drop(headers.insert(lower, value.clone())),
            Err(text) => report.mistake(&path, text),
        }
    }
    if entry.tls.ca_file.as_ref().is_some_and(String::is_empty) {
        report.mistake(&path.key("tls").key("ca_file"), "the name of the file is empty");
    }
    let dialects = entry
        .dialects
        .clone()
        .unwrap_or_else(|| kind.default_dialects().to_vec());
    if dialects.is_empty()
        && report
            .tree
            .at(&path.key("dialects"))
            .is_some_and(|node| node.items().is_empty())
    {
        report.mistake(
            &path.key("dialects"),
            "the list is empty; leave it out, or name at least one",
        );
    }

    let endpoint = endpoint?;
    if report.mistakes.len() > before {
        return None;
    }
    if entry.tls.verify == Some(false) {
        report.note(format!(
            "providers.{name}.tls.verify: certificates are not verified; anyone on the way may read the key"
        ));
    }
    let signing = entry.aws.as_ref().map(signing);
    let credential = match signing {
        Some(_) => None,
        None => entry
            .key
            .clone()
            .or_else(|| kind.default_key_variable().map(SecretRef::variable)),
    };
    let secret = signing.as_ref().map(|signing| &signing.secret_access_key);
    if let Some(key) = credential.as_ref().or(secret) {
        if key.variables().next().is_none() {
            report.note(format!(
                "providers.{name}.key: written in clear; `$env://NAME` keeps it out of the file"
            ));
        }
        if check::readable_on_the_way(&endpoint) {
            report.note(format!(
                "providers.{name}.endpoint: the key is sent over plain HTTP; anyone on the way may read it"
            ));
        }
    }
    Some(Connection {
        kind,
        endpoint,
        credential,
        signing,
        region: entry
            .region
            .clone()
            .or_else(|| kind.default_region_variable().map(SecretRef::variable)),
        project: entry.project.clone().or_else(|| default_project(kind)),
        headers,
        tls: UpstreamTls {
            ca_file: entry.tls.ca_file.clone(),
            verify: entry.tls.verify.unwrap_or(true),
        },
        http2: entry.http2,
        dialects,
    })
}

fn default_project(kind: Provider) -> Option<SecretRef> {
    (kind == Provider::Vertex).then(|| SecretRef::variable("GOOGLE_CLOUD_PROJECT"))
}

fn signing(entry: &AwsEntry) -> Signing {
    Signing {
        access_key_id: entry.access_key_id.clone(),
        secret_access_key: entry.secret_access_key.clone(),
        session_token: entry.session_token.clone(),
        region: String::new(),
    }
}

/// Checks the keys that only some kinds of providers have.
fn check_places(kind: Provider, entry: &ProviderEntry, path: &Path, report: &mut Report) {
    let has = [
        ("aws", entry.aws.is_some(), kind == Provider::Bedrock),
        (
            "region",
            entry.region.is_some(),
            kind.default_region_variable().is_some(),
        ),
        ("project", entry.project.is_some(), kind == Provider::Vertex),
    ];
    for (key, is_written, is_known) in has {
        if is_written && !is_known {
            report.mistake(
                &path.key(key),
                format!("a provider of kind `{}` has no `{key}`", kind.name()),
            );
        }
    }
    if entry.aws.is_some() && entry.key.is_some() {
        report.mistake(&path.key("aws"), "give either `key` or `aws`, not both");
    }
}

fn check_endpoint(kind: Provider, entry: &ProviderEntry, path: &Path, report: &mut Report) -> Option<String> {
    let path = path.key("endpoint");
    let Some(text) = &entry.endpoint else {
        if kind.default_endpoint().is_none() && report.tree.at(&path).is_none() {
            report.mistake(
                &path,
                format!("missing; a provider of kind `{}` needs its address", kind.name()),
            );
        }
        return kind.default_endpoint().map(str::to_owned);
    };
    let endpoint = match check::endpoint(text) {
        Ok(endpoint) => endpoint,
        Err(text) => {
            report.mistake(&path, text);
            return None;
        }
    };
    let simulated = endpoint.starts_with(SIMULATED_SCHEME);
    if simulated != (kind == Provider::Simulated) {
        let text = if simulated {
            format!("`{SIMULATED_SCHEME}` is for providers of kind `simulated` only")
        } else {
            format!(
                "a provider of kind `simulated` is built in; its endpoint begins with `{SIMULATED_SCHEME}`"
            )
        };
        report.mistake(&path, text);
        return None;
    }
    Some(endpoint)
}

fn look_up(
    name: &str,
    connection: &Connection,
    optional: bool,
    path: &Path,
    missing: MissingKey,
    report: &mut Report,
    env: Env<'_>,
) -> Use {
    let mut connection = connection.clone();
    let written = Path::of(["providers", name]);
    let mut secrets = Vec::new();
    if let Some(key) = &connection.credential {
        let explicit = written.key("key");
        // A default key has no place of its own: the model that needs it is the place.
        let place = if report.tree.at(&explicit).is_some() {
            explicit
        } else {
            path.clone()
        };
        secrets.push((place, key.clone()));
    }
    if let Some(signing) = &connection.signing {
        let aws = written.key("aws");
        secrets.push((aws.key("access_key_id"), signing.access_key_id.clone()));
        secrets.push((aws.key("secret_access_key"), signing.secret_access_key.clone()));
        secrets.extend(
            signing
                .session_token
                .iter()
                .map(|token| (aws.key("session_token"), token.clone())),
        );
    }
    for (header, value) in connection.headers.iter() {
        secrets.push((header_path(&written, header, report), value.clone()));
    }
    let mut mistaken = false;
    for (place, secret) in secrets {
        match secret.resolve(env) {
            // The JSON of a service account stays here; tokens are made with it.
            Ok(value) if connection.kind == Provider::Vertex && is_account(value.expose()) => {}
            Ok(value) => {
                if let Err(text) = check::header_value(value.expose()) {
                    let variables: Vec<&str> = secret.variables().collect();
                    let from = if variables.is_empty() {
                        String::new()
                    } else {
                        format!(" (from {})", variables.join(", "))
                    };
                    report.mistake(&place, format!("{text}{from}"));
                    mistaken = true;
                }
            }
            Err(error) if optional => return Use::Off { variable: error.name },
            Err(error)
                if missing == MissingKey::SendNone && connection.credential.as_ref() == Some(&secret) =>
            {
                report.note(format!(
                    "{}: requests go out without a key until {} is set",
                    quote(name),
                    error.name
                ));
                connection.credential = None;
            }
            Err(error) => {
                report.mistake(
                    &place,
                    format!(
                        "{error}; set it, or write `optional: true` at the provider `{}` to leave its models out",
                        quote(name)
                    ),
                );
                mistaken = true;
            }
        }
    }
    match fill_in(&mut connection, path, &written, report, env) {
        Err(variable) if optional => return Use::Off { variable },
        Err(variable) => {
            report.mistake(
                path,
                format!(
                    "the environment variable {variable} is not set; set it, or write what it holds at the provider `{}`",
                    quote(name)
                ),
            );
            mistaken = true;
        }
        Ok(is_right) => mistaken |= !is_right,
    }
    if mistaken {
        Use::Mistaken
    } else {
        Use::On(Box::new(connection))
    }
}

/// Whether a key is the JSON of a service account of Google's.
fn is_account(key: &str) -> bool {
    key.trim_start().starts_with('{')
}

/// Puts region and project where they belong, as far as they are needed.
///
/// # Errors
/// The variable that is not set.
fn fill_in(
    connection: &mut Connection,
    path: &Path,
    written: &Path,
    report: &mut Report,
    env: Env<'_>,
) -> Result<bool, String> {
    let mut is_right = true;
    for (key, value) in [("region", &connection.region), ("project", &connection.project)] {
        let place = format!("{{{key}}}");
        let is_signed_for = key == "region" && connection.signing.is_some();
        let Some(value) = value
            .as_ref()
            .filter(|_| is_signed_for || connection.endpoint.contains(&place))
        else {
            continue;
        };
        let value = value.resolve(env).map_err(|missing| missing.name)?;
        let value = value.expose();
        if value.is_empty()
            || !value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte))
        {
            let explicit = written.key(key);
            let path = if report.tree.at(&explicit).is_some() {
                explicit
            } else {
                path.clone()
            };
            report.mistake(&path, format!("`{}` is no {key}", quote(value)));
            is_right = false;
            continue;
        }
        if (key, value) == ("region", GLOBAL) {
            connection.endpoint = connection.endpoint.replace("{region}-", "");
        }
        connection.endpoint = connection.endpoint.replace(&place, value);
        if key == "region"
            && let Some(signing) = &mut connection.signing
        {
            value.clone_into(&mut signing.region);
        }
    }
    Ok(is_right)
}

/// Google's location that is everywhere: its host has no location in its name.
const GLOBAL: &str = "global";

/// The path of a header as it was written, whose name need not be in lower case.
fn header_path(provider: &Path, header: &str, report: &Report) -> Path {
    let headers = provider.key("headers");
    let written = report
        .tree
        .at(&headers)
        .and_then(|node| node.keys().find(|key| key.eq_ignore_ascii_case(header)))
        .unwrap_or(header);
    headers.key(written)
}
