//! `deployment.admin`: how the Admin API is reached, and by whom.

use std::net::{IpAddr, SocketAddr};

use super::ignored;
use super::places::{ANY, LOOPBACK, network, networks};
use super::view::View;
use crate::model::{Admin, AdminKey, AdminRole, AdminTls};
use crate::report::{Report, unknown};
use crate::secret::SecretRef;

const ROLES: [&str; 4] = ["admin", "viewer", "editor", "team_admin"];

/// Lowers `deployment.admin`; `None` is a file that does not speak of it.
pub(super) fn lower(section: Option<&View<'_>>, report: &mut Report) -> Admin {
    let mut admin = Admin::default();
    let Some(section) = section else {
        return admin;
    };
    ignored::note(section, &ignored::ADMIN, report);
    // Absent is the default, null is none, as in APISIX.
    if section.written("allow_admin").is_some() {
        admin.allow = networks(section, "allow_admin", report).unwrap_or_default();
        if admin.allow.is_empty() {
            report.note("deployment.admin.allow_admin: empty, so any address may call the Admin API");
        }
    }
    let ip = default_ip(&admin.allow);
    let address = match section.section("admin_listen", report) {
        Some(listen) => {
            ignored::note(&listen, &ignored::LISTEN, report);
            let ip = listen.ip(ip, report);
            let port = match listen.get("port") {
                None => Some(Admin::DEFAULT_PORT),
                // A free one, which is told at start.
                Some(view) if view.as_number() == Some(0) => Some(0),
                Some(view) => view.as_port(report),
            };
            ip.zip(port).map(SocketAddr::from)
        }
        None => Some(SocketAddr::new(ip, Admin::DEFAULT_PORT)),
    };
    admin.listen = address.into_iter().collect();
    admin.key_required = section
        .bool("admin_key_required", report)
        .unwrap_or(admin.key_required);
    if !admin.key_required {
        report.note(
            "deployment.admin.admin_key_required: false, so whoever reaches the Admin API may change everything",
        );
    }
    if let Some(keys) = section.written("admin_key") {
        admin.keys = lower_keys(&keys, admin.key_required, report);
    }
    admin.tls = lower_tls(section, report);
    admin
}

/// What depends on whether APISIX is followed to the letter: there pages of any origin may use the Admin API unless that is
/// switched off, and whoever wants it without a key gets it so.
pub(super) fn settle(admin: &mut Admin, section: Option<&View<'_>>, strict: bool, report: &mut Report) {
    let said = section.and_then(|section| section.bool("enable_admin_cors", report));
    admin.cors = said.unwrap_or(strict);
    let Some(section) = section.filter(|_| !admin.key_required && !strict) else {
        return;
    };
    let is_anybody = admin.allow.is_empty() || admin.allow.iter().any(|text| text.ends_with("/0"));
    for address in &admin.listen {
        if is_anybody && !address.ip().is_loopback() {
            report.mistake(
                &section.path.key("admin_key_required"),
                format!(
                    "false, and any address may call on {address}, so whoever reaches it could change everything: \
                     require a key, listen on 127.0.0.1, or name networks in `allow_admin`"
                ),
            );
        }
    }
}

/// Where to listen when the file names no address: on all, as APISIX does, but not for callers that would be refused anyway.
fn default_ip(allow: &[String]) -> IpAddr {
    let only_this_machine = !allow.is_empty()
        && allow
            .iter()
            .all(|text| network(text).is_some_and(|ip| ip.is_loopback()) && !text.ends_with("/0"));
    if only_this_machine { LOOPBACK } else { ANY }
}

fn lower_keys(list: &View<'_>, required: bool, report: &mut Report) -> Vec<AdminKey> {
    let mut keys = Vec::new();
    let mut items = 0;
    if list.is_list() {
        for item in list.items() {
            items += 1;
            keys.extend(lower_key(&item, report));
        }
    }
    if items == 0 && required {
        list.wrong(
            "a list with at least one key, such as `{name: admin, key: '', role: admin}`",
            report,
        );
    }
    keys
}

fn lower_key(item: &View<'_>, report: &mut Report) -> Option<AdminKey> {
    if !item.is_map() {
        item.wrong("a map, such as `{name: admin, key: '', role: admin}`", report);
        return None;
    }
    ignored::note(item, &ignored::ADMIN_KEY, report);
    let role = match item.get("role") {
        None => {
            report.mistake(
                &item.path.key("role"),
                format!("missing (allowed: {})", ROLES.join(", ")),
            );
            None
        }
        Some(view) => match view.as_text(report) {
            Some(word) => {
                let role = AdminRole::of_word(word);
                if role.is_none() {
                    report.mistake(&view.path, unknown("role", word, ROLES));
                }
                role
            }
            None => None,
        },
    };
    let key = match item.text("key", report) {
        None if item.get("key").is_some() => return None,
        None | Some("") => None,
        Some(text) => match SecretRef::new(text) {
            Ok(key) => Some(key),
            Err(error) => {
                report.mistake(&item.path.key("key"), error.to_string());
                return None;
            }
        },
    };
    let role = role?;
    let teams: Vec<String> = item
        .texts("teams", report)
        .unwrap_or_default()
        .into_iter()
        .map(|(_, team)| team.to_owned())
        .collect();
    if teams.is_empty() == (role == AdminRole::TeamAdmin) {
        let problem = match role {
            AdminRole::TeamAdmin => {
                "the role team_admin needs the ids of its teams, such as `teams: [search]`"
            }
            _ => "only the role team_admin has teams",
        };
        report.mistake(&item.path.key("teams"), problem);
        return None;
    }
    let name = item.text("name", report).unwrap_or(role.word());
    Some(AdminKey {
        name: name.to_owned(),
        key,
        role,
        teams,
    })
}

fn lower_tls(section: &View<'_>, report: &mut Report) -> Option<AdminTls> {
    let https = section.bool("https_admin", report).unwrap_or(false);
    let files = section.section("admin_api_mtls", report);
    if let Some(files) = &files {
        ignored::note(files, &ignored::ADMIN_MTLS, report);
    }
    let mut file = |key: &str| {
        let text = files.as_ref()?.text(key, report)?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let cert = file("admin_ssl_cert");
    let key = file("admin_ssl_cert_key");
    let client_ca_file = file("admin_ssl_ca_cert");
    if !https {
        if client_ca_file.is_some() {
            report.note("deployment.admin.admin_api_mtls: ignored, because https_admin is not true");
        }
        return None;
    }
    match (cert, key) {
        (Some(cert_file), Some(key_file)) => Some(AdminTls {
            cert_file,
            key_file,
            client_ca_file,
        }),
        _ => {
            report.mistake(
                &section.path.key("https_admin"),
                "needs the files `admin_ssl_cert` and `admin_ssl_cert_key` in `admin_api_mtls`",
            );
            None
        }
    }
}
