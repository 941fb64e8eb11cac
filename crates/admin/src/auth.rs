//! Who may use the Admin API: addresses first, then keys.

use std::net::IpAddr;

use http::header::{COOKIE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::errors::Refusal;
use crate::query::Query;
use crate::settings::{Role, Settings};

/// Refuses addresses that are not on the list.
pub(crate) fn address(settings: &Settings, client: IpAddr) -> Result<(), Refusal> {
    match &settings.allow {
        Some(networks) if !networks.iter().any(|network| network.contains(client)) => Err(Refusal::Address),
        _ => Ok(()),
    }
}

/// Refuses what a browser sends for somebody else's page. A cookie may hold the key, or no key may be needed: then whoever
/// makes a person open a page could write through the person's browser.
pub(crate) fn page(settings: &Settings, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(HOST).map(|host| host.as_bytes());
    if !settings.cors
        && let Some(origin) = headers.get(ORIGIN)
    {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_own = authority
            .zip(host)
            .is_some_and(|((_, authority), host)| authority.as_bytes().eq_ignore_ascii_case(host));
        if !is_own {
            return Err(Refusal::Page(
                "a page of another origin may not use the Admin API; enable_admin_cors lets it",
            ));
        }
    }
    // A name that anybody owns can be made to lead here. Its pages are of the same origin then, but have no key.
    if !settings.key_required && !settings.strict && host.is_some_and(|host| !is_local(host)) {
        return Err(Refusal::Page(
            "without admin_key_required the Admin API is reached by an address or as localhost only",
        ));
    }
    Ok(())
}

/// Whether a host is an address, or the name of this machine for itself.
fn is_local(host: &[u8]) -> bool {
    let authority = str::from_utf8(host)
        .ok()
        .and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        name.eq_ignore_ascii_case("localhost") || address.unwrap_or(name).parse::<IpAddr>().is_ok()
    })
}

/// Refuses requests without a key that opens them. A key in the query counts before one in the header, that before one in
/// a cookie.
pub(crate) fn key(
    settings: &Settings,
    method: &Method,
    headers: &HeaderMap,
    query: &Query,
) -> Result<(), Refusal> {
    if !settings.key_required {
        return Ok(());
    }
    let header = headers.get("x-api-key").map(|value| value.as_bytes());
    let given = query
        .first("api_key")
        .map(str::as_bytes)
        .or(header)
        .or_else(|| cookie(headers, "x_api_key"))
        .ok_or(Refusal::Token("missing apikey"))?;
    let mut role = None;
    // Every key is compared, so that the time does not tell which one was close.
    for key in &settings.keys {
        if !key.key.is_empty() && same(given, key.key.expose().as_bytes()) {
            role = role.or(Some(key.role));
        }
    }
    match role {
        None => Err(Refusal::Token("wrong apikey")),
        Some(Role::Viewer) if *method != Method::GET => Err(Refusal::Token("invalid method for role viewer")),
        Some(_) => Ok(()),
    }
}

fn same(given: &[u8], key: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(given, key).is_ok()
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.as_bytes())
}
