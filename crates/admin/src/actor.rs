//! Who makes a request, and what that one may do.

use std::net::IpAddr;

use crate::settings::Role;

/// How somebody has proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// With a key of the Admin API.
    Key,
    /// At an OpenID Connect provider.
    Oidc,
    /// By writing a file of the gateway's configuration.
    File,
    /// The gateway itself: something has outlived its time.
    System,
    /// Nobody was asked: the Admin API needs no key.
    Open,
}

impl Via {
    /// The word in the audit log.
    pub fn word(self) -> &'static str {
        match self {
            Via::Key => "key",
            Via::Oidc => "oidc",
            Via::File => "file",
            Via::System => "system",
            Via::Open => "open",
        }
    }
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The name of the key, or what the provider calls the person.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// Ids of the teams whose subtrees a [`Role::TeamAdmin`] sees and changes; empty for others.
    pub teams: Vec<String>,
    /// How it was proved.
    pub via: Via,
    /// Where the request came from; `None` for the gateway itself.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// The gateway itself.
    pub fn system() -> Actor {
        Actor {
            name: "tollgate".to_owned(),
            role: Role::Admin,
            teams: Vec::new(),
            via: Via::System,
            address: None,
        }
    }

    /// Somebody whom nobody asked for a key.
    pub(crate) fn anybody(address: IpAddr) -> Actor {
        Actor {
            name: "anybody".to_owned(),
            role: Role::Admin,
            teams: Vec::new(),
            via: Via::Open,
            address: Some(address),
        }
    }

    /// Whether everything may be read: no team's limits count.
    pub fn reads_all(&self) -> bool {
        self.role != Role::TeamAdmin
    }

    /// Whether the configuration may be changed, whoever it belongs to.
    pub fn writes_all(&self) -> bool {
        matches!(self.role, Role::Admin | Role::Editor)
    }

    /// Whether this is an administrator of the whole gateway.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// The teams that everything read and written must belong to (to them, or to a team below them); `None` where no such
    /// limit counts.
    pub fn scope(&self) -> Option<&[String]> {
        (self.role == Role::TeamAdmin).then_some(self.teams.as_slice())
    }
}
