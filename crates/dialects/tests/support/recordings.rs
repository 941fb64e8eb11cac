//! Recordings of real providers: a folder for each exchange, below its provider and the name of its dialect.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// One recorded exchange.
#[derive(Clone)]
pub(crate) struct Recording {
    /// Provider and case.
    pub(crate) name: String,
    folder: PathBuf,
}

impl Recording {
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        self.bytes(file)
            .map(|bytes| String::from_utf8(bytes).unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }

    pub(crate) fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(file)).ok()
    }

    /// Whether it is of this case, whoever the provider is.
    pub(crate) fn is(&self, case: &str) -> bool {
        self.name.ends_with(case)
    }

    pub(crate) fn status(&self) -> u16 {
        let meta: Value = serde_json::from_str(&self.read("meta.json").unwrap()).unwrap();
        meta["status"]
            .as_u64()
            .map_or(200, |status| u16::try_from(status).unwrap())
    }

    pub(crate) fn request(&self) -> Option<String> {
        self.read("request.json")
    }

    /// A whole answer that was no error.
    pub(crate) fn answer(&self) -> Option<String> {
        self.read("response.json")
            .filter(|body| self.status() == 200 && !body.starts_with('['))
    }

    /// The stream as it came: server-sent events, or Gemini's array of documents. Recordings of bare chunks get their framing
    /// back, without an end that is told by the framing alone.
    pub(crate) fn stream(&self) -> Option<String> {
        let framed = || {
            let chunks = self.read("response.chunks.jsonl")?;
            Some(chunks.lines().map(|chunk| format!("data: {chunk}\n\n")).collect())
        };
        let array = || self.read("response.json").filter(|body| body.starts_with('['));
        self.read("response.sse").or_else(framed).or_else(array)
    }
}

/// Where the recordings are; `None` (with a notice) on a machine that does not have them.
pub(crate) fn root() -> Option<PathBuf> {
    let root = env::var_os("TOLLGATE_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    if root.is_dir() {
        return Some(root);
    }
    assert!(env::var_os("CI").is_none(), "no recordings at {}", root.display());
    println!("no recordings at {}: nothing tested", root.display());
    None
}

/// All recordings of a dialect, by the name of its folders; empty on a machine that does not have them.
pub(crate) fn recordings_of(dialect: &str) -> Vec<Recording> {
    let Some(root) = root() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for provider in fs::read_dir(&root).unwrap().flatten() {
        let Ok(cases) = fs::read_dir(provider.path().join(dialect)) else {
            continue;
        };
        for case in cases.flatten().filter(|case| case.path().is_dir()) {
            let (provider, case_name) = (provider.file_name(), case.file_name());
            found.push(Recording {
                name: format!("{}/{}", provider.display(), case_name.display()),
                folder: case.path(),
            });
        }
    }
    assert!(
        !found.is_empty(),
        "no recordings of {dialect} at {}",
        root.display()
    );
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
