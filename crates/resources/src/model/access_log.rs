//! Where the access log goes and how its lines look.

use serde::{Serialize, Serializer};

/// One line per call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccessLog {
    /// Where the lines go.
    pub path: LogPath,
    /// How a line looks.
    pub format: LogFormat,
}

/// Where the access log goes. Written `stdout`, `off`, or as the path of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogPath {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to this file.
    File(String),
}

impl LogPath {
    /// Reads the written form; every text that is not a word of its own is a file.
    pub fn new(text: &str) -> LogPath {
        match text {
            "stdout" => LogPath::Stdout,
            "off" => LogPath::Off,
            file => LogPath::File(file.to_owned()),
        }
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        match self {
            LogPath::Stdout => "stdout",
            LogPath::Off => "off",
            LogPath::File(file) => file,
        }
    }
}

impl Serialize for LogPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a line of the access log looks. Written `default`, `json`, `combined`, or as a text with `$variables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line with what an operator looks for first.
    #[default]
    Default,
    /// One JSON object per line, with every field.
    Json,
    /// NGINX's and Apache's combined format.
    Combined,
    /// A text in which `$name` and `${name}` stand for values, as in NGINX's `log_format`.
    Template(String),
}

impl LogFormat {
    /// Reads the written form; every text that is not a word of its own is a template.
    pub fn new(text: &str) -> LogFormat {
        match text {
            "default" => LogFormat::Default,
            "json" => LogFormat::Json,
            "combined" => LogFormat::Combined,
            template => LogFormat::Template(template.to_owned()),
        }
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        match self {
            LogFormat::Default => "default",
            LogFormat::Json => "json",
            LogFormat::Combined => "combined",
            LogFormat::Template(template) => template,
        }
    }
}

impl Serialize for LogFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
