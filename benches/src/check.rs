//! Looks at an answer as it comes, however it is cut: is it the answer to this request, and is all of it there?

use crate::profile::{NONCE, NONCE_DIGITS, PIECE, TIME_DIGITS};

/// Reads one answer.
#[derive(Debug)]
pub struct Check {
    nonce: Finder,
    piece: Finder,
    expected: String,
    /// Digits of the number or the time that is being read, of which kind.
    reading: Option<(Kind, String)>,
    /// Whether the number of this request was seen.
    pub is_answered: bool,
    /// Whether the number of another one was seen.
    pub is_crossed: bool,
    /// Pieces of text seen.
    pub pieces: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nonce,
    Time,
}

impl Check {
    /// Of the answer to the request of this number.
    pub fn new(expected: &str) -> Check {
        Check {
            nonce: Finder::new(NONCE),
            piece: Finder::new(PIECE),
            expected: expected.to_owned(),
            reading: None,
            is_answered: false,
            is_crossed: false,
            pieces: 0,
        }
    }

    /// Takes the next bytes; `sent` is told when each piece of text was sent, in microseconds since 1970.
    pub fn feed(&mut self, bytes: &[u8], mut sent: impl FnMut(u64)) {
        for byte in bytes {
            if let Some((kind, digits)) = &mut self.reading {
                digits.push(char::from(*byte));
                let wanted = match kind {
                    Kind::Nonce => NONCE_DIGITS,
                    Kind::Time => TIME_DIGITS,
                };
                if digits.len() < wanted {
                    continue;
                }
                match kind {
                    Kind::Nonce if *digits == self.expected => self.is_answered = true,
                    Kind::Nonce => self.is_crossed = true,
                    Kind::Time => {
                        self.pieces += 1;
                        if let Ok(time) = digits.parse() {
                            sent(time);
                        }
                    }
                }
                self.reading = None;
                continue;
            }
            if self.nonce.takes(*byte) {
                self.reading = Some((Kind::Nonce, String::with_capacity(NONCE_DIGITS)));
            } else if self.piece.takes(*byte) {
                self.reading = Some((Kind::Time, String::with_capacity(TIME_DIGITS)));
            }
        }
    }
}

/// Finds a word none of whose beginnings is also its end.
#[derive(Debug)]
struct Finder {
    word: &'static [u8],
    seen: usize,
}

impl Finder {
    fn new(word: &'static str) -> Finder {
        Finder {
            word: word.as_bytes(),
            seen: 0,
        }
    }

    /// Whether this byte completes the word.
    fn takes(&mut self, byte: u8) -> bool {
        if self.word.get(self.seen) == Some(&byte) {
            self.seen += 1;
        } else {
            self.seen = usize::from(self.word.first() == Some(&byte));
        }
        let is_whole = self.seen == self.word.len();
        if is_whole {
            self.seen = 0;
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"{nnonce-00000000000000ab @a @at1795221039000001 @@at1795221039000002}";

    #[test]
    fn an_answer_is_recognised_however_it_is_cut() {
        for length in 1..ANSWER.len() {
            let mut check = Check::new("00000000000000ab");
            let mut times = Vec::new();
            for piece in ANSWER.chunks(length) {
                check.feed(piece, |time| times.push(time));
            }
            assert!(check.is_answered && !check.is_crossed, "{length}");
            assert_eq!(check.pieces, 2);
            assert_eq!(times, [1_795_221_039_000_001, 1_795_221_039_000_002]);
        }
    }

    #[test]
    fn somebody_else_s_answer_is_noticed() {
        let mut check = Check::new("00000000000000ac");
        check.feed(ANSWER, |_| {});
        assert!(check.is_crossed && !check.is_answered);
    }
}
