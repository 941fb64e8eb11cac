//! Reads configuration files and lowers them into resources.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tollgate_resources::adc::{Labels, lower_adc};
use tollgate_resources::apisix::{FileKind, detect, log_format_line, lower_bootstrap, lower_standalone};
use tollgate_resources::kubernetes::lower_manifests;
use tollgate_resources::model::{Admin, ConfigProvider, Deployment, LogFormat, StandaloneFormat};
use tollgate_resources::objects::ObjectKey;
use tollgate_resources::{Lowered, Mistake, Resources, SecretRef, access_log_format};
use tollgate_telemetry::Format;

use crate::cli::{Failure, Source};
use crate::secret_files::{SecretFile, lookup};

/// The contents of the files a configuration consists of, and what is known of those that hold its secrets, to notice changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Result<String, String>)>, Vec<SecretFile>);

/// Reads an environment variable.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a configuration means.
pub struct Loaded {
    /// The models, consumers and sockets.
    pub resources: Resources,
    /// What its author should know, one sentence each.
    pub notes: Vec<String>,
    /// The Admin API, where the configuration asks for it.
    pub admin: Option<Admin>,
    /// Where objects come from, and how the process behaves.
    pub deployment: Deployment,
    /// Objects that files describe.
    pub objects: Vec<(ObjectKey, Map<String, Value>)>,
}

impl From<Lowered> for Loaded {
    fn from(lowered: Lowered) -> Self {
        Loaded {
            admin: lowered.resources.admin.clone(),
            resources: lowered.resources,
            notes: lowered.notes,
            deployment: Deployment::default(),
            objects: Vec::new(),
        }
    }
}

impl Source {
    /// Reads the files, whatever is in them.
    pub fn read(&self) -> Files {
        self.with_named(self.given().map(|path| (path.clone(), read(path))).collect())
    }

    /// Reads the files that were read before, to see whether they have changed. Which they are is told anew only if those that
    /// tell it have changed: a large file must not be parsed twice in a second for that.
    pub fn read_again(&self, before: &Files) -> Files {
        let again = |path: &PathBuf| (path.clone(), read_again(path, before));
        let mut files: Vec<_> = self.given().map(again).collect();
        match before.0.split_at_checked(files.len()) {
            Some((given, named)) if given == files => {
                files.extend(named.iter().map(|(path, _)| again(path)));
                with_secrets(files)
            }
            _ => self.with_named(files),
        }
    }

    /// The files of the command line.
    fn given(&self) -> impl Iterator<Item = &PathBuf> {
        self.config.iter().chain(&self.rbac)
    }

    /// A bootstrap file may name another file that holds the objects.
    fn with_named(&self, mut files: Vec<(PathBuf, Result<String, String>)>) -> Files {
        if let (None, Some(path), Some((_, Ok(text)))) = (&self.rbac, &self.config, files.first())
            && detect(text) == FileKind::Bootstrap
            && let Ok(bootstrap) = lower_bootstrap(&display(path), text, &env)
            && let ConfigProvider::File { path, .. } = bootstrap.deployment.provider
        {
            let path = PathBuf::from(path);
            let text = read(&path);
            files.push((path, text));
        }
        with_secrets(files)
    }

    /// Lowers the files' contents.
    ///
    /// # Errors
    /// All mistakes in the files.
    pub fn lower(&self, files: &Files) -> Result<Loaded, Failure> {
        let config = match &self.config {
            None => None,
            Some(path) => Some((display(path), files.text(path)?)),
        };
        let config = config.as_ref().map(|(name, text)| (name.as_str(), *text));
        let mut loaded = self.lower_kind(files, config)?;
        loaded.notes.extend(files.1.iter().filter_map(SecretFile::note));
        Ok(loaded)
    }

    fn lower_kind(&self, files: &Files, config: Option<(&str, &str)>) -> Result<Loaded, Failure> {
        if let (None, Some((name, text))) = (&self.rbac, config) {
            match detect(text) {
                FileKind::Bootstrap => return bootstrap(name, text, files),
                FileKind::Standalone => return standalone(name, text),
                FileKind::Adc => return adc(name, text),
                FileKind::Kubernetes => return kubernetes(name, text),
                FileKind::Native | FileKind::Unknown => {}
            }
        }
        self.native(files, config)
    }

    /// Whether it is our own format, or the NGINX demo's.
    pub fn is_native(&self, files: &Files) -> bool {
        let text = self.config.as_ref().and_then(|path| files.text(path).ok());
        self.rbac.is_some()
            || text.is_none_or(|text| matches!(detect(text), FileKind::Native | FileKind::Unknown))
    }

    fn native(&self, files: &Files, config: Option<(&str, &str)>) -> Result<Loaded, Failure> {
        let lowered = match &self.rbac {
            Some(path) => {
                let text = files.text(path)?;
                tollgate_resources::lower_rbac(&display(path), text, config, &lookup)
            }
            None => match config {
                Some((name, text)) => tollgate_resources::lower_native(name, text, &lookup),
                None => tollgate_resources::lower_native(
                    "built-in configuration",
                    tollgate_resources::QUICKSTART,
                    &lookup,
                ),
            },
        };
        let mut mistakes = Vec::new();
        if let Some((name, text)) = config {
            mistakes.extend(log_format_mistake(name, text));
        }
        match lowered {
            Ok(lowered) if mistakes.is_empty() => Ok(lowered.into()),
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
    pub fn load(&self) -> Result<Loaded, Failure> {
        self.lower(&self.read())
    }
}

/// APISIX's bootstrap file, with the standalone file it may name.
fn bootstrap(name: &str, text: &str, files: &Files) -> Result<Loaded, Failure> {
    let bootstrap = lower_bootstrap(name, text, &env).map_err(Failure::all)?;
    if let LogFormat::Template(template) = &bootstrap.server.access_log.format
        && let Err(error) = Format::parse(template)
    {
        return Err(Failure::all([Mistake {
            file: name.to_owned(),
            line: log_format_line(text),
            path: "nginx_config.http.access_log_format".to_owned(),
            text: error.to_string(),
        }]));
    }
    let mut loaded = Loaded {
        resources: Resources {
            server: bootstrap.server,
            logging: bootstrap.own.logging,
            traces: bootstrap.own.traces,
            usage: bootstrap.own.usage,
            prices: bootstrap.own.prices,
            governance: bootstrap.own.governance,
            metrics: bootstrap.deployment.metrics.clone(),
            ..Resources::default()
        },
        notes: bootstrap.notes,
        admin: bootstrap.admin,
        deployment: bootstrap.deployment,
        objects: Vec::new(),
    };
    if let ConfigProvider::File { path, format } = &loaded.deployment.provider {
        let text = files.text(Path::new(path))?;
        let standalone = lower_standalone(path, text, *format, &env).map_err(Failure::all)?;
        loaded.objects = standalone.objects;
        loaded.notes.extend(standalone.notes);
    }
    Ok(loaded)
}

/// APISIX's standalone file by itself: its objects on APISIX's port, without an Admin API.
fn standalone(name: &str, text: &str) -> Result<Loaded, Failure> {
    let format = if name.ends_with(".json") {
        StandaloneFormat::Json
    } else {
        StandaloneFormat::Yaml
    };
    let standalone = lower_standalone(name, text, format, &env).map_err(Failure::all)?;
    let mut loaded = without_file()?;
    loaded.objects = standalone.objects;
    loaded.notes.extend(standalone.notes);
    Ok(loaded)
}

/// ADC's file by itself.
fn adc(name: &str, text: &str) -> Result<Loaded, Failure> {
    let document = lower_adc(name, text, &env).map_err(Failure::all)?;
    let mut loaded = without_file()?;
    loaded.notes.extend(document.notes().iter().cloned());
    loaded.objects = document.objects(&Labels::default());
    Ok(loaded)
}

/// Manifests for Kubernetes by themselves.
fn kubernetes(name: &str, text: &str) -> Result<Loaded, Failure> {
    let manifests = lower_manifests(name, text).map_err(Failure::all)?;
    let mut loaded = without_file()?;
    loaded.notes.extend(manifests.notes);
    loaded.objects = manifests.objects;
    Ok(loaded)
}

/// APISIX's defaults for the process.
fn without_file() -> Result<Loaded, Failure> {
    let bootstrap = lower_bootstrap("built-in configuration", "", &env).map_err(Failure::all)?;
    Ok(Loaded {
        resources: Resources {
            server: bootstrap.server,
            metrics: bootstrap.deployment.metrics.clone(),
            ..Resources::default()
        },
        notes: Vec::new(),
        admin: None,
        deployment: bootstrap.deployment,
        objects: Vec::new(),
    })
}

/// Adds what is known of the files that hold secrets of the configuration.
fn with_secrets(files: Vec<(PathBuf, Result<String, String>)>) -> Files {
    let texts = files.iter().filter_map(|(_, text)| text.as_deref().ok());
    let secrets = texts
        .flat_map(SecretRef::files_in)
        .map(SecretFile::look)
        .collect();
    Files(files, secrets)
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

/// Largest file that is read. Every front end refuses smaller ones in words of its own; this bounds the memory for that.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut text = String::new();
    if length <= MAX_BYTES {
        // The length of a pipe is not known before.
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
    }
    if length.max(text.len() as u64) > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    Ok(text)
}

/// Reads a file that was read before. One that is no ordinary file, such as a pipe, is read once: it would be waited for.
fn read_again(path: &Path, before: &Files) -> Result<String, String> {
    let is_ordinary = match fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) => return Err(error.to_string()),
    };
    match before.0.iter().find(|(other, _)| other == path) {
        Some((_, text)) if !is_ordinary => text.clone(),
        _ => read(path),
    }
}

fn display(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_in_the_file_given_and_in_the_one_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let (config, objects) = (
            folder.path().join("config.yaml"),
            folder.path().join("apisix.yaml"),
        );
        let bootstrap = "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}\n";
        fs::write(&config, bootstrap).unwrap();
        fs::write(&objects, "routes: []\n#END\n").unwrap();
        let source = Source {
            config: Some(config.clone()),
            rbac: None,
        };
        let mut before = source.read();
        assert_eq!(before.0.len(), 2);
        let mut changes = |expected: bool| {
            let now = source.read_again(&before);
            assert_eq!(now != before, expected);
            assert!(now == source.read());
            before = now;
        };
        changes(false);
        fs::write(&objects, "routes: [{id: a, uri: /a}]\n#END\n").unwrap();
        changes(true);
        changes(false);
        fs::remove_file(&objects).unwrap();
        changes(true);
        fs::write(&config, "deployment: {role: traditional}\n").unwrap();
        changes(true);
        fs::write(&config, bootstrap).unwrap();
        changes(true);
        assert_eq!(before.0.len(), 2);
    }

    #[test]
    fn a_file_that_is_the_same_is_not_asked_again_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        fs::write(&config, "server: {}\n").unwrap();
        let source = Source {
            config: Some(config.clone()),
            rbac: None,
        };
        let mut before = source.read();
        before.0.push((folder.path().join("named"), Ok(String::new())));
        assert_eq!(source.read_again(&before).0.len(), 2);
        fs::write(&config, "server: {} # changed\n").unwrap();
        assert_eq!(source.read_again(&before).0.len(), 1);
    }
}
