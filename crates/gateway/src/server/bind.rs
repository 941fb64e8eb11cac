//! Opens listening sockets, one per worker and address, that the kernel balances between the workers.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that may wait to be accepted, per socket.
const BACKLOG: i32 = 4096;

/// A socket that cannot be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}{}", hint(.source))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program listens there, stop it or choose another address",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege, choose a higher port",
        _ => "",
    }
}

/// Opens `workers` sockets on `address`. With port 0 the system chooses a port, the same for all.
///
/// # Errors
/// The address is in use, not allowed or not of this machine.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let failed = |source| BindError { address, source };
    // Sockets with SO_REUSEPORT would share the port with a second gateway of the same user without anyone noticing.
    // One without it is refused in that case.
    drop(open(address, Sharing::Exclusive).map_err(failed)?);
    let first = open(address, Sharing::BetweenWorkers).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    while listeners.len() < workers {
        listeners.push(open(address, Sharing::BetweenWorkers).map_err(failed)?);
    }
    Ok(listeners)
}

/// Opens `number` more sockets beside others of this process on the same address, which [`bind`] has opened with a port.
///
/// # Errors
/// The system gives none.
pub fn join(address: SocketAddr, number: usize) -> Result<Vec<TcpListener>, BindError> {
    let failed = |source| BindError { address, source };
    (0..number)
        .map(|_| open(address, Sharing::BetweenWorkers).map_err(failed))
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Exclusive,
    BetweenWorkers,
}

fn open(address: SocketAddr, sharing: Sharing) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if sharing == Sharing::BetweenWorkers {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
