//! What the process that serves and the one that takes over say to each other: lines of JSON over a socket, which is the new
//! one's standard input. Listening sockets travel beside the first line.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};

use super::sockets::{Kept, Role};

/// The variable that tells a process that it takes over from another one.
pub const VARIABLE: &str = "TOLLGATE_UPGRADE";

/// Sockets of one message; the system takes 253.
const AT_ONCE: usize = 64;

/// Longest line that is read.
const MAX_LINE: usize = 1024 * 1024;

/// A word of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The new process needs what only one may have.
    Store,
    /// The old process has let go of it.
    Released,
    /// The new process serves.
    Ready,
    /// The old process leaves.
    Go,
    /// The new process gives up, for these reasons.
    Failed(Vec<String>),
}

impl Word {
    /// As a line.
    pub fn line(&self) -> String {
        let value = match self {
            Word::Store => json!({"say": "store"}),
            Word::Released => json!({"say": "released"}),
            Word::Ready => json!({"say": "ready"}),
            Word::Go => json!({"say": "go"}),
            Word::Failed(reasons) => json!({"say": "failed", "reasons": reasons}),
        };
        format!("{value}\n")
    }

    /// Of a line; `None` for what this version does not know.
    pub fn of(line: &str) -> Option<Word> {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(match value.get("say")?.as_str()? {
            "store" => Word::Store,
            "released" => Word::Released,
            "ready" => Word::Ready,
            "go" => Word::Go,
            "failed" => {
                let reasons = value.get("reasons").and_then(Value::as_array);
                let texts = reasons.into_iter().flatten().filter_map(Value::as_str);
                Word::Failed(texts.map(str::to_owned).collect())
            }
            _ => return None,
        })
    }
}

/// Sends listening sockets.
///
/// # Errors
/// The other side does not take them.
pub fn send(stream: &UnixStream, sockets: &[Kept]) -> io::Result<()> {
    let list: Vec<_> = sockets
        .iter()
        .map(|kept| json!([kept.role.name(), kept.wanted.to_string()]))
        .collect();
    io::Write::write_all(
        &mut &*stream,
        format!("{}\n", json!({"sockets": list})).as_bytes(),
    )?;
    for sockets in sockets.chunks(AT_ONCE) {
        let handles: Vec<BorrowedFd<'_>> = sockets.iter().map(|kept| kept.socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(&handles)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        sendmsg(stream, &[IoSlice::new(b".")], &mut beside, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives what [`send`] sends.
///
/// # Errors
/// The other side says something else.
pub fn receive(stream: &UnixStream) -> io::Result<Vec<Kept>> {
    let line = read_line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
    let invalid = || io::Error::new(ErrorKind::InvalidData, "the list of sockets cannot be read");
    let value: Value = serde_json::from_str(&line).map_err(|_| invalid())?;
    let list = value
        .get("sockets")
        .and_then(Value::as_array)
        .ok_or_else(invalid)?;
    let mut handles = Vec::new();
    while handles.len() < list.len() {
        handles.extend(receive_handles(stream)?);
    }
    list.iter()
        .zip(handles)
        .map(|(entry, handle)| {
            let text = |at: usize| entry.get(at).and_then(Value::as_str).ok_or_else(invalid);
            let wanted: SocketAddr = text(1)?.parse().map_err(|_| invalid())?;
            Ok(Role::of(text(0)?).map(|role| Kept {
                role,
                wanted,
                socket: TcpListener::from(handle),
            }))
        })
        .filter_map(Result::transpose)
        .collect()
}

fn receive_handles(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut beside,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let handles: Vec<OwnedFd> = beside
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(handles) => Some(handles),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.contains(ReturnFlags::CTRUNC) || handles.is_empty() {
        let text = "not all sockets came; the process may not open enough files";
        return Err(io::Error::other(text));
    }
    Ok(handles)
}

/// Reads a line, and nothing beyond it: what follows may carry sockets. `None` if the other side has gone.
///
/// # Errors
/// The socket cannot be read.
pub fn read_line(mut stream: &UnixStream) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == [b'\n'] => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Ok(_) if line.len() < MAX_LINE => line.extend_from_slice(&byte),
            Ok(_) => return Err(ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The other process was killed before it had read everything.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// The socket that is this process' standard input, which is empty from now on.
///
/// # Errors
/// It is no socket.
pub fn of_standard_input() -> io::Result<UnixStream> {
    let handle = io::stdin().as_fd().try_clone_to_owned()?;
    let file = File::from(handle);
    if !file.metadata()?.file_type().is_socket() {
        let text = format!("{VARIABLE} is set, but standard input is no socket of a running tollgate");
        return Err(io::Error::other(text));
    }
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(OwnedFd::from(file)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn words_are_understood_and_unknown_ones_are_not() {
        let failed = Word::Failed(vec!["a \"reason\"".to_owned(), "another\nline".to_owned()]);
        for word in [Word::Store, Word::Released, Word::Ready, Word::Go, failed] {
            let line = word.line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Word::of(line.trim_end()), Some(word));
        }
        for line in ["", "{}", "ready", r#"{"say":7}"#, r#"{"say":"later"}"#, "[1"] {
            assert_eq!(Word::of(line), None, "{line}");
        }
    }

    #[test]
    fn sockets_arrive_as_they_were_however_many_there_are() {
        let (here, there) = UnixStream::pair().unwrap();
        let wanted: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let open = || Kept {
            role: Role::Calls,
            wanted,
            socket: TcpListener::bind(wanted).unwrap(),
        };
        let sent: Vec<Kept> = (0..AT_ONCE * 2 + 7).map(|_| open()).collect();
        send(&here, &sent).unwrap();
        (&here).write_all(Word::Go.line().as_bytes()).unwrap();
        let received = receive(&there).unwrap();
        let addresses = |list: &[Kept]| -> Vec<SocketAddr> {
            list.iter()
                .map(|kept| kept.socket.local_addr().unwrap())
                .collect()
        };
        assert_eq!(addresses(&received), addresses(&sent));
        assert!(
            received
                .iter()
                .all(|kept| kept.wanted == wanted && kept.role == Role::Calls)
        );
        assert_eq!(
            read_line(&there).unwrap().as_deref().and_then(Word::of),
            Some(Word::Go)
        );
        drop(here);
        assert_eq!(read_line(&there).unwrap(), None);
    }
}
