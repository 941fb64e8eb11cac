//! `tollgate prices`: what models cost and who says so, and price packs made of published lists.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tollgate_resources::model::PriceSettings;
use tollgate_telemetry::prices::{
    Offer, PLACES_OF_FEES, PLACES_PER_MILLION, Pack, Price, Prices, Rates, Source as PriceSource, Terms,
    Tier, build, date_of, decimal,
};

use crate::cli::{Failure, PricesArguments, PricesBuildArguments, PricesCommand, Source};

/// Shows prices, or makes a pack.
///
/// # Errors
/// A file cannot be read or has mistakes, or a model has no price.
pub fn prices(arguments: &PricesArguments) -> Result<(), Failure> {
    match &arguments.command {
        Some(PricesCommand::Build(arguments)) => build_pack(arguments),
        None => show(arguments),
    }
}

/// The prices that a configuration means.
///
/// # Errors
/// The file of the pack cannot be read or has mistakes, or the configuration's own prices refer to models without one.
pub fn in_force(settings: &PriceSettings) -> Result<Arc<Prices>, Failure> {
    let terms = tollgate_gateway::price_terms(settings);
    if settings.file.is_none() && terms == Terms::default() {
        return Ok(Prices::built_in());
    }
    let prices = match &settings.file {
        Some(file) => Prices::new(read_pack(Path::new(file))?, &terms),
        None => Prices::over_built_in(&terms),
    };
    let prices = prices.map_err(|error| {
        Failure::all(
            error
                .0
                .into_iter()
                .map(|(path, problem)| format!("prices.{path}: {problem}")),
        )
    })?;
    Ok(Arc::new(prices))
}

fn read_pack(path: &Path) -> Result<Pack, Failure> {
    let text = fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Pack::from_json(&text).map_err(|error| {
        Failure::all(
            error
                .0
                .into_iter()
                .map(|mistake| format!("{}: {mistake}", path.display())),
        )
    })
}

fn show(arguments: &PricesArguments) -> Result<(), Failure> {
    let prices = match &arguments.file {
        Some(file) => {
            let prices = Prices::new(read_pack(file)?, &Terms::default()).map_err(Failure::new)?;
            Arc::new(prices)
        }
        None => {
            let source = Source {
                config: arguments.config.clone(),
                rbac: None,
            };
            in_force(&source.lower(&source.read())?.resources.prices)?
        }
    };
    let told = match &arguments.model {
        Some(model) => show_model(&prices, arguments.provider.as_deref(), model)?,
        None => show_list(&prices, arguments.provider.as_deref()),
    };
    // Whoever closed the pipe has seen enough.
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    Ok(())
}

fn show_list(prices: &Prices, provider: Option<&str>) -> String {
    let mut rows: Vec<(&str, &str, &Price)> = prices
        .all()
        .filter(|(of, _, _)| provider.is_none_or(|provider| provider == *of))
        .collect();
    rows.sort_unstable_by_key(|(provider, model, _)| (*provider, *model));
    let mut text = format!("prices {}, US dollars per million tokens\n", prices.version());
    for (name, source) in prices.sources() {
        text += &format!(
            "  {name}: {} ({}), retrieved {}\n",
            source.source, source.licence, source.retrieved
        );
    }
    for (provider, model, price) in rows {
        text += &format!(
            "{provider:<12} {model:<50} {}\n",
            rates(&price.offer.standard.rates)
        );
    }
    text
}

fn show_model(prices: &Prices, provider: Option<&str>, model: &str) -> Result<String, Failure> {
    let mut providers: Vec<&str> = match provider {
        Some(provider) => vec![provider],
        None => prices.all().map(|(provider, _, _)| provider).collect(),
    };
    providers.sort_unstable();
    providers.dedup();
    let mut text = String::new();
    for provider in providers {
        let Some(found) = prices.find(provider, model) else {
            continue;
        };
        text += &format!("{provider}/{model}  (says {})\n", found.price.source);
        if let Some(multiplier) = found.multiplier {
            text += &format!("  times {}\n", decimal::write(multiplier, PLACES_PER_MILLION));
        }
        offer(&mut text, "  ", &found.price.offer);
        for dated in &found.price.dated {
            let day = |day: Option<i32>| day.map_or("…".to_owned(), date_of);
            text += &format!("  from {} until {}:\n", day(dated.from), day(dated.until));
            offer(&mut text, "    ", &dated.offer);
        }
    }
    if text.is_empty() {
        let at = provider.map_or(String::new(), |provider| format!(" at {provider}"));
        return Err(Failure::new(format!(
            "`{model}`{at} has no price; write one under prices.models of the configuration"
        )));
    }
    Ok(format!(
        "{text}prices {}, US dollars per million tokens\n",
        prices.version()
    ))
}

fn offer(text: &mut String, indent: &str, offer: &Offer) {
    tier(text, indent, "", &offer.standard);
    for (service, of_service) in &offer.services {
        tier(text, indent, &format!("{}: ", service.name()), of_service);
    }
    if let Some(off_peak) = &offer.off_peak {
        *text += &format!("{indent}at certain hours: {}\n", rates(&off_peak.rates));
    }
    for (name, fee) in [("request", offer.per_request), ("search", offer.per_search)] {
        if let Some(fee) = fee {
            *text += &format!(
                "{indent}per {name}: {} dollars\n",
                decimal::write(fee, PLACES_OF_FEES)
            );
        }
    }
    if offer.is_incomplete {
        *text += &format!("{indent}and fees that are not known here\n");
    }
}

fn tier(text: &mut String, indent: &str, name: &str, tier: &Tier) {
    *text += &format!("{indent}{name}{}\n", rates(&tier.rates));
    for long in &tier.long {
        *text += &format!(
            "{indent}{name}above {} prompt tokens: {}\n",
            long.above,
            rates(&long.rates)
        );
    }
}

fn rates(rates: &Rates) -> String {
    let each: Vec<String> = rates
        .all()
        .map(|(kind, rate)| format!("{} {}", kind.name(), decimal::write(rate, PLACES_PER_MILLION)))
        .collect();
    each.join(", ")
}

fn build_pack(arguments: &PricesBuildArguments) -> Result<(), Failure> {
    let inputs = arguments
        .from
        .iter()
        .map(|path| {
            let text =
                fs::read(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            let (name, source) = origin(path)?;
            Ok(build::Input { name, source, text })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let built = build::build(&inputs).map_err(Failure::new)?;
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    };
    write(&arguments.output, built.pack.to_json().as_bytes())?;
    if let Some(compact) = &arguments.compact {
        write(compact, &built.pack.to_bytes())?;
    }
    let mut told = format!(
        "prices {}: {} models\n",
        built.pack.version,
        built.pack.model_count()
    );
    for (name, named, counting) in &built.taken {
        told += &format!("  {name}: {named} models with a price, {counting} of them from here\n");
    }
    told += &format!(
        "  {} models cost something else by a later list; the first one counts\n",
        built.disagreements.len()
    );
    if arguments.verbose {
        for (provider, model) in &built.disagreements {
            told += &format!("    {provider}/{model}\n");
        }
    }
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    Ok(())
}

/// The short name of a list and where it comes from, as `meta.json` beside it says.
fn origin(path: &Path) -> Result<(String, PriceSource), Failure> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_default();
    let meta = path.with_file_name("meta.json");
    let failure = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", meta.display()));
    let text = fs::read(&meta).map_err(|error| failure(&error))?;
    let meta: Value = serde_json::from_slice(&text).map_err(|error| failure(&error))?;
    let said = |member: &str| {
        let text = meta.pointer(&format!("/files/{}/{member}", file.replace('/', "~1")));
        text.and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| failure(&format!("`files.{file}.{member}` is missing")))
    };
    let (source, licence, retrieved) = (said("source")?, said("licence")?, said("retrieved")?);
    // `2026-11-20 (commit of 2026-08-21)`: the day comes first.
    let retrieved = retrieved.split(' ').next().unwrap_or_default();
    let name = file.strip_suffix(".json").unwrap_or(&file);
    Ok((
        name.to_owned(),
        PriceSource {
            source,
            licence,
            retrieved: retrieved.to_owned(),
        },
    ))
}
