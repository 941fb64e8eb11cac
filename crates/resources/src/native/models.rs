//! `models`: what clients may ask for.

use super::Env;
use super::file::{File, InstanceEntry, ModelEntry, TimeoutsEntry};
use super::providers::{MissingKey, Providers, Use};
use super::units::Duration;
use crate::check;
use crate::glob::Glob;
use crate::json::Json;
use crate::model::{Compat, FallbackOn, Instance, Model, Timeouts};
use crate::named::Named;
use crate::report::{Report, quote, unknown};
use crate::tree::Path;

/// Members of a request body that no option may set, with the reason.
const FORBIDDEN_OPTIONS: [(&str, &str); 5] = [
    ("model", "use `model` beside `options` instead"),
    ("stream", "the client decides whether it wants a stream"),
    ("messages", "they are the client's"),
    ("contents", "they are the client's"),
    ("input", "it is the client's"),
];

/// The models of a file.
pub(super) struct Models {
    /// Those that can be served.
    pub(super) on: Named<Model>,
    /// All names that were written, also of models that are off or mistaken.
    pub(super) written: Vec<String>,
}

impl Models {
    /// Tells whether a model of this name was written, or a pattern that matches it.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.written
            .iter()
            .any(|written| Glob::new(written.as_str()).matches(name))
    }

    /// Tells whether somebody would serve a model of this name.
    pub(super) fn serves(&self, name: &str) -> bool {
        self.on.names().any(|on| Glob::new(on).matches(name))
    }

    /// Checks a list of fallbacks of the model `of` and gives those that can be served.
    pub(super) fn check_fallback(
        &self,
        fallback: &[String],
        of: &str,
        list: &Path,
        report: &mut Report,
    ) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for (position, name) in fallback.iter().enumerate() {
            let path = report.item(list, position);
            if let Err(text) = check::no_glob(name) {
                report.mistake(&path, text);
            } else if name == of {
                report.mistake(&path, format!("`{}` cannot be its own fallback", quote(name)));
            } else if !self.knows(name) {
                report.mistake(
                    &path,
                    unknown("model", name, self.written.iter().map(String::as_str)),
                );
            } else if fallback.iter().take(position).any(|earlier| earlier == name) {
                report.mistake(&path, format!("`{}` is in the list twice", quote(name)));
            } else if self.serves(name) {
                kept.push(name.clone());
            }
        }
        kept
    }
}

/// Lowers `models`.
pub(super) fn lower(
    file: &File,
    compat: Compat,
    providers: &mut Providers,
    report: &mut Report,
    env: Env<'_>,
) -> Models {
    let written: Vec<String> = report
        .tree
        .get("models")
        .into_iter()
        .flat_map(|node| node.keys())
        .map(str::to_owned)
        .collect();
    let faulty = report.tree.get("models").is_some() && report.without_faults.get("models").is_none();
    if written.is_empty() && !faulty {
        report.mistake(
            &Path::of(["models"]),
            "no models; name at least one, such as `gpt-5: {provider: openai}`",
        );
    }

    let mut models = Models {
        on: Named::new(),
        written,
    };
    for (name, entry) in file.models.iter() {
        let path = Path::of(["models", name]);
        let mut lowering = Lowering {
            name,
            path: &path,
            providers,
            report,
            env,
        };
        let instances = lowering.instances(entry);
        let model = Model {
            instances,
            fallback: Vec::new(),
            fallback_on: lowering.fallback_on(entry, compat),
            timeouts: lower_timeouts(&entry.timeouts),
            on_loss: entry.on_loss,
            max_output_tokens: entry.max_output_tokens,
        };
        if let Err(text) = check::name(name) {
            report.mistake(&path, text);
        }
        if entry.max_output_tokens == Some(0) {
            report.mistake(&path.key("max_output_tokens"), "must be at least 1");
        }
        if !model.instances.is_empty() {
            models.on.insert(name, model);
        }
    }

    // Fallbacks may name models further down, so they are looked at when all are known.
    for (name, entry) in file.models.iter() {
        let list = Path::of(["models", name, "fallback"]);
        let fallback = models.check_fallback(&entry.fallback, name, &list, report);
        if let Some(model) = models.on.get_mut(name) {
            model.fallback = fallback;
        }
    }
    models
}

/// One model on its way down.
struct Lowering<'a> {
    name: &'a str,
    path: &'a Path,
    providers: &'a mut Providers,
    report: &'a mut Report,
    env: Env<'a>,
}

impl Lowering<'_> {
    /// The instances that can be served; none when the model is off or mistaken.
    fn instances(&mut self, entry: &ModelEntry) -> Vec<Instance> {
        self.check_options(&self.path.key("options"), &entry.options);
        let Some(entries) = &entry.instances else {
            let Some(provider) = &entry.provider else {
                // One of them may be there and not fit its type, which has been reported.
                let written = |key| self.report.tree.at(&self.path.key(key)).is_some();
                if !written("provider") && !written("instances") {
                    self.report
                        .mistake(self.path, "needs `provider`, or `instances` for several");
                }
                return Vec::new();
            };
            self.check_upstream_name(&self.path.key("model"), entry.model.as_deref());
            let single = InstanceEntry {
                name: None,
                provider: provider.clone(),
                model: entry.model.clone(),
                weight: None,
                options: Named::new(),
            };
            let path = self.path.key("provider");
            return self
                .instance(&single, provider.clone(), &path, self.name, &entry.options)
                .into_iter()
                .collect();
        };
        self.several(entry, entries)
    }

    fn several(&mut self, entry: &ModelEntry, entries: &[InstanceEntry]) -> Vec<Instance> {
        for (key, given) in [
            ("provider", entry.provider.is_some()),
            ("model", entry.model.is_some()),
        ] {
            if given {
                let text = format!("`{key}` stands beside `instances`; write it at each instance");
                self.report.mistake(&self.path.key(key), text);
            }
        }
        let list = self.path.key("instances");
        let written = self.report.tree.at(&list).map_or(0, |node| node.items().len());
        if written == 0 {
            self.report
                .mistake(&list, "the list is empty; name at least one instance");
        } else if written == entries.len() && entries.iter().all(|entry| entry.weight == Some(0)) {
            self.report
                .mistake(&list, "all weights are 0; at least one must be more");
        }
        let mut names: Vec<String> = Vec::new();
        let mut instances = Vec::new();
        for (position, single) in entries.iter().enumerate() {
            let path = self.report.item(&list, position);
            let name = match &single.name {
                Some(name) => {
                    if let Err(text) = check::name(name) {
                        self.report.mistake(&path.key("name"), text);
                    } else if names.contains(name) {
                        self.report.mistake(
                            &path.key("name"),
                            format!("two instances are named `{}`", quote(name)),
                        );
                    }
                    name.clone()
                }
                None => free_name(&single.provider, &names, entries),
            };
            names.push(name.clone());
            self.check_upstream_name(&path.key("model"), single.model.as_deref());
            self.check_options(&path.key("options"), &single.options);
            let label = format!("{}, instance {name}", self.name);
            instances.extend(self.instance(single, name, &path.key("provider"), &label, &entry.options));
        }
        instances
    }

    fn instance(
        &mut self,
        entry: &InstanceEntry,
        name: String,
        path: &Path,
        label: &str,
        model_options: &Named<Json>,
    ) -> Option<Instance> {
        let connection =
            match self
                .providers
                .connect(&entry.provider, path, MissingKey::Refuse, self.report, self.env)
            {
                Use::On(connection) => connection,
                Use::Off { variable } => {
                    self.report.note(format!("{label}: off until {variable} is set"));
                    return None;
                }
                Use::Mistaken => return None,
            };
        let mut options = model_options.clone();
        for (member, value) in entry.options.iter() {
            options.insert(member, value.clone());
        }
        Some(Instance {
            model: entry.model.clone(),
            options,
            weight: entry.weight.unwrap_or(1),
            ..connection.instance(name)
        })
    }

    fn fallback_on(&mut self, entry: &ModelEntry, compat: Compat) -> FallbackOn {
        let Some(statuses) = &entry.fallback_on else {
            return match compat {
                Compat::None => FallbackOn::default(),
                Compat::NginxDemo => FallbackOn::EveryStatusBut200,
            };
        };
        let list = self.path.key("fallback_on");
        for (position, status) in statuses.iter().enumerate() {
            if !(300..=599).contains(status) {
                let path = self.report.item(&list, position);
                self.report.mistake(
                    &path,
                    format!("{status} is no status of a failure (allowed: 300 to 599)"),
                );
            }
        }
        FallbackOn::Statuses(statuses.clone())
    }

    fn check_upstream_name(&mut self, path: &Path, name: Option<&str>) {
        let Some(name) = name else { return };
        if let Err(text) = check::name(name).and_then(|()| check::no_glob(name)) {
            self.report.mistake(path, text);
        }
    }

    fn check_options(&mut self, path: &Path, options: &Named<Json>) {
        for (member, reason) in FORBIDDEN_OPTIONS {
            if options.contains(member) {
                self.report.mistake(
                    &path.key(member),
                    format!("`{member}` cannot be an option: {reason}"),
                );
            }
        }
    }
}

/// A name for an instance that has none: its provider's, with a number when that is taken.
fn free_name(provider: &str, taken: &[String], entries: &[InstanceEntry]) -> String {
    let free = |name: &str| {
        !taken.iter().any(|taken| taken == name)
            && !entries.iter().any(|entry| entry.name.as_deref() == Some(name))
    };
    let numbered = (2..).map(|number: u32| format!("{provider}-{number}"));
    std::iter::once(provider.to_owned())
        .chain(numbered)
        .find(|name| free(name))
        .unwrap_or_default()
}

fn lower_timeouts(entry: &TimeoutsEntry) -> Timeouts {
    let milliseconds = |duration: Option<Duration>, default: u64| duration.map_or(default, Duration::value);
    Timeouts {
        connect_ms: milliseconds(entry.connect, Timeouts::DEFAULT_CONNECT_MS),
        first_byte_ms: milliseconds(entry.first_byte, Timeouts::DEFAULT_FIRST_BYTE_MS),
        between_chunks_ms: milliseconds(entry.between_chunks, Timeouts::DEFAULT_BETWEEN_CHUNKS_MS),
        total_ms: milliseconds(entry.total, Timeouts::DEFAULT_TOTAL_MS),
    }
}
