//! Cache breakpoints of other dialects' clients.

use crate::Dialect;
use crate::canonical::{CacheHint, Ext};
use crate::foreign::{self, Place};
use crate::json::Object;
use crate::loss::Losses;

/// The breakpoint of a part, or of a tool, of another dialect; what else is in its bag is reported.
pub(crate) fn carry_over(
    cache: Option<&CacheHint>,
    ext: &Ext,
    place: Place,
    origin: Dialect,
    path: &str,
    losses: &mut Losses,
) -> Option<CacheHint> {
    if let Some(cache) = cache
        && cache.dialect != Dialect::AnthropicMessages
        && !matches!(cache.ttl.as_deref(), None | Some("5m" | "1h"))
    {
        losses.approximated(format!("{path}.prompt_cache_breakpoint"), "cached for one hour");
    }
    if ext.is_empty() {
        return cache.cloned();
    }
    let in_bag = cache_control(ext);
    let mut rest = ext.clone();
    if in_bag.is_some() {
        rest.0.retain(|(name, _)| name != CACHE_CONTROL);
    }
    foreign::report(&rest, place, origin, path, losses);
    cache.cloned().or(in_bag)
}

const CACHE_CONTROL: &str = "cache_control";

/// The breakpoint of a client that writes this dialect's `cache_control` into its own dialect, as many do.
fn cache_control(ext: &Ext) -> Option<CacheHint> {
    let raw = ext.get(CACHE_CONTROL)?;
    let mut object = Object::parse(raw.text(), "").ok()?;
    let ttl = object.take_string("ttl").ok().flatten();
    Some(CacheHint {
        ttl,
        dialect: Dialect::AnthropicMessages,
        raw: raw.clone(),
    })
}
