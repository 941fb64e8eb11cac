//! `admin`: the Admin API beside a `tollgate.yaml`; and what of it stands below `tollgate.admin` in APISIX's `config.yaml`,
//! whose own section says the rest.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::choice::OneOrMore;
use super::units::{Age, Kept, Measure, Size};
use crate::model::{Admin, AdminKey, AdminRole, AdminTls, History, Oidc, SessionTimes};
use crate::named::Named;
use crate::report::{Report, quote, unknown};
use crate::secret::SecretRef;
use crate::tree::Path;

/// The Admin API: `/apisix/admin`, `/tollgate/v1` and the dashboard at `/ui`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminEntry {
    /// Address to listen on, or several. Default: `127.0.0.1:9180`.
    pub(crate) listen: Option<OneOrMore>,
    /// Addresses and networks that may call. `[]` allows any. Default: `[127.0.0.0/24]`.
    pub(crate) allow: Option<Vec<String>>,
    /// Keys that open it. Default: one key with the role `admin`, made up at the first start and put into `admin.key` in the
    /// data directory.
    pub(crate) keys: Option<Vec<AdminKeyEntry>>,
    /// Certificate of the listener. Default: plain HTTP.
    pub(crate) tls: Option<AdminTlsEntry>,
    /// How long people stay signed in.
    #[serde(default)]
    pub(crate) session: SessionEntry,
    /// An OpenID Connect provider at which people sign in. Default: none.
    pub(crate) oidc: Option<OidcEntry>,
    /// How much is kept of what was changed.
    #[serde(default)]
    pub(crate) history: HistoryEntry,
    /// Wrong keys of one address in a minute that are answered as such; further ones are answered with 429. 0: all are. Default:
    /// 100.
    pub(crate) max_wrong_keys: Option<u32>,
    /// Roles that may call models on the dashboard's playground without a key; with the key of a consumer everybody may who is
    /// signed in. `[]` for none. Default: `[admin, editor, team_admin]`.
    pub(crate) playground: Option<Vec<String>>,
}

/// The part of `admin` that APISIX's file has no words for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInEntry {
    #[serde(default)]
    pub(crate) session: SessionEntry,
    pub(crate) oidc: Option<OidcEntry>,
    #[serde(default)]
    pub(crate) history: HistoryEntry,
    pub(crate) max_wrong_keys: Option<u32>,
    pub(crate) playground: Option<Vec<String>>,
}

/// A key of the Admin API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminKeyEntry {
    /// Its name in the audit log.
    pub(crate) name: String,
    /// The key.
    pub(crate) key: SecretRef,
    /// What it opens: `admin` everything, `editor` reading and changing the configuration, `viewer` reading, `team_admin` what
    /// belongs to its teams. Default: `admin`.
    pub(crate) role: Option<String>,
    /// For `team_admin`: ids of the teams.
    #[serde(default)]
    pub(crate) teams: Vec<String>,
}

/// Certificate of the Admin API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminTlsEntry {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) cert_file: String,
    /// PEM file with the private key.
    pub(crate) key_file: String,
    /// PEM file with the authorities whose certificates clients must show. Default: none is asked for.
    pub(crate) client_ca_file: Option<String>,
}

/// How long people stay signed in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionEntry {
    /// Without a request for so long a session ends. Default: `30m`.
    pub(crate) idle: Option<Age>,
    /// A session ends after this time, used or not. Default: `12h`.
    pub(crate) longest: Option<Age>,
}

/// An OpenID Connect provider at which people sign in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcEntry {
    /// The provider's address, exactly as it calls itself: `<issuer>/.well-known/openid-configuration` describes it.
    pub(crate) issuer: String,
    /// What the provider calls the gateway.
    pub(crate) client_id: String,
    /// The secret of the client. Default: none, for a public client.
    pub(crate) client_secret: Option<SecretRef>,
    /// Where the provider sends people back to: `https://<where the Admin API is reached>/tollgate/v1/session/oidc/callback`.
    /// The provider has to know it.
    pub(crate) redirect_url: String,
    /// What is asked for. Default: `[openid, profile, email]`.
    pub(crate) scopes: Option<Vec<String>>,
    /// Claim that lists a person's groups; `realm_access.roles` leads into an object. Default: `groups`.
    pub(crate) groups_claim: Option<String>,
    /// Claim that is the person's name in the audit log. Default: the first there is of `preferred_username`, `email`, `name` and
    /// `sub`.
    pub(crate) name_claim: Option<String>,
    /// Groups, also patterns with `*`, and the roles that they give: `admin`, `editor` or `viewer`. Of several the most powerful
    /// counts. Who is in none does not get in.
    #[serde(default)]
    pub(crate) roles: Named<String>,
    /// Groups, also patterns with `*`, and the id of the team that their members administer.
    #[serde(default)]
    pub(crate) team_admin: Named<String>,
    /// PEM file of the authorities that the provider's certificate is checked with. Default: the public ones.
    pub(crate) ca_file: Option<String>,
}

/// How much is kept of what was changed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryEntry {
    /// How long entries of the audit log are kept. Default: `400d`.
    pub(crate) audit: Option<Kept>,
    /// Entries of the audit log that are kept at most. Default: 100000.
    pub(crate) audit_entries: Option<u64>,
    /// Versions of the configuration that are kept at most. Default: 1000.
    pub(crate) versions: Option<u64>,
    /// Size of all versions together at most. Default: `256MiB`.
    pub(crate) versions_size: Option<Size>,
}

/// Lowers `admin`.
pub(crate) fn lower(entry: Option<&AdminEntry>, report: &mut Report) -> Option<Admin> {
    let entry = entry?;
    let path = Path::of(["admin"]);
    let mut admin = Admin::default();
    if let Some(listen) = &entry.listen {
        let texts = match listen {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(texts) => texts.as_slice(),
        };
        admin.listen = Vec::new();
        for text in texts {
            match text.parse::<SocketAddr>() {
                Ok(address) => admin.listen.push(address),
                Err(_) => report.mistake(
                    &path.key("listen"),
                    format!(
                        "`{}` is no address; write an IP address and a port, such as `127.0.0.1:9180`",
                        quote(text)
                    ),
                ),
            }
        }
        if texts.is_empty() {
            report.mistake(
                &path.key("listen"),
                "names no address; leave `admin` out for no Admin API",
            );
        }
    }
    if let Some(allow) = &entry.allow {
        for text in allow.iter().filter(|text| !is_network(text)) {
            report.mistake(
                &path.key("allow"),
                format!(
                    "`{}` is no IP address or network, such as `127.0.0.1` or `10.0.0.0/8`",
                    quote(text)
                ),
            );
        }
        admin.allow.clone_from(allow);
    }
    if let Some(keys) = &entry.keys {
        admin.keys = keys
            .iter()
            .enumerate()
            .filter_map(|(index, key)| lower_key(key, &path.key("keys").index(index), report))
            .collect();
        let mut names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            report.mistake(
                &path.key("keys"),
                "two keys have the same name: the audit log could not tell them apart",
            );
        }
        if keys.is_empty() {
            report.mistake(
                &path.key("keys"),
                "names no key; leave it out to have one made up",
            );
        }
    }
    admin.tls = entry.tls.as_ref().map(|tls| AdminTls {
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        client_ca_file: tls.client_ca_file.clone(),
    });
    let sign_in = SignIn {
        session: &entry.session,
        oidc: entry.oidc.as_ref(),
        history: &entry.history,
        max_wrong_keys: entry.max_wrong_keys,
        playground: entry.playground.as_deref(),
    };
    sign_in.lower(&mut admin, &path, report);
    Some(admin)
}

/// Lowers `tollgate.admin` of APISIX's file into what its own section has made.
pub(crate) fn lower_sign_in(entry: &SignInEntry, admin: &mut Admin, path: &Path, report: &mut Report) {
    let sign_in = SignIn {
        session: &entry.session,
        oidc: entry.oidc.as_ref(),
        history: &entry.history,
        max_wrong_keys: entry.max_wrong_keys,
        playground: entry.playground.as_deref(),
    };
    sign_in.lower(admin, path, report);
}

/// What both files say alike.
struct SignIn<'e> {
    session: &'e SessionEntry,
    oidc: Option<&'e OidcEntry>,
    history: &'e HistoryEntry,
    max_wrong_keys: Option<u32>,
    playground: Option<&'e [String]>,
}

impl SignIn<'_> {
    fn lower(&self, admin: &mut Admin, path: &Path, report: &mut Report) {
        let default = SessionTimes::default();
        admin.session = SessionTimes {
            idle_s: self.session.idle.map_or(default.idle_s, Measure::value),
            longest_s: self.session.longest.map_or(default.longest_s, Measure::value),
        };
        if admin.session.idle_s > admin.session.longest_s {
            report.mistake(
                &path.key("session").key("idle"),
                "must not be longer than `longest`",
            );
        }
        let default = History::default();
        let count = |key: &str, value: Option<u64>, default: u64, most: u64, report: &mut Report| match value
        {
            None => default,
            Some(value) if (1..=most).contains(&value) => value,
            Some(_) => {
                report.mistake(&path.key("history").key(key), format!("must be from 1 to {most}"));
                default
            }
        };
        admin.history = History {
            audit_s: self.history.audit.map_or(default.audit_s, Measure::value),
            audit_entries: count(
                "audit_entries",
                self.history.audit_entries,
                default.audit_entries,
                History::MOST_ENTRIES,
                report,
            ),
            versions: count(
                "versions",
                self.history.versions,
                default.versions,
                History::MOST_VERSIONS,
                report,
            ),
            versions_bytes: self
                .history
                .versions_size
                .map_or(default.versions_bytes, Measure::value),
        };
        if let Some(most) = self.max_wrong_keys {
            admin.max_wrong_keys = (most > 0).then_some(most);
        }
        if let Some(words) = self.playground {
            admin.playground = roles(words, &path.key("playground"), report);
        }
        admin.oidc = self
            .oidc
            .and_then(|entry| lower_oidc(entry, &path.key("oidc"), report));
    }
}

/// Roles of a list of words.
fn roles(words: &[String], path: &Path, report: &mut Report) -> Vec<AdminRole> {
    let role = |(index, word): (usize, &String)| {
        let role = AdminRole::of_word(word);
        if role.is_none() {
            let known = AdminRole::ALL.map(AdminRole::word);
            report.mistake(&path.index(index), unknown("role", word, known));
        }
        role
    };
    words.iter().enumerate().filter_map(role).collect()
}

fn lower_key(entry: &AdminKeyEntry, path: &Path, report: &mut Report) -> Option<AdminKey> {
    let word = entry.role.as_deref().unwrap_or("admin");
    let Some(role) = AdminRole::of_word(word) else {
        let roles = AdminRole::ALL.map(AdminRole::word);
        report.mistake(&path.key("role"), unknown("role", word, roles));
        return None;
    };
    if entry.teams.is_empty() == (role == AdminRole::TeamAdmin) {
        let problem = match role {
            AdminRole::TeamAdmin => {
                "the role team_admin needs the ids of its teams, such as `teams: [search]`"
            }
            _ => "only the role team_admin has teams",
        };
        report.mistake(&path.key("teams"), problem);
        return None;
    }
    Some(AdminKey {
        name: entry.name.clone(),
        key: Some(entry.key.clone()),
        role,
        teams: entry.teams.clone(),
    })
}

fn lower_oidc(entry: &OidcEntry, path: &Path, report: &mut Report) -> Option<Oidc> {
    let mut is_right = true;
    let mut wrong = |key: &str, text: String| {
        report.mistake(&path.key(key), text);
        is_right = false;
    };
    for (key, text) in [("issuer", &entry.issuer), ("redirect_url", &entry.redirect_url)] {
        if !is_secure(text) {
            let text = quote(text);
            wrong(
                key,
                format!("`{text}` must begin with `https://`; `http://` is for 127.0.0.1 and localhost only"),
            );
        }
    }
    if entry.issuer.contains(['?', '#']) {
        wrong("issuer", "has no `?` and no `#`".to_owned());
    }
    if !entry.redirect_url.ends_with(Oidc::CALLBACK) {
        wrong("redirect_url", format!("must end with `{}`", Oidc::CALLBACK));
    }
    if entry.client_id.is_empty() {
        wrong("client_id", "is empty".to_owned());
    }
    let scopes = entry
        .scopes
        .clone()
        .unwrap_or_else(|| Oidc::SCOPES.map(str::to_owned).to_vec());
    if !scopes.iter().any(|scope| scope == "openid") {
        wrong(
            "scopes",
            "must have `openid`: without it there is no ID token".to_owned(),
        );
    }
    let mut roles = Vec::new();
    for (group, word) in entry.roles.iter() {
        match AdminRole::of_word(word) {
            Some(AdminRole::TeamAdmin) => wrong(
                "roles",
                format!(
                    "which team `{}` administers is said in `team_admin`",
                    quote(group)
                ),
            ),
            Some(role) => roles.push((group.to_owned(), role)),
            None => wrong("roles", unknown("role", word, ["admin", "editor", "viewer"])),
        }
    }
    let team_admin: Vec<(String, String)> = entry
        .team_admin
        .iter()
        .map(|(group, team)| (group.to_owned(), team.clone()))
        .collect();
    if entry.roles.is_empty() && team_admin.is_empty() {
        wrong("roles", "is missing, so that nobody could sign in; write such as `roles: {platform: admin, \"*\": viewer}`".to_owned());
    }
    is_right.then(|| Oidc {
        issuer: entry.issuer.clone(),
        client_id: entry.client_id.clone(),
        client_secret: entry.client_secret.clone(),
        redirect_url: entry.redirect_url.clone(),
        scopes,
        groups_claim: entry
            .groups_claim
            .clone()
            .unwrap_or_else(|| Oidc::GROUPS_CLAIM.to_owned()),
        name_claim: entry.name_claim.clone(),
        roles,
        team_admin,
        ca_file: entry.ca_file.clone(),
    })
}

/// Whether what goes to an address cannot be read or changed on the way.
fn is_secure(url: &str) -> bool {
    if url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().is_ok();
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    digits && length.parse::<u8>().is_ok_and(|length| length <= most)
}
