//! The command line, and how a command's failure is told.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::keys::KeysArguments;

/// An AI gateway: any client dialect in, any LLM provider out.
#[derive(Parser)]
#[command(
    name = "tollgate",
    version,
    about = "An AI gateway: any client dialect in, any LLM provider out.",
    after_help = "Begin here:\n  tollgate run                      a gateway on 127.0.0.1:8080 with a simulated model, no key needed\n  tollgate run --config tollgate.yaml\n  tollgate try --model simulated \"Hello\"\n\n`tollgate <command> --help` shows examples of each command."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Start the gateway
    #[command(
        after_help = "Examples:\n  tollgate run\n      Built-in configuration: simulated models next to OpenAI's and Anthropic's, which\n      light up when OPENAI_API_KEY and ANTHROPIC_API_KEY are set. With the dashboard on\n      127.0.0.1:9180; its key is in data/admin.key.\n\n  tollgate run --config tollgate.yaml\n      Your own configuration. It is watched: a change takes effect at once, a bad change is\n      refused with its reasons and the old one keeps serving. SIGHUP reloads too.\n\n  tollgate run --rbac rbac.json\n      The NGINX AI-proxy demo's own file, on its port 4242.\n\n  tollgate run --config conf/config.yaml\n      APISIX's own file: calls on 9080, the Admin API on 9180. So are apisix.yaml, adc.yaml and\n      Kubernetes manifests.\n\n  tollgate run --admin 127.0.0.1:9180 --data-dir data\n      The Admin API and the dashboard beside any configuration; the key is made up and told at the\n      first start.\n\nSignals: SIGTERM and SIGINT stop accepting and let open answers finish (server.drain), a second\none stops at once. SIGHUP reloads the configuration, SIGUSR1 reopens the access log,\nSIGUSR2 exchanges the binary (see `tollgate upgrade --help`).\nOwn messages go to standard error; RUST_LOG=debug shows more of them."
    )]
    Run(RunArguments),
    /// Check a configuration and print every mistake at once
    #[command(
        after_help = "Examples:\n  tollgate check tollgate.yaml\n  tollgate check --rbac rbac.json --config providers.yaml\n\nPrints one line per mistake: file, line, field, what is wrong and what is allowed.\nExit status 0 if the configuration is good, 1 if not."
    )]
    Check(CheckArguments),
    /// Print the resources that a configuration lowers into, or the state of a server as adc.yaml
    #[command(
        after_help = "Examples:\n  tollgate dump --config tollgate.yaml\n  tollgate dump --config tollgate.yaml --format json\n      Secrets are shown as the references they were written as ($env://NAME), others as ***.\n\n  tollgate dump --server http://127.0.0.1:9180 --token '$env://ADMIN_KEY' -o adc.yaml\n      What a server has, as a file for `tollgate sync`. It holds the secrets that the server tells."
    )]
    Dump(DumpArguments),
    /// Make a server's configuration what ADC files say
    #[command(
        after_help = "Examples:\n  tollgate sync -f adc.yaml\n  tollgate sync -f adc.yaml --dry-run\n  tollgate sync -f services.yaml -f consumers.yaml --server https://gateway.example:9180 --token '$env://ADMIN_KEY'\n  tollgate sync -f adc.yaml --label-selector team=search\n\nPrints what it changes. What the server has and the files do not is removed; a label selector keeps to\nobjects with that label. A second run has nothing to do. One failure does not stop the others; exit\nstatus 1 if there was any."
    )]
    Sync(SyncArguments),
    /// Show what `sync` would change
    #[command(
        after_help = "Examples:\n  tollgate diff -f adc.yaml\n  tollgate diff -f adc.yaml --server http://127.0.0.1:9180 --include-resource-type consumer\n\nNothing is changed. Values that may be secrets are shown as ***."
    )]
    Diff(FilesArguments),
    /// Say what a configuration would change: models, routes, instances, consumers
    #[command(
        after_help = "Examples:\n  tollgate plan -f adc.yaml --server http://127.0.0.1:9180 --token '$env://ADMIN_KEY'\n      What `sync` would change, checked by the server: mistakes, differences, which routes and instances.\n\n  tollgate plan --config apisix.yaml --server http://127.0.0.1:9180 --token '$env://ADMIN_KEY'\n      The same for a standalone file, as the whole configuration.\n\n  tollgate plan --config tollgate.yaml --against old.yaml\n      What differs between two files; no server is needed.\n\nNothing is changed. Secrets are shown as ***. Exit status 1 if there are mistakes."
    )]
    Plan(PlanArguments),
    /// Show who has changed what through the Admin API, or verify that record
    #[command(
        after_help = "Examples:\n  tollgate audit --server http://127.0.0.1:9180 --token '$env://ADMIN_KEY' --since 24h\n  tollgate audit --object routes/1\n  tollgate audit --since 30d --csv > audit.csv\n\n  tollgate audit --verify\n      Whether an entry was changed, removed or put elsewhere. Tells the number and the hash of the last entry.\n\n  tollgate audit --verify --head 17:3f0c…\n      Also whether that entry, noted earlier and kept elsewhere, is still the same.\n\nExit status 1 if the record is broken."
    )]
    Audit(AuditArguments),
    /// Let a server check ADC files without changing anything
    #[command(
        after_help = "Examples:\n  tollgate validate -f adc.yaml\n\nPrints one line per mistake: file, line, field and what is wrong."
    )]
    Validate(FilesArguments),
    /// Turn another tool's configuration into adc.yaml or apisix.yaml
    Convert(ConvertArguments),
    /// Say what would become of a call, without sending it: route, consumer, limits, instance, request, losses
    #[command(
        after_help = "Examples:\n  tollgate explain --model gpt-5 --key '$env://MY_KEY' \"Hello\" --config tollgate.yaml\n      By a configuration; no gateway needs to run.\n\n  tollgate explain --path /v1/messages -H 'x-api-key: sk-...' -d @request.json --server http://127.0.0.1:9180\n      By a running gateway, through its Admin API: limits as near as they are now, instances as well as they are.\n\nNothing is sent, counted or logged, and secrets are shown as ***. With --json everything is printed, such as\nthe answers of plugins and all instances."
    )]
    Explain(Box<ExplainArguments>),
    /// Make, list, replace and switch off virtual keys of a running gateway
    #[command(
        after_help = "Examples:\n  tollgate keys create --consumer alice --name laptop\n      Prints the secret, which is shown this once; send it as `Authorization: Bearer tg-...`.\n\n  tollgate keys create --team search --model 'gpt-*' --budget 50 --per month --expires-at 2027-12-31T00:00:00Z\n  tollgate keys list --team search --state active\n  tollgate keys rotate key-7 --grace 24h\n      A new secret; the old one works for another day.\n\n  tollgate keys disable key-7\n  tollgate keys list --server https://gateway.example:9180 --token '$env://ADMIN_KEY'\n\nTeams, budgets and limits: docs/governance.md."
    )]
    Keys(KeysArguments),
    /// Make one streamed call to a running gateway
    #[command(
        after_help = "Examples:\n  tollgate try --model simulated \"Hello\"\n  tollgate try --url https://gateway.example --key $env://MY_KEY --model gpt-5 \"Why is the sky blue?\"\n\nPrints the answer as it comes, then instance, tokens, cost and latency."
    )]
    Try(TrialArguments),
    /// Serve the simulated provider as an upstream of its own
    #[command(
        after_help = "Examples:\n  tollgate simulate --listen 127.0.0.1:4300\n  tollgate simulate --listen 127.0.0.1:4301 --behave \"latency_ms=200&chunk_ms=20&fail=503&fail_every=10\"\n\nAnswers /v1/chat/completions, /v1/messages, /v1/messages/count_tokens and /v1/embeddings like the\nreal ones, without a model. A request may choose its own behaviour in its query string.\nThe key `bad` is refused as a wrong key."
    )]
    Simulate(SimulateArguments),
    /// Show what models cost and who says so; `prices build` makes a price pack
    #[command(
        after_help = "Examples:\n  tollgate prices --model gpt-5\n      What it costs at every provider, in US dollars per million tokens, and where that is from.\n\n  tollgate prices --config tollgate.yaml --provider bedrock\n      All of a provider's models, with your own prices over the list.\n\n  tollgate prices --file pack.json\n      Checks a pack, and shows it; every mistake is told with its place.\n\n  tollgate prices build --from litellm.json --from genai-prices.json -o pack.json\n      A pack for `prices: {file: pack.json}`. The lists' origins are read from meta.json beside them."
    )]
    Prices(PricesArguments),
    /// Show what calls have used and what they cost
    #[command(
        after_help = "Examples:\n  tollgate usage\n      The last seven days by consumer and model, from data/usage.db.\n\n  tollgate usage --by day --since 30d --consumer team-search\n  tollgate usage --by provider,model --since 2026-11-01 --until 2026-12-01 --csv > november.csv\n  tollgate usage --config tollgate.yaml\n      Wherever that configuration keeps it.\n\n  tollgate usage --server http://127.0.0.1:9180 --token '$env://ADMIN_KEY'\n      From a running gateway, through its Admin API.\n\n  tollgate usage --calls --since 1h --outcome timeout\n      Single calls, the newest first.\n\nGroups: hour, day, month, consumer, credential, route, service, provider, instance, model_asked, model, outcome, team.\nTimes: how long ago (30m, 24h, 7d, 4w), a day or a time; days and hours are UTC and count as a whole.\nCosts are exact. Calls without a known price are said to be so, and their cost is in no sum."
    )]
    Usage(Box<UsageArguments>),
    /// Compute costs of past calls anew, by the prices in force
    #[command(
        after_help = "Examples:\n  tollgate reprice --from 2026-11-01 --to 2026-12-01 --dry-run\n      Says what would change, and changes nothing.\n\n  tollgate reprice --from 7d --config tollgate.yaml\n      With the prices and the place of usage that the configuration names.\n\nCosts of calls and the sums they are part of change together. Only calls that are still kept can be\ncomputed anew (usage.keep_calls). It may run beside a gateway, and again when it was stopped."
    )]
    Reprice(RepriceArguments),
    /// Exchange the binary of a running gateway for the one on the disk, without refusing or cutting a call
    #[command(
        after_help = "Examples:\n  tollgate upgrade\n      The gateway whose process id is in data/tollgate.pid.\n\n  tollgate upgrade --pid-file /run/tollgate.pid\n  tollgate upgrade --pid 4711\n\nThe running process starts the file it was started from, as it is on the disk now, with the same\narguments, on the same sockets. When that one serves, the running one finishes its open calls and\nends. If it does not start - its configuration has mistakes, it ends, it is not ready in time\n(server.upgrade_timeout) -, the running one goes on serving, and this command says why.\nExit status 0 if the new process serves, 1 if the old one does. SIGUSR2 does the same; the log\nsays what came of it."
    )]
    Upgrade(UpgradeArguments),
    /// Print the JSON Schema of tollgate.yaml
    Schema,
}

/// Where a configuration comes from.
#[derive(Args, Clone)]
pub struct Source {
    /// Configuration file; without it a built-in one is used
    #[arg(long, short, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The NGINX AI-proxy demo's rbac.json; --config then only says how to reach the providers
    #[arg(long, value_name = "FILE")]
    pub rbac: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Args)]
pub struct CheckArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// The same as --config
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl CheckArguments {
    /// Where the configuration comes from, however it was said. A file that is named counts before that of the environment.
    ///
    /// # Errors
    /// Two files were named.
    pub fn source(&self) -> Result<Source, Failure> {
        let mut source = self.source.clone();
        let Some(file) = &self.file else {
            return Ok(source);
        };
        let environment = std::env::var_os("TOLLGATE_CONFIG").map(PathBuf::from);
        if let Some(config) = source
            .config
            .filter(|config| Some(config) != environment.as_ref())
        {
            return Err(Failure::new(format!(
                "two files to check: `{}` and `{}`; name one of them",
                config.display(),
                file.display()
            )));
        }
        source.config = Some(file.clone());
        Ok(source)
    }
}

/// Arguments of `run`.
#[derive(Args)]
pub struct RunArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// Address to listen on, instead of the configuration's `server.listen`; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,
    /// Serve the Admin API and the dashboard here too, such as 127.0.0.1:9180; a configuration file of APISIX says so by itself
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// Folder for what the gateway keeps: usage of calls, objects of the Admin API, conversations, their key, a generated admin key
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// File for the process id [default: tollgate.pid in the folder of --data-dir, if there is one]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_PID_FILE")]
    pub pid_file: Option<PathBuf>,
}

/// Arguments of `upgrade`.
#[derive(Args)]
pub struct UpgradeArguments {
    /// File with the process id of the running gateway
    #[arg(
        long,
        value_name = "FILE",
        env = "TOLLGATE_PID_FILE",
        default_value = "data/tollgate.pid"
    )]
    pub pid_file: PathBuf,
    /// Its process id
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
}

/// Arguments of `prices`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PricesArguments {
    /// What to do instead of showing prices.
    #[command(subcommand)]
    pub command: Option<PricesCommand>,
    /// Show this model only, with everything that is known of its price
    #[arg(long, short)]
    pub model: Option<String>,
    /// Show this provider only
    #[arg(long, short)]
    pub provider: Option<String>,
    /// Configuration file, for its own prices and its pack
    #[arg(long, short, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Price pack to show, instead of the one that is in force
    #[arg(long, short, value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
}

/// The commands below `prices`.
#[derive(Subcommand)]
pub enum PricesCommand {
    /// Make a price pack of published price lists
    Build(PricesBuildArguments),
}

/// Arguments of `prices build`.
#[derive(Args)]
pub struct PricesBuildArguments {
    /// Price list of LiteLLM, genai-prices or models.dev; may be given more than once, the first one counts before the others
    #[arg(long, value_name = "FILE", required = true)]
    pub from: Vec<PathBuf>,
    /// File to write the pack to
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// File to write the compact form to, which is built into the binary
    #[arg(long, value_name = "FILE")]
    pub compact: Option<PathBuf>,
    /// Name the models on whose price lists disagree
    #[arg(long, short)]
    pub verbose: bool,
}

/// Arguments of `dump`.
#[derive(Args)]
pub struct DumpArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// How to print a configuration
    #[arg(long, value_enum, default_value = "yaml")]
    pub format: DumpFormat,
    /// Print what the Admin API at this address has, as adc.yaml, instead of a configuration
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File to write to, readable by its owner only, instead of standard output
    #[arg(long, short, value_name = "FILE", requires = "server")]
    pub output: Option<PathBuf>,
    /// How to talk to the server.
    #[command(flatten)]
    pub access: Access,
    /// Which objects.
    #[command(flatten)]
    pub selection: Selection,
}

/// Arguments of `sync`.
#[derive(Args)]
pub struct SyncArguments {
    /// What to bring where.
    #[command(flatten)]
    pub files: FilesArguments,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `diff` and `validate`.
#[derive(Args)]
pub struct FilesArguments {
    /// ADC file, YAML or JSON; may be given more than once [default: adc.yaml]
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Address of the Admin API; ADC_SERVER is read too [default: http://127.0.0.1:9180]
    #[arg(long, value_name = "URL", env = "TOLLGATE_ADMIN_URL")]
    pub server: Option<String>,
    /// How to talk to the server.
    #[command(flatten)]
    pub access: Access,
    /// Which objects.
    #[command(flatten)]
    pub selection: Selection,
    /// Do not add the label managed-by=adc
    #[arg(long)]
    pub no_managed_by_label: bool,
}

/// Arguments of `plan`.
#[derive(Args)]
pub struct PlanArguments {
    /// ADC files and the server.
    #[command(flatten)]
    pub files: FilesArguments,
    /// A configuration file instead of ADC files: tollgate.yaml, apisix.yaml or Kubernetes manifests
    #[arg(long, short, value_name = "FILE", conflicts_with = "files")]
    pub config: Option<PathBuf>,
    /// Compare with this configuration file instead of a server
    #[arg(long, value_name = "FILE", requires = "config")]
    pub against: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `audit`.
#[derive(Args)]
pub struct AuditArguments {
    /// Address of the Admin API
    #[arg(
        long,
        value_name = "URL",
        env = "TOLLGATE_ADMIN_URL",
        default_value = "http://127.0.0.1:9180"
    )]
    pub server: String,
    /// How to talk to the server.
    #[command(flatten)]
    pub access: Access,
    /// Entries from this time on: how long ago (30m, 24h, 7d), or a time
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Entries before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// What this one has done
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Only this: create, update, delete, replace, rollback, expire, sign_in, sign_in_refused, sign_out …
    #[arg(long, value_name = "WORD")]
    pub action: Option<String>,
    /// What was done to this object, such as routes/1
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<String>,
    /// Most entries, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub limit: u64,
    /// Print entries as JSON, one in a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print entries as CSV
    #[arg(long)]
    pub csv: bool,
    /// Verify the log instead of printing it
    #[arg(long)]
    pub verify: bool,
    /// With --verify: number and hash of an entry that were noted earlier, as in 17:3f0c…
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    pub head: Option<String>,
}

/// How to talk to an Admin API.
#[derive(Args)]
pub struct Access {
    /// Key of the Admin API; `$env://NAME` reads it from a variable; ADC_TOKEN is read too
    #[arg(long, value_name = "KEY", env = "TOLLGATE_ADMIN_KEY", hide_env_values = true)]
    pub token: Option<String>,
    /// PEM file of the authorities to trust, for a server with a certificate of your own
    #[arg(long, value_name = "FILE")]
    pub ca_cert_file: Option<String>,
    /// Accept any certificate: anyone on the way may read the key
    #[arg(long)]
    pub tls_skip_verify: bool,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// Arguments of `convert`.
#[derive(Args)]
pub struct ConvertArguments {
    /// What to convert.
    #[command(subcommand)]
    pub from: ConvertFrom,
}

/// What can be converted.
#[derive(Subcommand)]
pub enum ConvertFrom {
    /// Manifests for APISIX's ingress controller: Gateway API, apisix.apache.org/v1alpha1 and v2
    #[command(
        after_help = "Examples:\n  tollgate convert kubernetes -f manifests.yaml -o adc.yaml\n  kubectl get httproutes,pluginconfigs,consumers,secrets -A -o yaml > all.yaml\n  tollgate convert kubernetes -f all.yaml --to apisix -o apisix.yaml\n\nNotes say what has no effect and what is not in the files. `tollgate run --config manifests.yaml`\nserves manifests without converting them."
    )]
    Kubernetes(ManifestArguments),
}

/// Arguments of `convert kubernetes`.
#[derive(Args)]
pub struct ManifestArguments {
    /// File of manifests, YAML or JSON
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub file: PathBuf,
    /// File to write to, readable by its owner only, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value = "adc")]
    pub to: ConvertTo,
}

/// What a conversion writes.
#[derive(Clone, Copy, ValueEnum)]
pub enum ConvertTo {
    /// ADC's adc.yaml, for `tollgate sync`.
    Adc,
    /// APISIX's apisix.yaml, for a standalone gateway.
    Apisix,
}

/// Which objects of a server are meant.
#[derive(Args)]
pub struct Selection {
    /// Only objects with this label; may be given more than once, all must fit
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, value_delimiter = ',')]
    pub label_selector: Vec<(String, String)>,
    /// Only these types, with what belongs to them: a service's routes, a consumer's credentials
    #[arg(
        long,
        value_name = "TYPE",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "exclude_resource_type"
    )]
    pub include_resource_type: Vec<ResourceType>,
    /// All but these types
    #[arg(long, value_name = "TYPE", value_enum, value_delimiter = ',')]
    pub exclude_resource_type: Vec<ResourceType>,
}

/// Types of objects, in ADC's words.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ResourceType {
    /// Services with their routes and upstreams.
    Service,
    /// Routes.
    Route,
    /// Stream routes.
    StreamRoute,
    /// Upstreams.
    Upstream,
    /// Certificates.
    Ssl,
    /// Consumers with their credentials.
    Consumer,
    /// Credentials.
    ConsumerCredential,
    /// Global rules.
    GlobalRule,
    /// Metadata of plugins.
    PluginMetadata,
    /// Known to ADC, and never in its files.
    PluginConfig,
    /// Known to ADC, and never sent.
    ConsumerGroup,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".to_owned()),
    }
}

/// How resources are printed.
#[derive(Clone, Copy, ValueEnum)]
pub enum DumpFormat {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Arguments of `usage`.
#[derive(Args)]
pub struct UsageArguments {
    /// Group by these, with commas between them [default: consumer,model]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub by: Vec<String>,
    /// From when on [default: 7d; 24h with --calls]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Which calls.
    #[command(flatten)]
    pub choice: UsageChoice,
    /// List single calls, the newest first
    #[arg(long, conflicts_with = "by")]
    pub calls: bool,
    /// Calls to list at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, requires = "calls")]
    pub limit: u32,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON, with --calls one line for each
    #[arg(long)]
    pub json: bool,
    /// Ask the Admin API at this address
    #[arg(long, value_name = "URL", conflicts_with_all = ["data_dir", "config"])]
    pub server: Option<String>,
    /// Read the file usage.db in this folder [default: data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Read where this configuration keeps it
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to talk to the server.
    #[command(flatten)]
    pub access: Access,
}

/// Which calls are meant.
#[derive(Args)]
pub struct UsageChoice {
    /// Only calls of this consumer
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Only calls with this credential, by its id
    #[arg(long, value_name = "ID")]
    pub credential: Option<String>,
    /// Only calls of this route
    #[arg(long, value_name = "ID")]
    pub route: Option<String>,
    /// Only calls of this service
    #[arg(long, value_name = "ID")]
    pub service: Option<String>,
    /// Only calls whose last attempt was at this provider
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Only calls whose last attempt was at this instance
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Only calls that this model has answered
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only calls whose client asked for this model
    #[arg(long, value_name = "NAME")]
    pub model_asked: Option<String>,
    /// Only calls that ended so, such as ok, refused, client_gone, timeout
    #[arg(long, value_name = "WORD")]
    pub outcome: Option<String>,
}

/// Arguments of `try`.
#[derive(Args)]
pub struct TrialArguments {
    /// What to say to the model
    pub prompt: String,
    /// Model to ask
    #[arg(long, short)]
    pub model: String,
    /// Address of the gateway
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "TOLLGATE_URL")]
    pub url: String,
    /// PEM file of the authorities to trust, for a gateway with a certificate of your own
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Your key for the gateway; `$env://NAME` reads it from a variable
    #[arg(long, env = "TOLLGATE_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// Arguments of `explain`.
#[derive(Args)]
pub struct ExplainArguments {
    /// What would be said to the model, instead of --data
    #[arg(conflicts_with = "data", requires = "model")]
    pub prompt: Option<String>,
    /// Model that would be asked, in OpenAI's dialect
    #[arg(long, short, conflicts_with = "data")]
    pub model: Option<String>,
    /// The client's key; `$env://NAME` reads it from a variable
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Path and query
    #[arg(long, value_name = "PATH", default_value = "/v1/chat/completions")]
    pub path: String,
    /// Method
    #[arg(long, short = 'X', default_value = "POST")]
    pub method: String,
    /// A header, such as `Host: api.example.com`; may be given more than once
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The body, or @FILE; @- reads standard input
    #[arg(long, short, value_name = "BODY")]
    pub data: Option<String>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub client: Option<IpAddr>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// Ask the Admin API at this address
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "rbac"])]
    pub server: Option<String>,
    /// How to talk to the server.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `simulate`.
#[derive(Args)]
pub struct SimulateArguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:4300")]
    pub listen: SocketAddr,
    /// Behaviour as a query string: latency_ms, chunk_ms, words, fail, fail_every
    #[arg(long, default_value = "", value_name = "QUERY")]
    pub behave: String,
}

/// Why a command failed: lines for the person who typed it.
pub struct Failure(Vec<String>);

impl Failure {
    /// One reason.
    pub fn new(reason: impl Display) -> Self {
        Failure(vec![reason.to_string()])
    }

    /// Several reasons.
    pub fn all(reasons: impl IntoIterator<Item = impl Display>) -> Self {
        Failure(reasons.into_iter().map(|reason| reason.to_string()).collect())
    }

    /// The reasons.
    pub fn reasons(&self) -> &[String] {
        &self.0
    }

    /// Writes the reasons to standard error.
    pub fn tell(&self) {
        let mut out = std::io::stderr().lock();
        for reason in &self.0 {
            // Standard error is gone: there is nobody to tell.
            let _ = writeln!(out, "tollgate: {reason}");
        }
    }
}

/// Arguments of `reprice`.
#[derive(Args)]
pub struct RepriceArguments {
    /// From when on: how long ago (7d), a day or a time
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Change the file usage.db in this folder [default: data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Configuration that says where usage is kept and what models cost
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
