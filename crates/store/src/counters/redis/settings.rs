//! Where Redis is, and how it is spoken to.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tollgate_resources::Secret;

/// Where Redis is, and how it is spoken to.
pub struct RedisSettings {
    /// The servers.
    pub servers: Servers,
    /// Who signs in, and with what.
    pub login: Login,
    /// Number of the database. A cluster has number 0 only.
    pub database: u32,
    /// How long a decision waits for its answer, connecting included.
    pub timeout: Duration,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
}

/// Which servers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// A single one.
    One(Address),
    /// A cluster; some of its nodes, of which one has to answer.
    Cluster(Vec<Address>),
    /// The master that sentinels name.
    Sentinel {
        /// The sentinels, of which one has to answer.
        sentinels: Vec<Address>,
        /// The name of the master.
        master: String,
    },
}

/// Who signs in.
#[derive(Default)]
pub struct Login {
    /// The user of Redis' access control list; without one, the default user.
    pub username: Option<String>,
    /// Its password; without one nobody signs in.
    pub password: Option<Secret>,
    /// The user at the sentinels.
    pub sentinel_username: Option<String>,
    /// Its password.
    pub sentinel_password: Option<Secret>,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// They are not.
    #[default]
    Off,
    /// They are; whoever answers is believed to be Redis.
    Unverified,
    /// They are, and the server's certificate must be good for its name.
    Verified,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |formatter: &mut fmt::Formatter<'_>, nodes: &[Address]| {
            for (number, node) in nodes.iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                write!(formatter, "{comma}{node}")?;
            }
            Ok(())
        };
        match self {
            Servers::One(address) => address.fmt(formatter),
            Servers::Cluster(nodes) => {
                formatter.write_str("cluster ")?;
                list(formatter, nodes)
            }
            Servers::Sentinel { sentinels, master } => {
                write!(formatter, "master {master} of ")?;
                list(formatter, sentinels)
            }
        }
    }
}

impl RedisSettings {
    /// What is the same for the same settings only, without telling the passwords.
    pub(super) fn identity(&self) -> Vec<u8> {
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let Login {
            username,
            password,
            sentinel_username,
            sentinel_password,
        } = &self.login;
        let text = format!(
            "{:?}",
            (
                &self.servers,
                (username, secret(password)),
                (sentinel_username, secret(sentinel_password)),
                self.database,
                self.timeout,
                self.encryption,
            )
        );
        digest(&SHA256, text.as_bytes()).as_ref().to_vec()
    }
}
