//! Reading the fields of an answer.

/// An answer that is not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is garbled: {0}")]
pub(crate) struct Garbled(pub(crate) &'static str);

/// What is left of an answer.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Garbled> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Garbled> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Garbled> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Garbled> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text that may be missing.
    pub(crate) fn text(&mut self) -> Result<Option<&'a str>, Garbled> {
        let Ok(length) = usize::try_from(self.i16()?) else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Garbled("a text is not UTF-8"))
    }

    /// Bytes that may be missing, which is as if there were none.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        self.take(length)
    }

    /// The elements of an array that may be missing, which is as if there were none. `smallest` is what one element takes
    /// at least: an array that cannot be there is refused before room is made for it.
    pub(crate) fn array_of<T>(
        &mut self,
        smallest: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Vec<T>, Garbled> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        if count.saturating_mul(smallest) > self.rest.len() {
            return Err(Garbled("an array is longer than the answer"));
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (first, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Garbled("it ends in the middle of a number"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Garbled> {
        let (first, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Garbled("it ends in the middle of a field"))?;
        self.rest = rest;
        Ok(first)
    }
}
