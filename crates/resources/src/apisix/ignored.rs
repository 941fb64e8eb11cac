//! Keys of APISIX's bootstrap file that mean nothing here, and how that is told: one note for each section, with what
//! was probably meant when a key is none of APISIX's either.

use super::view::View;
use crate::report::{Report, quote};
use crate::suggest::did_you_mean;

/// Most keys that a note lists.
const MOST_SHOWN: usize = 16;

/// What a section may hold.
pub(super) struct Section {
    /// Keys that mean something here.
    pub(super) honoured: &'static [&'static str],
    /// Keys of APISIX that do not.
    pub(super) known: &'static [&'static str],
}

pub(super) const TOP: Section = Section {
    honoured: &[
        "apisix",
        "deployment",
        "nginx_config",
        "plugins",
        "plugin_attr",
        "tollgate",
        "compat",
    ],
    known: &[
        "stream_plugins",
        "discovery",
        "wasm",
        "xrpc",
        "ext-plugin",
        "graphql",
        "etcd",
    ],
};

pub(super) const APISIX: Section = Section {
    honoured: &[
        "node_listen",
        "ssl",
        "enable_admin",
        "enable_server_tokens",
        "trusted_addresses",
        "data_encryption",
        "status",
        "enable_control",
        "control",
    ],
    known: &[
        "enable_dev_mode",
        "enable_reuseport",
        "show_upstream_status_in_response_header",
        "enable_ipv6",
        "enable_http2",
        "proxy_protocol",
        "extra_lua_path",
        "extra_lua_cpath",
        "lua_module_hook",
        "proxy_cache",
        "delete_uri_tail_slash",
        "normalize_uri_like_servlet",
        "match_uri_encoded_slash",
        "max_post_args_readable_size",
        "router",
        "proxy_mode",
        "stream_proxy",
        "dns_resolver",
        "dns_resolver_valid",
        "resolver_timeout",
        "enable_resolv_search_opt",
        "disable_sync_configuration_during_start",
        "worker_startup_time_threshold",
        "disable_upstream_healthcheck",
        "lru",
        "tracing",
        "id",
        "events",
    ],
};

pub(super) const LISTEN: Section = Section {
    honoured: &["ip", "port"],
    known: &["enable_http2", "enable_http3", "enable_quic"],
};

pub(super) const SSL: Section = Section {
    honoured: &[
        "enable",
        "listen",
        "ssl_trusted_certificate",
        "ssl_protocols",
        "fallback_sni",
    ],
    known: &[
        "listen_port",
        "enable_http2",
        "ssl_ciphers",
        "ssl_session_tickets",
        "key_encrypt_salt",
    ],
};

pub(super) const DATA_ENCRYPTION: Section = Section {
    honoured: &["enable_encrypt_fields"],
    known: &["enable", "keyring"],
};

pub(super) const NGINX: Section = Section {
    honoured: &["worker_processes", "worker_shutdown_timeout", "http"],
    known: &[
        "user",
        "error_log",
        "error_log_level",
        "enable_cpu_affinity",
        "worker_rlimit_nofile",
        "max_pending_timers",
        "max_running_timers",
        "event",
        "envs",
        "meta",
        "stream",
        "main_configuration_snippet",
        "http_configuration_snippet",
        "http_server_configuration_snippet",
        "http_server_location_configuration_snippet",
        "http_admin_configuration_snippet",
        "http_end_configuration_snippet",
        "stream_configuration_snippet",
    ],
};

pub(super) const HTTP: Section = Section {
    honoured: &[
        "enable_access_log",
        "access_log",
        "access_log_format",
        "access_log_format_escape",
        "client_max_body_size",
        "client_header_timeout",
        "client_body_timeout",
        "send_timeout",
        "keepalive_timeout",
        "real_ip_header",
        "real_ip_recursive",
        "real_ip_from",
    ],
    known: &[
        "access_log_buffer",
        "underscores_in_headers",
        "custom_lua_shared_dict",
        "lua_shared_dict",
        "proxy_ssl_server_name",
        "upstream",
        "charset",
        "variables_hash_max_size",
    ],
};

pub(super) const DEPLOYMENT: Section = Section {
    honoured: &[
        "role",
        "role_traditional",
        "role_data_plane",
        "role_control_plane",
        "admin",
        "etcd",
    ],
    known: &["certs", "config_provider"],
};

pub(super) const ADMIN: Section = Section {
    honoured: &[
        "admin_key",
        "admin_key_required",
        "allow_admin",
        "admin_listen",
        "enable_admin_cors",
        "https_admin",
        "admin_api_mtls",
    ],
    known: &["enable_admin_ui", "admin_api_version"],
};

pub(super) const ADMIN_KEY: Section = Section {
    honoured: &["name", "key", "role", "teams"],
    known: &[],
};

pub(super) const ADMIN_MTLS: Section = Section {
    honoured: &["admin_ssl_cert", "admin_ssl_cert_key", "admin_ssl_ca_cert"],
    known: &[],
};

pub(super) const PLUGIN_ATTR: Section = Section {
    honoured: &["prometheus"],
    known: &[
        "ai-proxy",
        "log-rotate",
        "skywalking",
        "opentelemetry",
        "server-info",
        "dubbo-proxy",
        "proxy-mirror",
        "redirect",
        "inspect",
        "zipkin",
    ],
};

pub(super) const PROMETHEUS: Section = Section {
    honoured: &[
        "enable_export_server",
        "export_addr",
        "export_uri",
        "metric_prefix",
        "metrics",
        "default_buckets",
        "llm_latency_buckets",
        "llm_prompt_tokens_buckets",
        "llm_completion_tokens_buckets",
    ],
    known: &["refresh_interval", "ai_cache_embedding_latency_buckets"],
};

/// Tells which keys of a section mean nothing here.
pub(super) fn note(view: &View<'_>, section: &Section, report: &mut Report) {
    let mut ignored: Vec<String> = view
        .keys()
        .filter(|key| !section.honoured.contains(key))
        .map(|key| {
            let suggestion = if section.known.contains(&key) {
                String::new()
            } else {
                did_you_mean(key, section.honoured.iter().copied())
            };
            match suggestion.strip_prefix("; ") {
                Some(suggestion) => format!("{} ({suggestion})", quote(key)),
                None => quote(key),
            }
        })
        .collect();
    if ignored.is_empty() {
        return;
    }
    if ignored.len() > MOST_SHOWN {
        let more = ignored.len() - MOST_SHOWN;
        ignored.truncate(MOST_SHOWN);
        ignored.push(format!("and {more} more"));
    }
    let ignored = ignored.join(", ");
    if view.path.is_root() {
        report.note(format!("ignored: {ignored}"));
    } else {
        report.note(format!("{}: ignored: {ignored}", view.path));
    }
}
