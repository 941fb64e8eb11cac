//! Several calls that wait for the writer, one behind the other. They are decoded one at a time, as they are written: all of them at
//! once would take more memory than what they wait in.

use super::row::Row;

/// Encoded rows. A copy is another view of the same.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Rows<'a> {
    /// The first rows of a buffer, at most so many.
    pub(super) fn first(bytes: &'a [u8], most: usize) -> Rows<'a> {
        let (mut count, mut rest) = (0, bytes);
        while count < most
            && let Some(behind) = Row::skip(rest)
        {
            count += 1;
            rest = behind;
        }
        let (bytes, _) = bytes.split_at(bytes.len() - rest.len());
        Rows { bytes, count }
    }

    /// How many they are.
    pub(super) fn len(self) -> usize {
        self.count
    }

    /// Bytes they take in their buffer.
    pub(super) fn bytes(self) -> usize {
        self.bytes.len()
    }

    /// Each of them.
    pub(super) fn iter(self) -> impl Iterator<Item = Row<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || Row::decode(&mut rest))
    }

    /// The first half of them, and the others.
    pub(super) fn halves(self) -> (Rows<'a>, Rows<'a>) {
        let first = Rows::first(self.bytes, self.count / 2);
        let (_, bytes) = self.bytes.split_at(first.bytes.len());
        let count = self.count - first.count;
        (first, Rows { bytes, count })
    }
}

#[cfg(test)]
pub(super) fn encoded(rows: &[Row<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| row.encode(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::Rows;
    use crate::ledger::row::Row;
    use crate::ledger::schema::Column;

    fn ids(rows: Rows<'_>) -> Vec<String> {
        let ids: Vec<String> = rows
            .iter()
            .map(|row| row.text_of(Column::RequestId).to_owned())
            .collect();
        assert_eq!(rows.len(), ids.len());
        ids
    }

    #[test]
    fn rows_are_parted_without_losing_one() {
        let mut bytes = Vec::new();
        for id in ["a", "b", "c", "d", "e"] {
            let mut row = Row::default();
            row.text(Column::RequestId, id);
            row.encode(&mut bytes);
        }
        let some = Rows::first(&bytes, 3);
        assert_eq!(ids(some), ["a", "b", "c"]);
        assert_eq!(ids(Rows::first(&bytes[some.bytes()..], 3)), ["d", "e"]);
        let (first, second) = Rows::first(&bytes, usize::MAX).halves();
        assert_eq!((ids(first).len(), ids(second).len()), (2, 3));
        let (first, second) = Rows::first(&bytes, 1).halves();
        assert_eq!((ids(first), ids(second)), (vec![], vec!["a".to_owned()]));
    }
}
