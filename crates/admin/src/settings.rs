//! What the Admin API is told when it starts: who may use it, and how it behaves.

use std::net::IpAddr;

use thiserror::Error;
use tollgate_resources::Secret;

use crate::oidc::OidcSettings;

/// What `Server` says after `APISIX/`, and what tools take for the version of APISIX they talk to.
pub const APISIX_VERSION: &str = "3.18.0";

/// The largest body that is read, in bytes: 1.5 MiB as in APISIX.
pub const BODY_LIMIT: usize = 1_572_864;

/// Who may use the Admin API, and how it behaves.
pub struct Settings {
    /// The keys that open it.
    pub keys: Vec<Key>,
    /// Whether a key is needed at all.
    pub key_required: bool,
    /// Addresses that may connect; `None` means every address.
    pub allow: Option<Vec<Network>>,
    /// Whether pages of other origins may use it.
    pub cors: bool,
    /// Whether `Server` tells the version.
    pub server_tokens: bool,
    /// The largest body that is read, in bytes.
    pub body_limit: usize,
    /// Where the configuration is kept.
    pub mode: Mode,
    /// Whether differences from APISIX are switched off.
    pub strict: bool,
    /// How long people stay signed in.
    pub sessions: SessionLimits,
    /// Whether browsers reach it by TLS: only then cookies may be kept to it.
    pub secure: bool,
    /// An OpenID Connect provider at which people sign in.
    pub oidc: Option<OidcSettings>,
    /// The roles that may call models on the playground without a key.
    pub playground: Vec<Role>,
    /// Wrong keys of one address in a minute that are answered as such; further ones are answered with 429. `None` counts none.
    pub wrong_keys: Option<u32>,
}

impl Settings {
    /// Whether somebody administers a team of this id, whether there is one or not.
    pub(crate) fn administers(&self, team: &str) -> bool {
        let with_key = self.keys.iter().flat_map(|key| &key.teams);
        let by_group = self.oidc.iter().flat_map(|oidc| &oidc.team_admin);
        with_key.chain(by_group.map(|(_, of)| of)).any(|of| of == team)
    }
}

/// Wrong keys of one address in a minute that are answered as such.
pub const WRONG_KEYS: u32 = 100;

impl Default for Settings {
    /// APISIX's defaults, but for the addresses: all may connect, none has a key.
    fn default() -> Self {
        Settings {
            keys: Vec::new(),
            key_required: true,
            allow: None,
            cors: true,
            server_tokens: true,
            body_limit: BODY_LIMIT,
            mode: Mode::Traditional,
            strict: false,
            sessions: SessionLimits::default(),
            secure: false,
            oidc: None,
            playground: vec![Role::Admin, Role::Editor, Role::TeamAdmin],
            wrong_keys: Some(WRONG_KEYS),
        }
    }
}

/// A key that opens the Admin API.
pub struct Key {
    /// Name for people and logs.
    pub name: String,
    /// The key itself.
    pub key: Secret,
    /// What it opens.
    pub role: Role,
    /// Ids of the teams that a [`Role::TeamAdmin`] is one of; empty for others.
    pub teams: Vec<String>,
}

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Reading, and changing the configuration; not the keys and settings of the Admin API itself, nor who signs in.
    Editor,
    /// Reading.
    Viewer,
    /// Reading and changing what belongs to some teams, and to the teams below them.
    TeamAdmin,
}

impl Role {
    /// The role of a word.
    pub fn of_word(word: &str) -> Option<Role> {
        [Role::Admin, Role::Editor, Role::Viewer, Role::TeamAdmin]
            .into_iter()
            .find(|role| role.word() == word)
    }

    /// The word in configurations and answers.
    pub fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Editor => "editor",
            Role::Viewer => "viewer",
            Role::TeamAdmin => "team_admin",
        }
    }
}

/// How long people stay signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request for so many seconds a session ends.
    pub idle_s: u64,
    /// So many seconds after it began a session ends.
    pub longest_s: u64,
}

impl Default for SessionLimits {
    /// Half an hour without a request, and a working day.
    fn default() -> Self {
        SessionLimits {
            idle_s: 30 * 60,
            longest_s: 12 * 60 * 60,
        }
    }
}

/// Where the configuration is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the store, object by object.
    Traditional,
    /// In memory, written as one document at `/apisix/admin/configs`. Needs a store in memory: nothing survives a restart.
    ApiDriven,
}

/// A network of addresses, such as `127.0.0.0/24` or `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network. Write an address, or an address and the number of leading bits that count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no network; write an address such as 127.0.0.1 or a network such as 10.0.0.0/8")]
pub struct NoNetwork(String);

impl Network {
    /// Reads an address or a network in CIDR notation.
    ///
    /// # Errors
    /// A text that is neither.
    pub fn parse(text: &str) -> Result<Network, NoNetwork> {
        let no_network = || NoNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_network())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse::<u8>().map_err(|_| no_network())?,
            None => width,
        };
        if bits > width {
            return Err(no_network());
        }
        Ok(Network { address, bits })
    }

    /// Tells whether an address lies in the network. An IPv4 address that is written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits.min(32));
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_leading_bits() {
        for (network, address, inside) in [
            ("127.0.0.0/24", "127.0.0.200", true),
            ("127.0.0.0/24", "127.0.1.0", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("127.0.0.0/24", "::ffff:127.0.0.1", true),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(
                Network::parse(network)
                    .unwrap()
                    .contains(address.parse().unwrap()),
                inside,
                "{address} in {network}"
            );
        }
    }

    #[test]
    fn a_text_that_is_no_network_is_refused() {
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
