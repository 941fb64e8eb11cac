//! Where the gateway may connect to: the one decision that everything which opens a connection asks for, with the address
//! that it is about to connect to. What a name resolved to earlier does not matter, so a name that changes is no way around.
//!
//! It belongs to the process and is settled before the first call. Refuses to know who connects, and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::model;
use crate::network::Networks;

static EGRESS: OnceLock<Egress> = OnceLock::new();

static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Who has named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator, in the file that the gateway is started with.
    Operator,
    /// An object: of the Admin API, of a standalone file, of a tool that synchronises them.
    Object,
}

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is where clouds give credentials away to whoever asks from their machines.
    #[error("{0} belongs to metadata services of clouds; `egress.metadata: true` allows them")]
    Metadata(IpAddr),
    /// The operator's list of refused places has it.
    #[error("{0} is refused by `egress.deny`")]
    Denied(IpAddr),
    /// The operator has listed what objects may reach, and this is not on the list.
    #[error("{0} is not in `egress.allow`")]
    NotAllowed(IpAddr),
}

/// Where the gateway may connect to. The default is everywhere but to metadata services of clouds.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    allow: Option<Places>,
    deny: Places,
    metadata: bool,
}

/// Networks, and names with everything below some of them.
#[derive(Clone, Debug, Default)]
struct Places {
    networks: Networks,
    names: Vec<String>,
    suffixes: Vec<String>,
}

/// Neither an address, nor a network, nor a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` {NO_PLACE}")]
pub struct InvalidPlace(pub String);

/// What is wrong with a text that is no place.
pub(crate) const NO_PLACE: &str =
    "is no IP address, network or name, such as `10.0.0.0/8`, `api.openai.com` or `*.internal.example`";

impl Egress {
    /// Reads what a configuration says.
    ///
    /// # Errors
    /// The first entry that is no place.
    pub fn new(settings: &model::Egress) -> Result<Self, InvalidPlace> {
        Ok(Egress {
            allow: settings.allow.as_deref().map(Places::new).transpose()?,
            deny: Places::new(&settings.deny)?,
            metadata: settings.metadata,
        })
    }

    /// Makes it the process's. Only the first one counts, because connections may be open by then.
    pub fn establish(self) {
        // Another one is there already, which is what the contract says.
        let _ = EGRESS.set(self);
    }

    /// Whether `address` may be connected to as `host`, which is a name or the address itself.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check(&self, origin: Origin, host: &str, address: IpAddr) -> Result<(), Refused> {
        let addresses = [Some(address.to_canonical()), embedded(address).map(IpAddr::V4)];
        let mut addresses = addresses.iter().flatten().copied();
        if !self.metadata && (addresses.clone().any(is_metadata) || is_metadata_name(host)) {
            return Err(Refused::Metadata(address));
        }
        if self.deny.name(host)
            || addresses
                .clone()
                .any(|address| self.deny.networks.contains(address))
        {
            return Err(Refused::Denied(address));
        }
        match &self.allow {
            Some(allow) if origin == Origin::Object => {
                let is_allowed =
                    allow.name(host) || addresses.all(|address| allow.networks.contains(address));
                is_allowed.then_some(()).ok_or(Refused::NotAllowed(address))
            }
            _ => Ok(()),
        }
    }
}

/// The same as [`Egress::check`] by the rules of the process. Counts refusals.
///
/// # Errors
/// The rule that refuses the address.
pub fn check(origin: Origin, host: &str, address: IpAddr) -> Result<(), Refused> {
    static DEFAULT: OnceLock<Egress> = OnceLock::new();
    let egress = EGRESS
        .get()
        .unwrap_or_else(|| DEFAULT.get_or_init(Egress::default));
    egress.check(origin, host, address).inspect_err(|_| {
        REFUSED.fetch_add(1, Ordering::Relaxed);
    })
}

/// How often the process did not connect because of its rules.
pub fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

impl Places {
    fn new(texts: &[String]) -> Result<Self, InvalidPlace> {
        let mut places = Places::default();
        let mut networks = Vec::new();
        for text in texts {
            if Networks::parse([text]).is_ok() {
                networks.push(text);
                continue;
            }
            let lower = text.trim_end_matches('.').to_ascii_lowercase();
            match lower.strip_prefix("*.") {
                Some(suffix) if is_name(suffix) => places.suffixes.push(format!(".{suffix}")),
                None if is_name(&lower) => places.names.push(lower),
                _ => return Err(InvalidPlace(text.clone())),
            }
        }
        places.networks = Networks::parse(networks).map_err(|error| InvalidPlace(error.0))?;
        Ok(places)
    }

    fn name(&self, host: &str) -> bool {
        if self.names.is_empty() && self.suffixes.is_empty() {
            return false;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names.contains(&host) || self.suffixes.iter().any(|suffix| host.ends_with(suffix.as_str()))
    }
}

/// Whether this can be the name of a host. Numbers alone are spellings of addresses, which a rule must not be fooled by.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(is_label) && last.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// Where clouds tell a machine its credentials.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.segments().starts_with(&AMAZON_V6)
                || METADATA_V6.contains(&address)
        }
    }
}

fn is_metadata_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    METADATA_NAMES.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// The IPv4 address that this one leads to as well: by NAT64's well-known prefix, 6to4, the old "compatible" form, or because
/// the system takes no address for its own.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let address = match address {
        unspecified if unspecified.is_unspecified() => return Some(Ipv4Addr::LOCALHOST),
        IpAddr::V4(_) => return None,
        IpAddr::V6(address) => address,
    };
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(pair(high, low)),
        _ => None,
    }
}

/// Alibaba's, Oracle's (classic) and Azure's, which are not link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Amazon's, for machines (`fd00:ec2::254`) and for pods (`fd00:ec2::23`).
const AMAZON_V6: [u16; 2] = [0xfd00, 0x0ec2];

/// Google's and Oracle's.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

const METADATA_NAMES: [&str; 5] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data.ec2.internal",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(allow: Option<&[&str]>, deny: &[&str], metadata: bool) -> Egress {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Egress::new(&model::Egress {
            allow: allow.map(texts),
            deny: texts(deny),
            metadata,
        })
        .unwrap()
    }

    fn check(egress: &Egress, origin: Origin, host: &str, address: &str) -> Result<(), Refused> {
        egress.check(origin, host, address.parse().unwrap())
    }

    #[test]
    fn metadata_services_are_refused_in_every_spelling_whoever_names_them() {
        let usual = Egress::default();
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ] {
            for origin in [Origin::Operator, Origin::Object] {
                let refused = check(&usual, origin, "models.example", address).unwrap_err();
                assert_eq!(refused, Refused::Metadata(address.parse().unwrap()), "{address}");
                let allowed = egress(None, &[], true);
                assert_eq!(check(&allowed, origin, "models.example", address), Ok(()));
            }
        }
        for name in [
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            "metadata.goog",
        ] {
            assert!(
                check(&usual, Origin::Operator, name, "1.2.3.4").is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn without_lists_everything_else_may_be_reached() {
        for address in [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "::1",
            "fd12::1",
            "::",
            "8.8.8.8",
            "fd00::1",
        ] {
            for origin in [Origin::Operator, Origin::Object] {
                assert_eq!(
                    check(&Egress::default(), origin, "x.example", address),
                    Ok(()),
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn objects_are_held_to_what_is_allowed_and_the_operator_is_not() {
        let held = egress(
            Some(&["10.1.0.0/16", "fd12::/16", "api.openai.com", "*.models.example"]),
            &[],
            false,
        );
        for (host, address, is_allowed) in [
            ("x.example", "10.1.2.3", true),
            ("x.example", "::ffff:10.1.2.3", true),
            ("x.example", "fd12::9", true),
            ("x.example", "10.2.0.1", false),
            ("x.example", "127.0.0.1", false),
            // Translated by the network, it would be 127.0.0.1.
            ("x.example", "64:ff9b::7f00:1", false),
            ("API.openai.com.", "1.2.3.4", true),
            ("eu.models.example", "1.2.3.4", true),
            ("models.example", "1.2.3.4", false),
            ("badmodels.example", "1.2.3.4", false),
            ("api.openai.com.evil.example", "1.2.3.4", false),
            // A name that is allowed may lead anywhere, but not there.
            ("api.openai.com", "169.254.169.254", false),
        ] {
            assert_eq!(
                check(&held, Origin::Object, host, address).is_ok(),
                is_allowed,
                "{host} {address}"
            );
        }
        assert_eq!(check(&held, Origin::Operator, "x.example", "127.0.0.1"), Ok(()));
        let nowhere = egress(Some(&[]), &[], false);
        assert!(check(&nowhere, Origin::Object, "x.example", "8.8.8.8").is_err());
    }

    #[test]
    fn what_is_denied_nobody_reaches() {
        let held = egress(Some(&["10.0.0.0/8"]), &["10.9.0.0/16", "*.corp.example"], false);
        for origin in [Origin::Operator, Origin::Object] {
            assert!(
                check(
                    &egress(None, &["127.0.0.0/8"], false),
                    origin,
                    "x.example",
                    "0.0.0.0"
                )
                .is_err()
            );
            for (host, address) in [
                ("x.example", "10.9.1.1"),
                ("x.example", "::ffff:10.9.1.1"),
                ("x.example", "64:ff9b::a09:101"),
                ("git.corp.example", "10.1.1.1"),
            ] {
                let refused = check(&held, origin, host, address).unwrap_err();
                assert_eq!(refused, Refused::Denied(address.parse().unwrap()), "{host}");
            }
            assert_eq!(check(&held, origin, "x.example", "10.1.1.1"), Ok(()));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            "http://x",
            "x:80",
            "10.0.0.0/33",
            "2130706433",
            "0x7f.1",
            "127.1",
            "a/8",
            "*.*.x",
        ] {
            let settings = model::Egress {
                allow: Some(vec![text.to_owned()]),
                ..model::Egress::default()
            };
            assert_eq!(Egress::new(&settings).unwrap_err(), InvalidPlace(text.to_owned()));
        }
    }
}
