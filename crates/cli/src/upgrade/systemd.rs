//! What systemd wants to know of a service of `Type=notify`: <https://www.freedesktop.org/software/systemd/man/sd_notify.html>.
//! Nothing is told where nobody has asked by `NOTIFY_SOCKET`.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Calls are served.
pub fn notify_ready() {
    tell("READY=1");
}

/// The process ends.
pub fn notify_stopping() {
    tell("STOPPING=1");
}

/// Another process is the service's main one now.
pub fn notify_successor(process: u32) {
    tell(&format!("MAINPID={process}"));
}

fn tell(state: &str) {
    if let Err(error) = send(state) {
        tracing::warn!(%error, "systemd could not be told: {state}");
    }
}

fn send(state: &str) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes() {
        // A name that is no file.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
