//! Which of the bytes that come are the body, and where it ends (RFC 9112, sections 6 and 7).

use bytes::BytesMut;
use http::HeaderMap;
use http::header::CONNECTION;
use thiserror::Error;

/// Bytes of chunk extensions and trailers in one body at most. Nobody reads them.
const MAX_EXTRAS: usize = 16 * 1024;

/// Bytes that are not framed as they should be: what is wrong with them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Garbled(pub &'static str);

/// How the rest of a body is framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClosed,
}

/// Whether a message leaves its connection open for another one (RFC 9112, section 9.3).
pub fn keeps(is_http_1_1: bool, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(CONNECTION).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case(word))
    };
    match is_http_1_1 {
        true => !says("close"),
        false => says("keep-alive"),
    }
}

/// What became of bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of them are the body, or a part of its framing; more is to come.
    More,
    /// The body ended with one of them; so many are left.
    Ended(usize),
}

impl Framing {
    /// Whether the body is complete without another byte.
    pub fn is_ended(&self) -> bool {
        matches!(
            self,
            Framing::Length(0) | Framing::Chunked(Chunks { at: At::End, .. })
        )
    }

    /// Takes bytes that were read, and appends to `body` what of them is the body.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn take(&mut self, bytes: &[u8], body: &mut BytesMut) -> Result<Progress, Garbled> {
        match self {
            Framing::UntilClosed => {
                body.extend_from_slice(bytes);
                Ok(Progress::More)
            }
            Framing::Length(left) => {
                let fits = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let (own, rest) = bytes.split_at(fits);
                body.extend_from_slice(own);
                *left -= own.len() as u64;
                Ok(match *left {
                    0 => Progress::Ended(rest.len()),
                    _ => Progress::More,
                })
            }
            Framing::Chunked(chunks) => chunks.take(bytes, body),
        }
    }
}

/// A chunked body on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    /// Bytes of extensions and trailers so far.
    extras: usize,
    /// Whether trailers have to be header lines. Nobody reads them, but what is none may be meant as something else.
    is_strict: bool,
}

/// The next byte is …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// the first digit of a size,
    #[default]
    Size,
    /// another digit of this size or what ends it,
    Digits(u64),
    /// white space behind this size,
    Space(u64),
    /// in an extension of a chunk of this size,
    Extension(u64),
    /// the line feed behind this size,
    SizeEnd(u64),
    /// one of so many bytes of the body,
    Data(u64),
    /// the line break behind a chunk,
    DataEnd,
    /// the line feed behind a chunk,
    DataFeed,
    /// the first of a trailer, or of the line break that ends everything,
    Trailer,
    /// in the name of a trailer,
    TrailerName,
    /// in a trailer,
    InTrailer,
    /// the line feed behind a trailer,
    TrailerFeed,
    /// the last line feed,
    LastFeed,
    /// none: this was all.
    End,
}

impl Chunks {
    /// The body of a request.
    pub fn of_request() -> Self {
        Chunks {
            is_strict: true,
            ..Chunks::default()
        }
    }

    fn take(&mut self, bytes: &[u8], body: &mut BytesMut) -> Result<Progress, Garbled> {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            if let At::Data(left) = self.at {
                let fits = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let (own, behind) = rest.split_at(fits);
                body.extend_from_slice(own);
                self.at = match left - own.len() as u64 {
                    0 => At::DataEnd,
                    left => At::Data(left),
                };
                rest = behind;
                continue;
            }
            self.at = self.step(byte)?;
            rest = behind;
            if self.at == At::End {
                return Ok(Progress::Ended(rest.len()));
            }
        }
        Ok(Progress::More)
    }

    /// What comes behind a byte that is not the body's.
    fn step(&mut self, byte: u8) -> Result<At, Garbled> {
        const BROKEN: Garbled = Garbled("a broken chunk");
        let behind_size = |size: u64| match size {
            0 => At::Trailer,
            size => At::Data(size),
        };
        Ok(match (self.at, byte) {
            (At::Size, _) => At::Digits(digit(byte).ok_or(BROKEN)?),
            (At::Digits(size), b'\r') | (At::Space(size), b'\r') | (At::Extension(size), b'\r') => {
                At::SizeEnd(size)
            }
            (At::Digits(size), b';') | (At::Space(size), b';') => At::Extension(size),
            (At::Digits(size), b' ' | b'\t') | (At::Space(size), b' ' | b'\t') => At::Space(size),
            (At::Digits(size), _) => {
                let digit = digit(byte).ok_or(BROKEN)?;
                let size = size.checked_mul(16).ok_or(Garbled("a chunk is too large"))?;
                At::Digits(size | digit)
            }
            // Some servers take it for a line break: what follows would be read differently.
            (At::Extension(_), b'\n') => return Err(BROKEN),
            (At::Extension(size), _) => {
                self.count_extra()?;
                At::Extension(size)
            }
            (At::SizeEnd(size), b'\n') => behind_size(size),
            (At::DataEnd, b'\r') => At::DataFeed,
            (At::DataFeed, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::LastFeed,
            (At::Trailer | At::InTrailer | At::TrailerName, b'\n') => return Err(BROKEN),
            (At::TrailerName, b':') => At::InTrailer,
            (At::Trailer | At::TrailerName, _) if self.is_strict => {
                self.count_extra()?;
                match is_name(byte) {
                    true => At::TrailerName,
                    false => return Err(Garbled("a broken trailer")),
                }
            }
            (At::InTrailer, b'\r') => At::TrailerFeed,
            (At::Trailer | At::InTrailer, _) => {
                self.count_extra()?;
                At::InTrailer
            }
            (At::TrailerFeed, b'\n') => At::Trailer,
            (At::LastFeed, b'\n') => At::End,
            _ => return Err(BROKEN),
        })
    }

    fn count_extra(&mut self) -> Result<(), Garbled> {
        self.extras += 1;
        match self.extras <= MAX_EXTRAS {
            true => Ok(()),
            false => Err(Garbled("too many trailers or chunk extensions")),
        }
    }
}

/// Whether a byte can stand in the name of a header (RFC 9110, section 5.6.2).
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), Garbled> {
        let mut framing = Framing::Chunked(Chunks::default());
        let mut body = BytesMut::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step.min(rest.len()));
            if let Progress::Ended(left) = framing.take(now, &mut body)? {
                return Ok((body.to_vec(), true, left + later.len()));
            }
            rest = later;
        }
        Ok((body.to_vec(), false, 0))
    }

    #[test]
    fn chunks_are_joined_wherever_they_are_cut() {
        let bytes = b"5\r\nhello\r\n0A ;name=\"x\"\r\n, my world\r\n0\r\nx: y\r\n\r\nHTTP";
        for step in 1..bytes.len() {
            assert_eq!(
                taken(bytes, step),
                Ok((b"hello, my world".to_vec(), true, 4)),
                "{step}"
            );
        }
        assert_eq!(taken(b"5\r\nhel", 3), Ok((b"hel".to_vec(), false, 0)));
    }

    #[test]
    fn broken_chunks_are_refused() {
        let long = |text: &str| text.repeat(MAX_EXTRAS + 1).into_bytes();
        for bytes in [
            b"\r\n".to_vec(),
            b"0x5\r\nhello".to_vec(),
            b"+5\r\nhello".to_vec(),
            b"5\nhello".to_vec(),
            b"5 6\r\nhello".to_vec(),
            b"5\r\nhello!\r\n".to_vec(),
            b"5\r\nhello\n".to_vec(),
            b"5;x\nhello".to_vec(),
            b"10000000000000000\r\n".to_vec(),
            b"0\r\n\n".to_vec(),
            b"0\r\nx\n".to_vec(),
            [b"5;".to_vec(), long("x")].concat(),
            [b"0\r\n".to_vec(), long("x: y\r\n")].concat(),
        ] {
            assert!(
                taken(&bytes, 1).is_err(),
                "{:?}",
                bytes.escape_ascii().to_string().get(..20)
            );
        }
    }
}
