//! The listeners of a gateway, as its configuration wants them.

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_gateway::server::{Bounds, ByName, Limits, Listening, Settings, Tls};
use tollgate_resources::model::Server;

use crate::banner::Served;
use crate::cli::Failure;
use crate::upgrade::Sockets;
use crate::{files, trust};

/// Opens all sockets, or takes those of the process before. Gives them by worker, and where they are, with the scheme of each.
///
/// # Errors
/// An address cannot be listened on, or a certificate cannot be read.
pub fn listen(
    server: &Server,
    workers: usize,
    sockets: &mut Sockets,
) -> Result<(Vec<Vec<Listening>>, Vec<Served>), Failure> {
    let mut by_worker: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    let mut open = |address: SocketAddr, tls: &Tls| -> Result<(), Failure> {
        let sockets = sockets.for_calls(address, workers)?;
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        bound.extend(address.map(|address| Served {
            scheme: if matches!(tls, Tls::Off) { "http" } else { "https" },
            address,
        }));
        // There may be more than workers, if the process before had more of those.
        for (index, socket) in sockets.into_iter().enumerate() {
            if let Some(worker) = by_worker.get_mut(index % workers) {
                worker.push(Listening {
                    socket,
                    tls: tls.clone(),
                });
            }
        }
        Ok(())
    };
    let tls = trust::of_listeners(server)?;
    for address in &server.listen {
        open(*address, &tls)?;
    }
    if let Some(https) = &server.https {
        let by_name = ByName::new(https.fallback_name.as_deref()).map_err(Failure::new)?;
        for address in &https.listen {
            open(*address, &Tls::ByName(by_name.clone()))?;
        }
    }
    Ok((by_worker, bound))
}

/// What the listeners need to know of a configuration.
pub fn settings(server: &Server) -> Settings {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let time = Duration::from_millis;
    Settings {
        bounds: Bounds {
            max_header: bytes(server.max_header_bytes),
            max_headers: bytes(server.max_headers),
            max_uri: bytes(server.max_uri_bytes),
            max_streams: server.max_streams,
        },
        limits: Limits {
            idle: time(server.idle_timeout_ms),
            head: time(server.header_timeout_ms),
        },
        handshake_timeout: time(server.handshake_timeout_ms),
        send_timeout: time(server.send_timeout_ms),
        half_close: server.half_close,
        max_connections: files::connections(server.max_connections),
        max_calls: server
            .max_calls
            .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        drain: time(server.drain_ms),
        upgrade_drain: time(server.upgrade_drain_ms),
    }
}
