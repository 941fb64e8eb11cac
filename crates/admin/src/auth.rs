//! Who may use the Admin API: addresses first, then keys.

use std::net::IpAddr;

use http::header::{COOKIE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::actor::{Actor, Via};
use crate::admin::{Admin, DataPlane};
use crate::errors::Refusal;
use crate::query::Query;
use crate::settings::{Role, Settings};

/// The cookie of a signed-in person.
pub(crate) const SESSION_COOKIE: &str = "tollgate_session";

/// The header that a page of ours proves itself with when it writes.
pub(crate) const CSRF_HEADER: &str = "x-tollgate-csrf";

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
    if !settings.cors && !is_own(headers) {
        return Err(Refusal::Page(
            "a page of another origin may not use the Admin API; enable_admin_cors lets it",
        ));
    }
    let host = headers.get(HOST).map(|host| host.as_bytes());
    // A name that anybody owns can be made to lead here. Its pages are of the same origin then, but have no key.
    if !settings.key_required && !settings.strict && host.is_some_and(|host| !is_local(host)) {
        return Err(Refusal::Page(
            "without admin_key_required the Admin API is reached by an address or as localhost only",
        ));
    }
    Ok(())
}

/// Whether a request comes from no page, or from a page of the host it is sent to.
pub(crate) fn is_own(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority
        .zip(headers.get(HOST))
        .is_some_and(|((_, authority), host)| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
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

impl<D: DataPlane> Admin<D> {
    /// Finds out who sends a request. A key in the query counts before one in the header, that before one in a cookie, and
    /// any key before a session.
    pub(crate) fn actor(
        &self,
        client: IpAddr,
        method: &Method,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Actor, Refusal> {
        let given = query
            .first("api_key")
            .map(str::as_bytes)
            .or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()))
            .or_else(|| cookie(headers, "x_api_key"));
        if let Some(given) = given
            && self.settings.key_required
        {
            return self.actor_of_key(client, given);
        }
        if let Some(id) = cookie(headers, SESSION_COOKIE)
            && let Some(session) = self.sessions.find(id, &self.settings, self.now_s())
        {
            if !matches!(*method, Method::GET | Method::HEAD) {
                let told = headers.get(CSRF_HEADER).map(|value| value.as_bytes());
                if !told.is_some_and(|told| same(told, session.csrf.as_bytes())) {
                    return Err(Refusal::Page(
                        "a signed-in person's writes need the header x-tollgate-csrf with the `csrf` of GET /tollgate/v1/session",
                    ));
                }
            }
            return Ok(Actor {
                address: Some(client),
                ..session.actor
            });
        }
        if !self.settings.key_required {
            return Ok(Actor::anybody(client));
        }
        Err(Refusal::Token("missing apikey"))
    }

    /// The owner of a key.
    pub(crate) fn actor_of_key(&self, client: IpAddr, given: &[u8]) -> Result<Actor, Refusal> {
        let mut found = None;
        // Every key is compared, so that the time does not tell which one was close.
        for key in &self.settings.keys {
            if !key.key.is_empty() && same(given, key.key.expose().as_bytes()) {
                found = found.or(Some(key));
            }
        }
        let Some(key) = found else {
            return Err(match self.wrong_keys.add(client) {
                Some(seconds) => Refusal::WrongKeys(seconds),
                None => Refusal::Token("wrong apikey"),
            });
        };
        Ok(Actor {
            name: key.name.clone(),
            role: key.role,
            teams: key.teams.clone(),
            via: Via::Key,
            address: Some(client),
        })
    }
}

/// Refuses what the sender's role does not allow on APISIX's paths. What belongs to which team is not told there.
pub(crate) fn may_objects(actor: &Actor, method: &Method) -> Result<(), Refusal> {
    match actor.role {
        Role::TeamAdmin => Err(Refusal::Token(
            "role team_admin has no access here, only to its teams below /tollgate/v1",
        )),
        _ => may(actor, method),
    }
}

/// Refuses writes of those who may only read.
pub(crate) fn may(actor: &Actor, method: &Method) -> Result<(), Refusal> {
    match actor.role {
        Role::Viewer if *method != Method::GET => Err(Refusal::Token("invalid method for role viewer")),
        Role::Admin | Role::Editor | Role::Viewer | Role::TeamAdmin => Ok(()),
    }
}

/// Compares in a time that does not tell where two texts differ.
pub(crate) fn same(given: &[u8], key: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(given, key).is_ok()
}

/// The first cookie of a name.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.as_bytes())
}
