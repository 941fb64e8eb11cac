//! Tool calls of one choice, put together from pieces.
//!
//! A piece names its call by `index`; where that is missing, by id, by a name that begins a new call, or else it belongs to
//! the last one. A call is reported once its id and name are known, in the order in which calls began; what never gets
//! an id is reported at the end.

use super::stream_choice::inner_leftovers;
use crate::canonical::{DecodeError, Delta, Ext, ToolCallKind};
use crate::json::{Object, RawJson};

/// The calls of one choice.
#[derive(Debug)]
pub(super) struct Calls {
    list: Vec<Call>,
    /// How many bytes of arguments may wait for an id or a name.
    max_buffered: usize,
}

/// One call as far as it is known.
#[derive(Debug)]
pub(super) struct Call {
    index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: ToolCallKind,
    /// Further members; once the call has been reported, those that came since.
    pub(super) ext: Ext,
    /// Arguments that have not been reported yet.
    arguments: String,
    /// The number of its part, once it has been reported.
    pub(super) part: Option<usize>,
}

impl Calls {
    pub(super) fn new(max_buffered: usize) -> Self {
        Calls {
            list: Vec::new(),
            max_buffered,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The part numbers of the calls that have been reported.
    pub(super) fn parts(&self) -> impl Iterator<Item = usize> {
        self.list.iter().filter_map(|call| call.part)
    }

    /// Takes an element of `tool_calls`.
    pub(super) fn add(&mut self, mut piece: Object<'_>) -> Result<(), DecodeError> {
        piece.take_nulls();
        let index = piece.take_u64("index")?;
        let id = piece.take_string("id")?.unwrap_or_default();
        let kind = piece.take_string("type")?;
        let function = piece.take_object("function")?;
        let custom = if kind.as_deref() == Some("custom") || function.is_none() {
            piece.take_object("custom")?
        } else {
            None
        };
        let (member, inside, kind) = match (custom, function) {
            (Some(custom), _) => ("custom", Some(custom), ToolCallKind::Custom),
            (None, function) => ("function", function, ToolCallKind::Function),
        };
        let (name, arguments, rest) = match inside {
            Some(inside) => take_inside(inside, if member == "custom" { "input" } else { "arguments" })?,
            None => (String::new(), String::new(), None),
        };
        let call = self.find(index, &id, &name, kind)?;
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        for (name, raw) in piece.into_ext().0 {
            call.ext.0.push((name, raw));
        }
        if let Some(rest) = rest {
            inner_leftovers(&mut call.ext, member, rest);
        }
        Ok(())
    }

    /// Takes a `function_call`, from before tools existed: one call, without an id.
    pub(super) fn add_legacy(&mut self, mut piece: Object<'_>) -> Result<(), DecodeError> {
        piece.take_nulls();
        let name = piece.take_string("name")?.unwrap_or_default();
        let arguments = super::tools::take_arguments(&mut piece, "arguments");
        if name.is_empty() && arguments.is_empty() {
            return Ok(());
        }
        let call = match self
            .list
            .iter()
            .position(|call| call.kind == ToolCallKind::LegacyFunction)
        {
            Some(position) => self.at(position)?,
            None => self.begin(None, ToolCallKind::LegacyFunction)?,
        };
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        call.ext.0.extend(piece.into_ext().0);
        Ok(())
    }

    /// Reports what is known: with `None` that a call begins, with a delta that it goes on. With `all`, also calls that
    /// lack an id or a name, because nothing more will come.
    pub(super) fn flush(&mut self, all: bool, report: &mut dyn FnMut(&mut Call, Option<Delta<'_>>)) {
        let max_buffered = self.max_buffered;
        self.list.retain(|call| !(all && call.is_nothing()));
        for call in &mut self.list {
            if call.part.is_none() {
                if !(all || call.is_known() || call.arguments.len() > max_buffered) {
                    return;
                }
                report(call, None);
            }
            if !call.ext.is_empty() {
                let ext = std::mem::take(&mut call.ext);
                report(call, Some(Delta::Opaque(RawJson::object(&ext))));
            }
            if !call.arguments.is_empty() {
                let arguments = std::mem::take(&mut call.arguments);
                report(call, Some(Delta::Arguments(arguments.into())));
            }
        }
    }

    fn find(
        &mut self,
        index: Option<u64>,
        id: &str,
        name: &str,
        kind: ToolCallKind,
    ) -> Result<&mut Call, DecodeError> {
        let found = match index {
            // The last one with this index: some providers number every call 0, and tell them apart by id.
            Some(_) => self
                .list
                .iter()
                .rposition(|call| call.index == index)
                .filter(|&position| {
                    let other_id = self
                        .list
                        .get(position)
                        .is_some_and(|call| !call.id.is_empty() && call.id != id);
                    !(other_id && !id.is_empty() && !name.is_empty())
                }),
            None if !id.is_empty() => {
                let last = self.list.len().checked_sub(1);
                let nameless = |&last: &usize| {
                    name.is_empty() && self.list.get(last).is_some_and(|call| call.id.is_empty())
                };
                self.list
                    .iter()
                    .position(|call| call.id == id)
                    .or_else(|| last.filter(nameless))
            }
            None if !name.is_empty() => self
                .list
                .len()
                .checked_sub(1)
                .filter(|&last| self.list.get(last).is_some_and(|call| call.name.is_empty())),
            None => self.list.len().checked_sub(1),
        };
        match found {
            Some(position) => self.at(position),
            None => self.begin(index, kind),
        }
    }

    fn at(&mut self, position: usize) -> Result<&mut Call, DecodeError> {
        self.list.get_mut(position).ok_or_else(too_many)
    }

    fn begin(&mut self, index: Option<u64>, kind: ToolCallKind) -> Result<&mut Call, DecodeError> {
        if self.list.len() >= MAX_CALLS {
            return Err(too_many());
        }
        self.list.push(Call {
            index,
            id: String::new(),
            name: String::new(),
            kind,
            ext: Ext::default(),
            arguments: String::new(),
            part: None,
        });
        self.list.last_mut().ok_or_else(too_many)
    }
}

impl Call {
    fn is_known(&self) -> bool {
        !self.name.is_empty() && (!self.id.is_empty() || self.kind == ToolCallKind::LegacyFunction)
    }

    /// Whether nothing was ever said of it (Snowflake writes empty calls).
    fn is_nothing(&self) -> bool {
        self.part.is_none() && self.id.is_empty() && self.name.is_empty() && self.arguments.is_empty()
    }
}

type Inside<'a> = (String, String, Option<Object<'a>>);

fn take_inside<'a>(mut inside: Object<'a>, arguments: &str) -> Result<Inside<'a>, DecodeError> {
    inside.take_nulls();
    let name = inside.take_string("name")?.unwrap_or_default();
    let arguments = super::tools::take_arguments(&mut inside, arguments);
    Ok((name, arguments, Some(inside)))
}

fn too_many() -> DecodeError {
    DecodeError::new(
        "choices[].delta.tool_calls",
        format!("more than {MAX_CALLS} tool calls"),
    )
}

/// How many calls one choice may make.
const MAX_CALLS: usize = 1024;
