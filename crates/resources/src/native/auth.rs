//! `auth`: how the gateway finds out who is calling, and whether it is safe to listen where it does.

use super::choice::AuthEntry;
use super::file::File;
use crate::check;
use crate::model::{AiAuth, Server};
use crate::report::Report;
use crate::tree::Path;

/// Lowers `auth`.
pub(super) fn lower(file: &File, server: &Server, report: &mut Report) -> AiAuth {
    let path = Path::of(["auth"]);
    // Keys of teams are made at runtime.
    let consumers = ["consumers", "teams"].iter().any(|name| {
        let node = report.tree.get(name);
        node.is_some_and(|node| node.keys().next().is_some())
    });
    match &file.auth {
        Some(AuthEntry::Key) => {
            if !consumers {
                report.mistake(
                    &path,
                    "`key` needs `consumers` that have keys; without them nobody can call",
                );
            }
            AiAuth::key()
        }
        Some(AuthEntry::None) => {
            if consumers {
                report.note("auth: everybody may use every model; `consumers` has no effect");
            }
            AiAuth::Anonymous
        }
        Some(AuthEntry::Header(by)) => {
            let path = path.key("header");
            let name = match check::header_name(&by.header) {
                Ok(name) => name,
                Err(text) => {
                    report.mistake(&path, text);
                    String::new()
                }
            };
            if !consumers {
                report.mistake(
                    &path,
                    "a header that names the consumer needs `consumers`; without them nobody can call",
                );
            }
            report.note(unverified(&name));
            AiAuth::Header { name }
        }
        None if consumers => AiAuth::key(),
        None => {
            // An `auth` that did not fit its type has been reported, and says that somebody thought of it.
            if report.tree.get("auth").is_none() {
                check_open(server, report);
            }
            AiAuth::Anonymous
        }
    }
}

/// The note that belongs to a header that names the caller.
pub(crate) fn unverified(header: &str) -> String {
    format!(
        "auth: the header {header} is believed, not verified; let only something that sets it itself reach the gateway"
    )
}

/// Whoever reaches an open gateway spends its owner's money, so nobody but this machine does unless it was said.
fn check_open(server: &Server, report: &mut Report) {
    let Some(open) = server
        .listen
        .iter()
        .find(|address| !address.ip().to_canonical().is_loopback())
    else {
        return;
    };
    report.mistake(
        &Path::of(["server", "listen"]),
        format!(
            "whoever reaches {open} could use the models: add `consumers`, listen on 127.0.0.1, or write `auth: none` \
             to allow everybody"
        ),
    );
}
