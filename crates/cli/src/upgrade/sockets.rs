//! The listening sockets of the process: opened, or taken over from the process before, and kept to be handed on.
//!
//! Clients that nobody has accepted yet wait in a socket, and are reset when its last owner closes it. So sockets are not
//! opened a second time beside the old ones, but handed over.

use std::net::{SocketAddr, TcpListener};

use tollgate_gateway::server;

use crate::cli::Failure;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls, with or without TLS.
    Calls,
    /// The Admin API.
    Admin,
    /// Probes of APISIX's status.
    Status,
    /// APISIX's control API.
    Control,
    /// Numbers for Prometheus.
    Metrics,
}

impl Role {
    const ALL: [Role; 5] = [
        Role::Calls,
        Role::Admin,
        Role::Status,
        Role::Control,
        Role::Metrics,
    ];

    /// Its word, between processes.
    pub fn name(self) -> &'static str {
        match self {
            Role::Calls => "calls",
            Role::Admin => "admin",
            Role::Status => "status",
            Role::Control => "control",
            Role::Metrics => "metrics",
        }
    }

    /// The one with this word.
    pub fn of(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    fn described(self) -> &'static str {
        match self {
            Role::Calls => "calls",
            Role::Admin => "the Admin API",
            Role::Status => "the status",
            Role::Control => "the control API",
            Role::Metrics => "the metrics",
        }
    }
}

/// A socket that is kept.
#[derive(Debug)]
pub struct Kept {
    /// What it is for.
    pub role: Role,
    /// The address that the configuration names, whose port may be 0.
    pub wanted: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
}

/// All of them.
#[derive(Default)]
pub struct Sockets {
    /// Of the process before, and not taken yet.
    inherited: Vec<Kept>,
    kept: Vec<Kept>,
}

impl Sockets {
    /// With those of the process before.
    pub fn inheriting(inherited: Vec<Kept>) -> Self {
        Sockets {
            inherited,
            kept: Vec::new(),
        }
    }

    /// Sockets for calls on an address, at least one for each worker. All that there are must be served: the system gives
    /// clients to each of them.
    ///
    /// # Errors
    /// The address is in use, not allowed or not of this machine.
    pub fn for_calls(&mut self, wanted: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, Failure> {
        let mut sockets = self.take(Role::Calls, wanted);
        let first = sockets.first().map(TcpListener::local_addr);
        match first.transpose().map_err(Failure::new)? {
            None => sockets = server::bind(wanted, workers).map_err(Failure::new)?,
            Some(address) => {
                let missing = workers.saturating_sub(sockets.len());
                sockets.extend(server::join(address, missing).map_err(Failure::new)?);
            }
        }
        sockets
            .into_iter()
            .map(|socket| self.keep(Role::Calls, wanted, socket))
            .collect()
    }

    /// The one socket for something else on an address.
    ///
    /// # Errors
    /// The address is in use, not allowed or not of this machine.
    pub fn for_one(&mut self, role: Role, wanted: SocketAddr) -> Result<TcpListener, Failure> {
        let socket = match self.take(role, wanted).into_iter().next() {
            Some(socket) => socket,
            None => TcpListener::bind(wanted)
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .map_err(|error| {
                    Failure::new(format!(
                        "cannot listen on {wanted} for {}: {error}",
                        role.described()
                    ))
                })?,
        };
        self.keep(role, wanted, socket)
    }

    /// Another handle of a socket that is kept, for who serves it again.
    ///
    /// # Errors
    /// It is not there.
    pub fn again(&self, role: Role, wanted: SocketAddr) -> Result<TcpListener, Failure> {
        let found = self
            .kept
            .iter()
            .find(|kept| kept.role == role && kept.wanted == wanted);
        match found {
            Some(kept) => kept.socket.try_clone().map_err(Failure::new),
            None => Err(Failure::new(format!("the socket of {wanted} is gone"))),
        }
    }

    /// All that are kept.
    pub fn all(&self) -> &[Kept] {
        &self.kept
    }

    /// Closes those that the process before has listened on and this one does not want.
    pub fn forget_the_rest(&mut self) {
        for kept in self.inherited.drain(..) {
            if let Ok(address) = kept.socket.local_addr() {
                tracing::info!(%address, "an address is not listened on any more");
            }
        }
    }

    /// Takes the sockets of an address out of those of the process before.
    fn take(&mut self, role: Role, wanted: SocketAddr) -> Vec<TcpListener> {
        let is_it = |kept: &Kept| kept.role == role && kept.wanted == wanted;
        // Two addresses with port 0 may stand side by side in a list: they are two groups.
        let actual = self
            .inherited
            .iter()
            .find(|kept| is_it(kept))
            .and_then(|kept| kept.socket.local_addr().ok());
        let (taken, rest) = std::mem::take(&mut self.inherited)
            .into_iter()
            .partition(|kept| is_it(kept) && kept.socket.local_addr().ok() == actual);
        self.inherited = rest;
        let taken: Vec<Kept> = taken;
        taken.into_iter().map(|kept| kept.socket).collect()
    }

    fn keep(&mut self, role: Role, wanted: SocketAddr, socket: TcpListener) -> Result<TcpListener, Failure> {
        let used = socket.try_clone().map_err(Failure::new)?;
        self.kept.push(Kept { role, wanted, socket });
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
        let mut list: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect();
        list.dedup();
        list
    }

    #[test]
    fn what_was_listened_on_is_taken_over_by_what_the_configuration_calls_it() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut old = Sockets::default();
        let calls = old.for_calls(any, 2).ok().unwrap();
        let more = old.for_calls(any, 2).ok().unwrap();
        let admin = old.for_one(Role::Admin, any).ok().unwrap();
        assert_ne!(addresses(&calls), addresses(&more));

        // More workers: further sockets on the same port. Fewer: all are served all the same.
        let mut new = Sockets::inheriting(std::mem::take(&mut old.kept));
        let again = new.for_calls(any, 3).ok().unwrap();
        assert_eq!((addresses(&again), again.len()), (addresses(&calls), 3));
        let again = new.for_calls(any, 1).ok().unwrap();
        assert_eq!((addresses(&again), again.len()), (addresses(&more), 2));
        let again = new.for_one(Role::Admin, any).ok().unwrap();
        assert_eq!(again.local_addr().unwrap(), admin.local_addr().unwrap());
        assert_eq!(
            new.again(Role::Admin, any).ok().unwrap().local_addr().unwrap(),
            again.local_addr().unwrap()
        );
        assert!(new.again(Role::Metrics, any).is_err());
        assert_eq!(new.all().len(), 6);

        // What is not inherited is opened; an address that is in use for something else is told.
        let taken = calls.first().unwrap().local_addr().unwrap();
        assert!(new.for_one(Role::Metrics, taken).is_err());
        new.forget_the_rest();
    }
}
