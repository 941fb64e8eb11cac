//! The dashboard at `/ui/`: files that are built into the binary, compressed once.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::answer::Answer;
use crate::errors::Refusal;
use crate::secured;

/// A file of the dashboard.
struct File {
    /// Its path below `/ui/`.
    path: &'static str,
    /// Its media type.
    kind: &'static str,
    /// Changes with its content.
    etag: &'static str,
    /// Whether its name changes with its content.
    is_hashed: bool,
    /// The content, compressed with gzip.
    gzip: &'static [u8],
}

/// All of them; the list is made when the dashboard is built.
static FILES: &[File] = include!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../dashboard/dist/files.rs"
));

/// Whether a path belongs to this: that of the dashboard, or `/` for a browser.
pub(crate) fn is_ui(segments: &[String], headers: &HeaderMap) -> bool {
    match segments.first() {
        Some(first) => first == "ui",
        None => wants(headers, ACCEPT, "text/html"),
    }
}

/// Answers with a file. Nobody needs a key for it: there is nothing in it but the program.
pub(crate) fn answer(parts: &Parts, segments: &[String]) -> Result<Answer, Refusal> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Refusal::NoPath);
    }
    // Addresses of files are relative to the folder.
    if segments.is_empty() || parts.uri.path() == "/ui" {
        return Ok(Answer::empty(StatusCode::FOUND).with(LOCATION, HeaderValue::from_static("/ui/")));
    }
    let path = segments.get(1..).unwrap_or_default().join("/");
    let named = FILES.iter().find(|file| file.path == path);
    // Every other path is a page of the dashboard, which knows by itself what to show; but a file that is gone is gone.
    let file = match named {
        Some(file) => file,
        None if path.starts_with("assets/") => return Err(Refusal::NoPath),
        None => FILES
            .iter()
            .find(|file| file.path == "index.html")
            .ok_or(Refusal::NoPath)?,
    };
    if !takes_gzip(&parts.headers) {
        return Ok(Answer::text(
            StatusCode::NOT_ACCEPTABLE,
            "the dashboard is kept compressed: ask with `accept-encoding: gzip` (curl --compressed)\n",
        )
        .with(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ));
    }
    let etag = HeaderValue::from_static(file.etag);
    let is_known = parts.headers.get(IF_NONE_MATCH) == Some(&etag);
    let content = match parts.method {
        Method::HEAD => &[],
        _ => file.gzip,
    };
    let mut answer = match is_known {
        true => Answer::empty(StatusCode::NOT_MODIFIED),
        false => {
            Answer::text(StatusCode::OK, content).with(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
        }
    };
    let caching = match file.is_hashed {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    for (name, value) in [
        (CONTENT_TYPE, file.kind),
        (CACHE_CONTROL, caching),
        (VARY, "accept-encoding"),
    ] {
        answer = answer.with(name, HeaderValue::from_static(value));
    }
    secured::secure(&mut answer.headers);
    Ok(answer.with(ETAG, etag))
}

/// Whether an answer may be compressed with gzip. Who says nothing takes any coding
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3)): a proxy on the way may have removed what a browser said.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    if said.peek().is_none() {
        return true;
    }
    let codings = said
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut any = false;
    for coding in codings {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_taken = match weight.trim().split_once('=') {
            Some((_, weight)) => weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0),
            None => true,
        };
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return is_taken,
            "*" => any = is_taken,
            _ => {}
        }
    }
    any
}

fn wants(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_given_to_all_who_do_not_refuse_it() {
        let takes = |said: &[&'static str]| {
            let said = said
                .iter()
                .map(|said| (ACCEPT_ENCODING, HeaderValue::from_static(said)));
            takes_gzip(&said.collect())
        };
        for said in [
            &[][..],
            &["gzip"],
            &["gzip, deflate, br"],
            &["br", "GZIP;q=0.5"],
            &["identity;q=0.5, *;q=0.1"],
        ] {
            assert!(takes(said), "{said:?}");
        }
        for said in [
            &["identity"][..],
            &[""],
            &["br, gzip;q=0"],
            &["*, gzip; q=0.000"],
            &["*;q=0"],
        ] {
            assert!(!takes(said), "{said:?}");
        }
    }

    #[test]
    fn the_dashboard_is_there_and_its_first_load_is_small() {
        let index = FILES.iter().find(|file| file.path == "index.html").unwrap();
        assert!(!index.is_hashed, "who has an old page must see a new one");
        let first_load: usize = FILES.iter().map(|file| file.gzip.len()).sum();
        assert!(first_load < 300 * 1024, "{first_load} bytes");
        assert!(
            FILES
                .iter()
                .any(|file| file.is_hashed && file.kind.starts_with("text/javascript"))
        );
    }
}
