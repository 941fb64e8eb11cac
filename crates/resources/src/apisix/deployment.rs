//! `deployment`, and what of `apisix`, `plugins`, `plugin_attr`, `tollgate` and `compat` concerns the whole process.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::https;
use super::ignored;
use super::places::{LOOPBACK, address, network, networks};
use super::prometheus;
use super::view::View;
use crate::model::{ConfigProvider, Deployment, RealIp, StandaloneFormat};
use crate::report::{Report, quote, unknown};

/// APISIX's ports for metrics, status and control.
const PROMETHEUS: SocketAddr = SocketAddr::new(LOOPBACK, 9091);
const STATUS: SocketAddr = SocketAddr::new(LOOPBACK, 7085);
const CONTROL: SocketAddr = SocketAddr::new(LOOPBACK, 9090);

const ROLES: [&str; 3] = ["traditional", "control_plane", "data_plane"];

/// What a node does in a deployment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Serves calls, and the Admin API.
    Traditional,
    /// The Admin API for others.
    ControlPlane,
    /// Serves calls only.
    DataPlane,
}

impl Role {
    /// Whether the Admin API is served, given `apisix.enable_admin`.
    pub(super) fn admin(self, enabled: bool) -> bool {
        match self {
            Role::Traditional => enabled,
            Role::ControlPlane => true,
            Role::DataPlane => false,
        }
    }
}

/// Lowers everything but the provider, which depends on the role.
pub(super) fn lower(root: &View<'_>, provider: ConfigProvider, report: &mut Report) -> Deployment {
    let mut deployment = Deployment {
        provider,
        ..Deployment::default()
    };
    if let Some(apisix) = root.section("apisix", report) {
        ignored::note(&apisix, &ignored::APISIX, report);
        lower_apisix(&mut deployment, &apisix, report);
    }
    if let Some(names) = root.texts("plugins", report) {
        deployment.plugins = Some(names.into_iter().map(|(_, name)| name.to_owned()).collect());
    }
    if let Some(attributes) = root.section("plugin_attr", report) {
        ignored::note(&attributes, &ignored::PLUGIN_ATTR, report);
        if let Some(prometheus) = attributes.section("prometheus", report) {
            deployment.prometheus_attributes = prometheus::lower_attributes(&prometheus, report);
            let address = address(&prometheus, "export_addr", PROMETHEUS, report);
            if prometheus.bool("enable_export_server", report) != Some(false) {
                deployment.prometheus = address;
            }
        }
    }
    if let Some(http) = root
        .section("nginx_config", report)
        .and_then(|nginx| nginx.section("http", report))
    {
        lower_real_ip(&mut deployment.real_ip, &http, report);
    }
    // Our own keys: a misspelt one is a mistake.
    if let Some(tollgate) = root.section("tollgate", report) {
        refuse_others(
            &tollgate,
            &[
                "data_dir",
                "resolve",
                "ca_file",
                "logging",
                "loggers",
                "traces",
                "usage",
                "governance",
                "metrics",
                "prices",
                "max_wrong_keys",
                "egress",
                "admin",
            ],
            report,
        );
        if let Some(hosts) = tollgate.section("resolve", report) {
            deployment.resolve = resolve(&hosts, report);
        }
        if let Some(metrics) = tollgate.section("metrics", report) {
            deployment.metrics = prometheus::lower_metrics(&metrics, report);
        }
        match tollgate.text("ca_file", report) {
            Some("") => report.mistake(&tollgate.path.key("ca_file"), "the name of the file is empty"),
            file => deployment.ca_file = file.map(str::to_owned),
        }
        match tollgate.text("data_dir", report) {
            Some("") => report.mistake(&tollgate.path.key("data_dir"), "the name of the folder is empty"),
            Some(folder) => folder.clone_into(&mut deployment.data_dir),
            None => {}
        }
    }
    if let Some(compat) = root.section("compat", report) {
        refuse_others(&compat, &["apisix"], report);
        match compat.text("apisix", report) {
            Some("strict") => deployment.strict = true,
            Some("lenient") | None => {}
            Some(other) => report.mistake(
                &compat.path.key("apisix"),
                unknown("word", other, ["strict", "lenient"]),
            ),
        }
    }
    deployment
}

/// Where the client's address comes from behind a load balancer.
fn lower_real_ip(real_ip: &mut RealIp, http: &View<'_>, report: &mut Report) {
    if let Some(header) = http.text("real_ip_header", report) {
        real_ip.header = header.to_ascii_lowercase();
    }
    if let Some(recursive) = http.bool("real_ip_recursive", report) {
        real_ip.recursive = recursive;
    }
    if let Some(texts) = http.texts("real_ip_from", report) {
        real_ip.from = Vec::new();
        for (path, text) in texts {
            if network(text).is_some() {
                real_ip.from.push(text.to_owned());
            } else if text != "unix:" {
                report.mistake(
                    &path,
                    format!(
                        "`{}` is no IP address or network, such as `127.0.0.1` or `10.0.0.0/8`",
                        quote(text)
                    ),
                );
            }
        }
    }
}

fn lower_apisix(deployment: &mut Deployment, apisix: &View<'_>, report: &mut Report) {
    if let Some(tokens) = apisix.bool("enable_server_tokens", report) {
        deployment.server_tokens = tokens;
    }
    if let Some(ssl) = apisix.section("ssl", report) {
        deployment.trusted_certificates = https::trusted(&ssl, report);
    }
    deployment.trusted_addresses = networks(apisix, "trusted_addresses", report);
    if let Some(encryption) = apisix.section("data_encryption", report) {
        ignored::note(&encryption, &ignored::DATA_ENCRYPTION, report);
        if let Some(encrypt) = encryption.bool("enable_encrypt_fields", report) {
            deployment.encrypt_fields = encrypt;
        }
    }
    deployment.status = address(apisix, "status", STATUS, report);
    let control = address(apisix, "control", CONTROL, report);
    deployment.control = match apisix.bool("enable_control", report) {
        Some(false) => None,
        Some(true) => Some(control.unwrap_or(CONTROL)),
        None => control,
    };
}

/// Where connections to hosts go instead of where DNS says.
fn resolve(hosts: &View<'_>, report: &mut Report) -> BTreeMap<String, SocketAddr> {
    let mut addresses = BTreeMap::new();
    for host in hosts.keys() {
        let path = hosts.path.key(host);
        let port = host
            .rsplit_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains([':', '/']))
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            let problem = format!(
                "`{}` is no host with a port, such as `api.openai.com:443`",
                quote(host)
            );
            report.mistake(&path, problem);
            continue;
        }
        let Some(text) = hosts.text(host, report) else {
            continue;
        };
        match text.parse() {
            Ok(address) => {
                addresses.insert(host.to_ascii_lowercase(), address);
            }
            Err(_) => report.mistake(
                &path,
                format!(
                    "`{}` is no address with a port, such as `10.0.0.7:443` or `[fd00::7]:443`",
                    quote(text)
                ),
            ),
        }
    }
    addresses
}

/// The role of the node.
pub(super) fn role(section: Option<&View<'_>>, report: &mut Report) -> Role {
    let Some(view) = section.and_then(|section| section.get("role")) else {
        return Role::Traditional;
    };
    match view.as_text(report) {
        Some("data_plane") => Role::DataPlane,
        Some("control_plane") => Role::ControlPlane,
        Some("traditional") | None => Role::Traditional,
        Some(other) => {
            report.mistake(&view.path, unknown("role", other, ROLES));
            Role::Traditional
        }
    }
}

/// Where resources come from. `file` is the bootstrap file: a standalone file lies beside it.
pub(super) fn provider(
    section: Option<&View<'_>>,
    role: Role,
    admin: bool,
    file: &str,
    report: &mut Report,
) -> ConfigProvider {
    let (key, allowed): (_, &[&str]) = match role {
        Role::Traditional => ("role_traditional", &["etcd", "yaml"]),
        Role::ControlPlane => ("role_control_plane", &["etcd"]),
        Role::DataPlane => ("role_data_plane", &["etcd", "yaml", "json"]),
    };
    if section.is_some_and(|section| section.get("etcd").is_some()) {
        report.note("deployment.etcd: ignored: the embedded store is used instead");
    }
    let view = section
        .and_then(|section| section.section(key, report))
        .and_then(|role| role.get("config_provider"));
    let word = match &view {
        Some(view) => view.as_text(report),
        None => None,
    };
    let beside = |name: &str, format| ConfigProvider::File {
        path: match file.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        },
        format,
    };
    match (word, &view) {
        (Some("yaml"), _) if role == Role::Traditional && admin => ConfigProvider::InMemory,
        (Some("yaml"), _) if role != Role::ControlPlane => beside("apisix.yaml", StandaloneFormat::Yaml),
        (Some("json"), _) if role == Role::DataPlane => beside("apisix.json", StandaloneFormat::Json),
        (Some("etcd") | None, _) => {
            if role == Role::DataPlane {
                report.note(
                    "deployment.role: a data plane without a standalone file serves what is in its own embedded store, and \
                     nothing can change that while it runs; use `config_provider: yaml` or `role: traditional`",
                );
            }
            ConfigProvider::Embedded
        }
        (Some(other), Some(view)) => {
            report.mistake(&view.path, unknown("provider", other, allowed.iter().copied()));
            ConfigProvider::Embedded
        }
        (Some(_), None) => ConfigProvider::Embedded,
    }
}

pub(super) fn refuse_others(view: &View<'_>, allowed: &[&str], report: &mut Report) {
    for key in view.keys() {
        if !allowed.contains(&key) {
            report.mistake(&view.path.key(key), unknown("key", key, allowed.iter().copied()));
        }
    }
}
