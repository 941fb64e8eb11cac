//! A server of names, and a gateway that asks nobody else.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// What is said about a name.
#[derive(Clone, Debug)]
pub enum Known {
    /// These addresses; none is an answer too.
    Addresses(Vec<IpAddr>),
    /// The same, but over UDP only that it is too much for UDP.
    Truncated(Vec<IpAddr>),
    /// An error: 2 is SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Error(u8),
    /// Nothing.
    Silence,
    /// Bytes that are no answer.
    Garbage,
}

/// A server of names on the loopback interface. Names that it was not told of do not exist.
pub struct Names {
    known: Arc<Mutex<HashMap<String, Known>>>,
    asked: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
}

/// The type of an IPv4 address.
const A: u16 = 1;
/// The type of an IPv6 address.
const AAAA: u16 = 28;

impl Names {
    /// Starts it, on an address that this test has for itself.
    #[track_caller]
    pub fn start() -> Names {
        let (address, udp, tcp) = sockets();
        let names = Names {
            known: Arc::default(),
            asked: Arc::default(),
            folder: tempfile::tempdir().expect("a directory"),
        };
        // Quicker than usual, so that silence is noticed soon.
        let settings = format!("nameserver {address}\noptions timeout:1 attempts:1\n");
        fs::write(names.file("resolv.conf"), settings).expect("a file can be written");
        fs::write(names.file("nsswitch.conf"), "hosts: files dns\n").expect("a file can be written");
        let (known, asked) = (names.known.clone(), names.asked.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if let Some(answer) = answer(&known, &asked, &buffer[..length], true) {
                    // Who has asked may be gone.
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        let (known, asked) = (names.known.clone(), names.asked.clone());
        std::thread::spawn(move || {
            for mut socket in tcp.incoming().map_while(Result::ok) {
                let (known, asked) = (known.clone(), asked.clone());
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while socket.read_exact(&mut length).is_ok() {
                        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                        if socket.read_exact(&mut question).is_err() {
                            return;
                        }
                        if let Some(answer) = answer(&known, &asked, &question, false) {
                            let length = u16::try_from(answer.len()).expect("short").to_be_bytes();
                            let _ = socket.write_all(&[&length, &answer[..]].concat());
                        }
                    }
                });
            }
        });
        names
    }

    /// Says from now on that about a name.
    pub fn know(&self, name: &str, known: Known) {
        let mut names = self.known.lock().expect("no test has failed");
        names.insert(name.to_owned(), known);
    }

    /// Says from now on that a name has these addresses.
    pub fn points(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("an address"));
        self.know(name, Known::Addresses(addresses.collect()));
    }

    /// How often a name was asked for, by type.
    pub fn asked_for(&self, name: &str) -> usize {
        let asked = self.asked.lock().expect("no test has failed");
        asked.iter().filter(|asked| *asked == name).count()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that runs a program for which the machine's server of names is this one.
    ///
    /// The program gets a view of its own of the files below `/etc` that say so, for which a test must be allowed to mount.
    #[track_caller]
    pub fn command(&self, program: &str) -> Command {
        let allowed = Command::new("unshare").args(["--mount", "true"]).output();
        assert!(
            allowed.as_ref().is_ok_and(|output| output.status.success()),
            "tests of names need `unshare --mount` (util-linux) and the right to use it, as root has: {allowed:?}"
        );
        let mut command = Command::new("unshare");
        let mounts = "mount --bind \"$1\" /etc/resolv.conf && mount --bind \"$2\" /etc/nsswitch.conf && shift 2 && exec \"$@\"";
        command
            .args(["--mount", "sh", "-c", mounts, "sh"])
            .arg(self.file("resolv.conf"))
            .arg(self.file("nsswitch.conf"))
            .arg(program);
        command
    }
}

/// Sockets on the port of names, at an address of their own.
fn sockets() -> (Ipv4Addr, UdpSocket, TcpListener) {
    let mut last = None;
    for number in 0..1000_u32 {
        let [_, _, high, low] = (std::process::id().wrapping_add(number)).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let place = SocketAddr::from((address, 53));
        match UdpSocket::bind(place).and_then(|udp| Ok((udp, TcpListener::bind(place)?))) {
            Ok((udp, tcp)) => return (address, udp, tcp),
            Err(error) => last = Some(error),
        }
    }
    panic!("tests of names need port 53 of an address of the loopback interface, as root may have: {last:?}");
}

/// What is sent back for a question.
fn answer(
    known: &Mutex<HashMap<String, Known>>,
    asked: &Mutex<Vec<String>>,
    question: &[u8],
    over_udp: bool,
) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    while let Some(length) = question.get(at).map(|length| usize::from(*length)) {
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
    let name = name.join(".").to_ascii_lowercase();
    asked.lock().ok()?.push(name.clone());
    let known = known.lock().ok()?.get(&name).cloned();
    let (addresses, error, truncated) = match known {
        None => (Vec::new(), 3, false),
        Some(Known::Error(error)) => (Vec::new(), error, false),
        Some(Known::Addresses(addresses)) => (addresses, 0, false),
        Some(Known::Truncated(_)) if over_udp => (Vec::new(), 0, true),
        Some(Known::Truncated(addresses)) => (addresses, 0, false),
        Some(Known::Silence) => return None,
        Some(Known::Garbage) => return Some([&question[..2], &[0xff; 40]].concat()),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) if kind == A => Some(address.octets().to_vec()),
            IpAddr::V6(address) if kind == AAAA => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let flags = [0x81 | if truncated { 2 } else { 0 }, 0x80 | error];
    let count = u16::try_from(records.len()).ok()?.to_be_bytes();
    let mut answer = [&question[..2], &flags, &[0, 1], &count, &[0, 0, 0, 0]].concat();
    answer.extend_from_slice(question.get(12..at + 5)?);
    for record in records {
        // The name of the question, the type, of the internet, for no time.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        answer.extend(record);
    }
    Some(answer)
}
