//! Ports for servers of tests.
#![allow(dead_code, reason = "not all tests need all of it")]

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1 at which nobody listens until a test, or a server it starts, does. As long as this lives the system
/// gives it to nobody else, also while the server is away.
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Bound and not listening, which does not hinder whoever wants just this port and may use an address again
    /// (`SO_REUSEADDR`), as servers do.
    _held: Socket,
}

impl Port {
    /// Takes one.
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option of sockets");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        let address = address.as_socket().expect("an address of the internet");
        Port {
            number: address.port(),
            _held: socket,
        }
    }

    /// Where whoever listens there is found.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
