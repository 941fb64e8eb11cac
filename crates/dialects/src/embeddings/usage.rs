//! Usage as OpenAI, Mistral and Voyage write it: `prompt_tokens` and `total_tokens`, or the total alone (Voyage).

use super::Dialect;
use crate::canonical::Usage;
use crate::gemini::fields::count;
use crate::json::{Object, RawJson, Writer};

/// Reads a `usage` object. Numbers that are missing or no numbers count as not said.
pub(super) fn decode(raw: &RawJson) -> Option<Usage> {
    let ext = Object::parse(raw.text(), "").ok()?.into_ext();
    let tokens = |name: &str| count(ext.get(name)?.text());
    let total = tokens("total_tokens");
    let output = tokens("completion_tokens").unwrap_or(0);
    let input = tokens("prompt_tokens").or(total)?;
    Some(Usage {
        input,
        output,
        total: total.filter(|total| *total != input.saturating_add(output)),
        ext,
        ..Usage::default()
    })
}

/// Writes a `usage` object. Usage of this dialect is repeated as its provider wrote it, unless it has been changed since.
pub(super) fn write(w: &mut Writer<'_>, dialect: Dialect, usage: &Usage, own: bool) {
    let as_it_was = own && decode(&RawJson::object(&usage.ext)).as_ref() == Some(usage);
    w.object(|w| {
        if as_it_was {
            return w.ext(&usage.ext);
        }
        if dialect != Dialect::Voyage {
            w.key("prompt_tokens").number(usage.input_total());
        }
        w.key("total_tokens").number(usage.total());
    });
}
