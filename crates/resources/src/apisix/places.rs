//! Addresses and networks of a bootstrap file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::view::View;
use crate::report::{Report, quote};

/// All addresses of the machine, as far as IPv4 goes.
pub(super) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// This machine only.
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A list of addresses and networks; `None` when the key is absent or null.
pub(super) fn networks(parent: &View<'_>, key: &str, report: &mut Report) -> Option<Vec<String>> {
    let mut networks = Vec::new();
    for (path, text) in parent.texts(key, report)? {
        if network(text).is_some() {
            networks.push(text.to_owned());
        } else {
            report.mistake(
                &path,
                format!(
                    "`{}` is no IP address or network, such as `127.0.0.1` or `10.0.0.0/8`",
                    quote(text)
                ),
            );
        }
    }
    Some(networks)
}

/// The address of a network, when the text is one.
pub(super) fn network(text: &str) -> Option<IpAddr> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse().ok();
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u8 = length.parse().ok()?;
    (digits && length <= most).then_some(address)
}

/// The address of a section `{ip, port}` that may be absent.
pub(super) fn address(
    parent: &View<'_>,
    key: &str,
    default: SocketAddr,
    report: &mut Report,
) -> Option<SocketAddr> {
    let section = parent.section(key, report)?;
    // A free one, which is told at start.
    if let Some(port) = section.get("port")
        && port.as_number() == Some(0)
    {
        return section.ip(default.ip(), report).map(|ip| SocketAddr::new(ip, 0));
    }
    section.address(default.ip(), default.port(), report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_a_length_that_fits() {
        for text in ["127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "::/64", "fd00::/8"] {
            assert!(network(text).is_some(), "{text}");
        }
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "unix:",
        ] {
            assert!(network(text).is_none(), "{text}");
        }
    }
}
