//! Reads configuration files and lowers them into resources.

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_resources::model::LogFormat;
use tollgate_resources::{Lowered, Mistake, access_log_format};
use tollgate_telemetry::Format;

use crate::cli::{Failure, Source};

/// The contents of the files a configuration consists of, to notice changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Result<String, String>)>);

/// Reads an environment variable.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Source {
    /// Reads the files, whatever is in them.
    pub fn read(&self) -> Files {
        let paths = self.config.iter().chain(&self.rbac);
        Files(paths.map(|path| (path.clone(), read(path))).collect())
    }

    /// Lowers the files' contents into resources.
    ///
    /// # Errors
    /// All mistakes in the files.
    pub fn lower(&self, files: &Files) -> Result<Lowered, Failure> {
        let config = match &self.config {
            None => None,
            Some(path) => Some((display(path), files.text(path)?)),
        };
        let lowered = match &self.rbac {
            Some(path) => {
                let text = files.text(path)?;
                tollgate_resources::lower_rbac(
                    &display(path),
                    text,
                    config.as_ref().map(|(name, text)| (name.as_str(), *text)),
                    &env,
                )
            }
            None => match &config {
                Some((name, text)) => tollgate_resources::lower_native(name, text, &env),
                None => tollgate_resources::lower_native(
                    "built-in configuration",
                    tollgate_resources::QUICKSTART,
                    &env,
                ),
            },
        };
        let mut mistakes = Vec::new();
        if let Some((name, text)) = &config {
            mistakes.extend(log_format_mistake(name, text));
        }
        match lowered {
            Ok(lowered) if mistakes.is_empty() => Ok(lowered),
            Ok(_) => Err(Failure::all(mistakes)),
            Err(others) => {
                mistakes.extend(others);
                mistakes.sort();
                Err(Failure::all(mistakes))
            }
        }
    }

    /// Reads and lowers.
    ///
    /// # Errors
    /// All mistakes in the files.
    pub fn load(&self) -> Result<Lowered, Failure> {
        self.lower(&self.read())
    }
}

impl Files {
    fn text(&self, path: &Path) -> Result<&str, Failure> {
        match self.0.iter().find(|(other, _)| other == path) {
            Some((_, Ok(text))) => Ok(text),
            Some((_, Err(reason))) => Err(Failure::new(format!("cannot read {}: {reason}", path.display()))),
            None => Err(Failure::new(format!("cannot read {}", path.display()))),
        }
    }
}

/// The access log's format, parsed.
///
/// # Errors
/// An unknown variable.
pub fn log_format(format: &LogFormat) -> Result<Format, tollgate_telemetry::FormatError> {
    match format {
        LogFormat::Default => Format::parse(tollgate_telemetry::DEFAULT),
        LogFormat::Json => Ok(Format::Json),
        LogFormat::Combined => Format::parse(tollgate_telemetry::COMBINED),
        LogFormat::Template(template) => Format::parse(template),
    }
}

fn log_format_mistake(file: &str, text: &str) -> Option<Mistake> {
    let (line, format) = access_log_format(text)?;
    let error = log_format(&LogFormat::new(&format)).err()?;
    Some(Mistake {
        file: file.to_owned(),
        line: Some(line),
        path: "server.access_log.format".to_owned(),
        text: error.to_string(),
    })
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn display(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}
