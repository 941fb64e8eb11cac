//! One call as it waits for the writer: bytes in a buffer, made on the thread that served the call.

use std::time::Duration;

use super::schema::{COLUMNS, Column, KEY_COLUMNS, KEY_TEXT, Kind};

/// Bytes of a text at most, so that no client can fill the store with one call; longer ones are cut.
const MAX_TEXT: usize = 4096;

/// Bytes of a name, such as a model's, at most.
const MAX_NAME: usize = 256;

/// Bytes of JSON at most. Cut JSON is none, so longer ones are left out.
const MAX_JSON: usize = 64 * 1024;

/// The largest number of one call. A provider may tell any number of tokens; sums over many calls must still fit.
const MAX_NUMBER: i64 = 1_000_000_000_000_000;

/// What stands in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    #[default]
    Null,
    /// A text.
    Text(&'a str),
    /// A whole number.
    Number(i64),
}

/// One call: what stands in each column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    values: [Value<'a>; COLUMNS],
}

impl Default for Row<'_> {
    /// A row with a 0 in each column that must hold a number.
    fn default() -> Self {
        Row { values: DEFAULTS }
    }
}

/// What stands in the columns of a row that nothing was put into.
const DEFAULTS: [Value<'static>; COLUMNS] = {
    let mut values = [Value::Null; COLUMNS];
    let mut place = 0;
    while place < COLUMNS {
        values[place] = match Column::ALL[place].kind() {
            Kind::Id => Value::Text(""),
            Kind::Count => Value::Number(0),
            Kind::Text | Kind::Json | Kind::Number => Value::Null,
        };
        place += 1;
    }
    values
};

impl<'a> Row<'a> {
    /// Puts a text into a column.
    // Not inline, as the others: a row has dozens of columns, and what stands in the code once stays in the processor's caches.
    #[inline(never)]
    pub fn text(&mut self, column: Column, text: &'a str) {
        self.set(column, Value::Text(text));
    }

    /// Puts a text into a column, if there is one.
    #[inline(never)]
    pub fn optional(&mut self, column: Column, text: Option<&'a str>) {
        if let Some(text) = text {
            self.text(column, text);
        }
    }

    /// Puts a number into a column.
    pub fn number(&mut self, column: Column, number: impl TryInto<i64>) {
        self.limited(column, number.try_into().unwrap_or(MAX_NUMBER));
    }

    #[inline(never)]
    fn limited(&mut self, column: Column, number: i64) {
        self.set(column, Value::Number(number.clamp(0, MAX_NUMBER)));
    }

    /// Puts a time into a column, in whole milliseconds.
    #[inline(never)]
    pub fn time(&mut self, column: Column, time: Duration) {
        self.number(column, time.as_millis());
    }

    /// Empties a column.
    pub fn clear(&mut self, column: Column) {
        self.set(column, Value::Null);
    }

    /// Puts something into a column as it is.
    pub(super) fn put(&mut self, column: Column, value: Value<'a>) {
        self.set(column, value);
    }

    fn set(&mut self, column: Column, value: Value<'a>) {
        if let Some(place) = self.values.get_mut(column as usize) {
            *place = value;
        }
    }

    /// What stands in a column.
    pub fn get(&self, column: Column) -> Value<'a> {
        self.values.get(column as usize).copied().unwrap_or_default()
    }

    /// The text in a column; empty if there is none.
    pub fn text_of(&self, column: Column) -> &'a str {
        match self.get(column) {
            Value::Text(text) => text,
            Value::Null | Value::Number(_) => "",
        }
    }

    /// The number in a column; 0 if there is none.
    pub fn number_of(&self, column: Column) -> i64 {
        match self.get(column) {
            Value::Number(number) => number,
            Value::Null | Value::Text(_) => 0,
        }
    }

    /// What stands in the columns, in their order.
    pub(super) fn values(&self) -> &[Value<'a>; COLUMNS] {
        &self.values
    }

    /// Appends the row to a buffer: its length, all its texts, and an entry for each column.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut entries = [[0; ENTRY]; COLUMNS];
        for ((value, bounds), entry) in self.values.iter().zip(&BOUNDS).zip(&mut entries) {
            let [tag, number @ ..] = entry;
            match value {
                Value::Null => {}
                Value::Number(value) => {
                    *tag = NUMBER;
                    *number = value.to_le_bytes();
                }
                Value::Text(text) => {
                    if let Some(length) = append_text(text, bounds, out) {
                        *tag = TEXT;
                        *number = (length as u64).to_le_bytes();
                    }
                }
            }
        }
        out.extend_from_slice(entries.as_flattened());
        let length = u32::try_from(out.len() - start - 4).unwrap_or(0);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// What stands behind the first row of a buffer; `None` at its end.
    pub(super) fn skip(bytes: &[u8]) -> Option<&[u8]> {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.get(usize::try_from(u32::from_le_bytes(*length)).ok()?..)
    }

    /// Takes the first row off the front of a buffer; `None` at its end.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Option<Row<'a>> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (own, rest) = rest.split_at_checked(length)?;
        let (texts, entries) = own.split_at_checked(length.checked_sub(COLUMNS * ENTRY)?)?;
        // All at once: many short texts take several times as long.
        let mut texts = str::from_utf8(texts).ok()?;
        let (entries, _) = entries.as_chunks::<ENTRY>();
        // Each of them is set.
        let mut row = Row {
            values: [Value::Null; COLUMNS],
        };
        for (value, [tag, number @ ..]) in row.values.iter_mut().zip(entries) {
            *value = match *tag {
                NULL => Value::Null,
                NUMBER => Value::Number(i64::from_le_bytes(*number)),
                _ => {
                    let length = usize::try_from(u64::from_le_bytes(*number)).ok()?;
                    let (text, rest) = texts.split_at_checked(length)?;
                    texts = rest;
                    Value::Text(text)
                }
            };
        }
        *bytes = rest;
        Some(row)
    }
}

/// Bytes of a column's entry: what it is, and the number or the length of the text.
const ENTRY: usize = 9;

const NULL: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;

impl Column {
    /// Whether its text is anybody's words: neither the gateway's nor JSON, which escapes control characters.
    const fn may_hold_nul(self) -> bool {
        !matches!(self.kind(), Kind::Json)
            && !matches!(
                self,
                Column::RequestId
                    | Column::Operation
                    | Column::RequestType
                    | Column::ClientDialect
                    | Column::ProviderDialect
                    | Column::Provider
                    | Column::PricePack
                    | Column::CostState
                    | Column::Outcome
            )
    }

    /// Bytes at most.
    const fn limit(self) -> usize {
        match self.kind() {
            Kind::Json => MAX_JSON,
            _ if matches!(self, Column::Losses) => MAX_TEXT,
            // What calls are grouped by is the same in a call and in a sum.
            _ if self.is_key() => KEY_TEXT,
            _ => MAX_NAME,
        }
    }

    /// Whether roll-ups are grouped by it.
    const fn is_key(self) -> bool {
        let mut place = 0;
        while place < KEY_COLUMNS.len() {
            if KEY_COLUMNS[place] as usize == self as usize {
                return true;
            }
            place += 1;
        }
        false
    }
}

/// What a column takes of a text.
#[derive(Clone, Copy)]
struct Bounds {
    /// Bytes at most.
    limit: usize,
    /// Whether the beginning of a longer one is of use.
    may_be_cut: bool,
    may_hold_nul: bool,
}

/// The bounds of each column.
const BOUNDS: [Bounds; COLUMNS] = {
    let mut bounds = [Bounds {
        limit: 0,
        may_be_cut: true,
        may_hold_nul: true,
    }; COLUMNS];
    let mut place = 0;
    while place < COLUMNS {
        let column = Column::ALL[place];
        bounds[place] = Bounds {
            limit: column.limit(),
            may_be_cut: !matches!(column.kind(), Kind::Json),
            may_hold_nul: column.may_hold_nul(),
        };
        place += 1;
    }
    bounds
};

/// Appends a text as far as its column takes it, and gives its length; `None` if it takes nothing of it.
fn append_text(text: &str, bounds: &Bounds, out: &mut Vec<u8>) -> Option<usize> {
    if !bounds.may_be_cut && text.len() > bounds.limit {
        return None;
    }
    let text = cut(text, bounds.limit);
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    // PostgreSQL's texts cannot hold a NUL, and one such text would keep all others waiting.
    let written = out.get_mut(start..).unwrap_or_default();
    if bounds.may_hold_nul && written.contains(&0) {
        written
            .iter_mut()
            .filter(|byte| **byte == 0)
            .for_each(|byte| *byte = b'?');
    }
    Some(text.len())
}

/// The beginning of a text, at most so many bytes.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<'a>(bytes: &'a [u8]) -> Vec<Row<'a>> {
        let mut rest = bytes;
        let rows = std::iter::from_fn(|| Row::decode(&mut rest)).collect();
        assert!(rest.is_empty());
        rows
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut first = Row::default();
        first.text(Column::RequestId, "a");
        first.text(Column::Usage, r#"{"prompt_tokens":1}"#);
        first.number(Column::InputTokens, 13_u64);
        let mut second = Row::default();
        second.text(Column::RequestId, "ü");
        second.optional(Column::Consumer, None);
        let mut bytes = Vec::new();
        first.encode(&mut bytes);
        second.encode(&mut bytes);
        assert_eq!(back(&bytes), [first, second]);
    }

    #[test]
    fn no_call_can_fill_the_store_or_keep_others_out_of_it() {
        let (long, json) = ("ü".repeat(100_000), format!("\"{}\"", "x".repeat(100_000)));
        let mut row = Row::default();
        row.text(Column::EndUser, &long);
        row.text(Column::ModelAsked, "a\0b");
        row.text(Column::Usage, &json);
        row.number(Column::InputTokens, u64::MAX);
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        let rows = back(&bytes);
        assert_eq!(rows[0].text_of(Column::EndUser), "ü".repeat(128));
        assert_eq!(rows[0].text_of(Column::ModelAsked), "a?b");
        assert_eq!(rows[0].get(Column::Usage), Value::Null);
        assert_eq!(rows[0].number_of(Column::InputTokens), MAX_NUMBER);
    }
}
