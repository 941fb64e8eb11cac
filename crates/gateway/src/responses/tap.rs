//! Looks at a stream on its way to the client: shows the client's own `store` and `previous_response_id`, and keeps the answer
//! when it has ended. Events that are not about the whole response pass byte by byte.

use std::sync::Arc;

use bytes::Bytes;
use tollgate_dialects::scan::{Edit, scan};
use tollgate_dialects::sse::{Decoder, SseEvent};

use super::Keeper;
use super::expand::Asked;
use super::remember::shown;
use super::turn::edited;

/// What looks at one stream.
pub struct Tap {
    decoder: Decoder,
    keeper: Arc<Keeper>,
    asked: Asked,
}

impl Tap {
    /// For the answer to what was asked.
    pub(super) fn new(keeper: Arc<Keeper>, asked: Asked) -> Self {
        Tap {
            // What writes the stream has bounded its events.
            decoder: Decoder::new(usize::MAX),
            keeper,
            asked,
        }
    }

    /// Takes the client's next bytes and gives them as they are to be sent. An event that is not complete is held back. When
    /// the event that ends the answer is given, the answer is kept already.
    pub fn feed(&mut self, bytes: &Bytes) -> Bytes {
        let mut out = Out::new(bytes);
        let (keeper, asked) = (&self.keeper, &self.asked);
        // Without a limit nothing is refused.
        let _ = self
            .decoder
            .feed(bytes, &mut |event| out.pass(&event, keeper, asked));
        out.end()
    }

    /// The bytes have ended.
    pub fn finish(&mut self) -> Bytes {
        let nothing = Bytes::new();
        let mut out = Out::new(&nothing);
        let (keeper, asked) = (&self.keeper, &self.asked);
        self.decoder.finish(&mut |event| out.pass(&event, keeper, asked));
        out.end()
    }
}

/// What comes out. As long as it is the same as what came in, nothing is copied.
struct Out<'a> {
    came: &'a Bytes,
    same: usize,
    changed: Option<Vec<u8>>,
}

impl<'a> Out<'a> {
    fn new(came: &'a Bytes) -> Self {
        Out {
            came,
            same: 0,
            changed: None,
        }
    }

    fn pass(&mut self, event: &SseEvent<'_>, keeper: &Keeper, asked: &Asked) {
        let changed = looked_at(event, keeper, asked);
        let is_next = self.came.get(self.same..self.same + event.raw.len()) == Some(event.raw);
        if changed.is_none() && self.changed.is_none() && is_next {
            self.same += event.raw.len();
            return;
        }
        let out = self
            .changed
            .get_or_insert_with(|| self.came.get(..self.same).unwrap_or_default().to_vec());
        out.extend_from_slice(changed.as_deref().unwrap_or(event.raw));
    }

    fn end(self) -> Bytes {
        match self.changed {
            Some(changed) => changed.into(),
            None => self.came.slice(..self.same),
        }
    }
}

/// What is sent in place of an event; `None` if it is sent as it is. The event that ends an answer is kept.
fn looked_at(event: &SseEvent<'_>, keeper: &Keeper, asked: &Asked) -> Option<Vec<u8>> {
    let data = event.data.as_deref()?;
    let may_be_told = match event.name {
        Some(name) => WHOLE.iter().any(|whole| whole.as_bytes() == name),
        None => memchr::memmem::find(data, b"\"response\"").is_some(),
    };
    if !may_be_told {
        return None;
    }
    let members = scan(data).ok()?;
    let kind = members.string(data, "type")?.ok()?;
    if !WHOLE.contains(&kind.as_ref()) {
        return None;
    }
    let shown = shown(members.value(data, "response")?.as_bytes(), asked)?;
    if FINAL.contains(&kind.as_ref()) {
        keeper.keep(&shown.response, asked);
    }
    let edit = Edit {
        key: "response",
        value: Some(String::from_utf8(shown.response.into()).ok()?),
    };
    let mut out = Vec::with_capacity(data.len() + 128);
    if let Some(name) = event.name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name);
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    // Line feeds stand between values only: within strings they are escaped.
    out.extend(edited(data, &members, &[edit]).iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
    out.extend_from_slice(b"\n\n");
    Some(out)
}

/// Events that tell the whole response.
const WHOLE: [&str; 6] = [
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.completed",
    "response.incomplete",
    "response.failed",
];

/// Those of them that end an answer which can be continued.
const FINAL: [&str; 2] = ["response.completed", "response.incomplete"];
