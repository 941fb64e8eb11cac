//! `apisix.ssl`: listeners for TLS. Their certificates are objects of the kind `ssl`.

use std::net::SocketAddr;

use super::ignored;
use super::places::ANY;
use super::view::View;
use crate::model::{Https, TlsVersion, TrustedCertificates};
use crate::report::Report;
use crate::tree::Path;

/// APISIX's port for HTTPS.
const DEFAULT_PORT: u16 = 9443;

/// Versions that APISIX's file may name and nobody should speak any more.
const OLD_VERSIONS: [&str; 5] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1"];

/// Lowers the section; `None` when it switches itself off. APISIX opens its port even without the section; here a listener
/// that nobody asked for stays closed.
pub(super) fn lower(ssl: &View<'_>, report: &mut Report) -> Option<Https> {
    ignored::note(ssl, &ignored::SSL, report);
    let enabled = ssl.bool("enable", report).unwrap_or(true);
    let listen = match ssl.get("listen") {
        None => vec![SocketAddr::new(ANY, DEFAULT_PORT)],
        Some(list) => lower_listen(&list, report),
    };
    let fallback_name = match ssl.text("fallback_sni", report) {
        Some("") => {
            report.mistake(&ssl.path.key("fallback_sni"), "the name is empty");
            None
        }
        name => name.map(str::to_owned),
    };
    let versions = match ssl.text("ssl_protocols", report) {
        None => TlsVersion::ALL.to_vec(),
        Some(text) => lower_versions(text, &ssl.path.key("ssl_protocols"), report),
    };
    enabled.then_some(Https {
        listen,
        fallback_name,
        versions,
    })
}

/// Authorities that upstreams may be vouched for by, beside the built-in ones.
pub(super) fn trusted(ssl: &View<'_>, report: &mut Report) -> Option<TrustedCertificates> {
    match ssl.text("ssl_trusted_certificate", report)? {
        "" => {
            let path = ssl.path.key("ssl_trusted_certificate");
            report.mistake(&path, "the name of the file is empty");
            None
        }
        "system" => Some(TrustedCertificates::System),
        file => Some(TrustedCertificates::File(file.to_owned())),
    }
}

fn lower_listen(list: &View<'_>, report: &mut Report) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let mut items = 0;
    if list.is_list() {
        for item in list.items() {
            items += 1;
            match lower_address(&item, report) {
                Some(address) if addresses.contains(&address) => {
                    report.mistake(&item.path, format!("{address} is in the list twice"));
                }
                Some(address) => addresses.push(address),
                None => {}
            }
        }
    }
    if items == 0 {
        list.wrong(
            "a list with at least one listener, such as `{port: 9443}`",
            report,
        );
    }
    addresses
}

fn lower_address(item: &View<'_>, report: &mut Report) -> Option<SocketAddr> {
    if !item.is_map() {
        item.wrong("a map, such as `{port: 9443}`", report);
        return None;
    }
    ignored::note(item, &ignored::LISTEN, report);
    let ip = item.ip(ANY, report);
    let port = match item.get("port") {
        None => Some(DEFAULT_PORT),
        // A free one, which is told at start.
        Some(view) if view.as_number() == Some(0) => Some(0),
        Some(view) => view.as_port(report),
    };
    ip.zip(port).map(SocketAddr::from)
}

fn lower_versions(text: &str, path: &Path, report: &mut Report) -> Vec<TlsVersion> {
    let mut versions = Vec::new();
    for word in text.split_whitespace() {
        match TlsVersion::ALL
            .into_iter()
            .find(|version| version.as_str() == word)
        {
            Some(version) => versions.push(version),
            None if OLD_VERSIONS.contains(&word) => {
                report.note(format!("{path}: {word} is ignored: it is not spoken here"));
            }
            None => {
                let known = TlsVersion::ALL.map(TlsVersion::as_str);
                report.mistake(path, crate::report::unknown("version", word, known));
            }
        }
    }
    if versions.is_empty() {
        report.mistake(
            path,
            "names no version that is spoken here; write `TLSv1.2 TLSv1.3`",
        );
    }
    versions
}
