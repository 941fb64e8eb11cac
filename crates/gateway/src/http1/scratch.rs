//! Where a thread reads into. A connection that waits needs no buffer of its own: what has come is copied from here.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are read at once.
pub const READ: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Reads what is there and gives it to `with`, which must not read itself; it is empty at the end of the connection.
pub fn poll_read<S: AsyncRead + Unpin + ?Sized, T>(
    stream: &mut S,
    cx: &mut Context<'_>,
    with: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    poll_read_most(stream, cx, READ, with)
}

/// The same, of `most` bytes.
pub fn poll_read_most<S: AsyncRead + Unpin + ?Sized, T>(
    stream: &mut S,
    cx: &mut Context<'_>,
    most: usize,
    with: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = scratch.len().min(most);
        let mut read = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(with(read.filled())))
    })
}
