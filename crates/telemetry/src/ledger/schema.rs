//! What is kept of a call, and of many calls together. Both kinds of store have exactly this.
//!
//! Everything here is a list: of the columns of a call, of what roll-ups are grouped by, and of what they add up. The
//! statements that make the tables, write them and read them are made from these lists, so that the stores cannot differ.

use std::fmt::Write as _;

/// Version of the tables that this program reads and writes.
pub const VERSION: i64 = 4;

/// Bytes of a text that roll-ups are grouped by; longer ones are cut. Ten of them fit into an index of PostgreSQL.
pub(super) const KEY_TEXT: usize = 200;

/// Different keys of roll-ups at most. Clients may be allowed to ask for any model: what is beyond is counted together.
pub(super) const MAX_KEYS: usize = 100_000;

/// What stands for the models of the keys beyond [`MAX_KEYS`].
pub(super) const OTHER: &str = "other";

/// The table of calls.
pub(super) const CALLS: &str = "tollgate_calls";
/// The table of what roll-ups are grouped by.
pub(super) const KEYS: &str = "tollgate_usage_keys";
/// The table of hourly roll-ups.
pub(super) const HOURS: &str = "tollgate_usage_hours";
/// The table of daily roll-ups.
pub(super) const DAYS: &str = "tollgate_usage_days";
/// The table of what calls have charged to budgets.
pub(super) const SPEND: &str = "tollgate_spend";
/// The table of when credentials were used last.
pub(super) const USED: &str = "tollgate_used";
/// The table that tells the version of the others, and how far calls are added up.
pub(super) const LEDGER: &str = "tollgate_ledger";

/// The column that is 1 for a call that was not added to any sum when it was written. See [`super::pending`].
pub(super) const DEFERRED: &str = "deferred";

/// The name in [`LEDGER`] of the time up to which calls are in the sums, in milliseconds since 1970.
pub(super) const SUMMED: &str = "summed_ms";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that must be there.
    Id,
    /// Text, or nothing.
    Text,
    /// Text that is JSON, or nothing.
    Json,
    /// A whole number that must be there.
    Count,
    /// A whole number, or nothing.
    Number,
}

macro_rules! columns {
    ($($variant:ident $kind:ident $name:literal $meaning:literal,)*) => {
        /// A column of the table of calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Column {
            $(#[doc = $meaning] $variant,)*
        }

        impl Column {
            /// All, in the order of the table.
            pub const ALL: &'static [Column] = &[$(Column::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Column::$variant => $name,)* }
            }

            /// What it holds.
            pub const fn kind(self) -> Kind {
                match self { $(Column::$variant => Kind::$kind,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Column::$variant => $meaning,)* }
            }
        }
    };
}

columns! {
    RequestId Id "request_id" "the call's unique id; no call is kept twice",
    Time Count "time_ms" "when the first byte of the call was read, in milliseconds since 1970 (UTC)",
    Operation Text "operation" "what was asked for: `chat`, `embeddings`, ...",
    RequestType Text "request_type" "`ai_chat`, `ai_stream` or `traditional_http`",
    Consumer Text "consumer" "who called",
    Credential Text "credential" "id of the credential that proved it, never the credential",
    EndUser Text "end_user" "who uses the application, by the client's word",
    Route Text "route" "id of the route",
    Service Text "service" "id of the route's service",
    ClientDialect Text "client_dialect" "the dialect of the client, such as `openai_chat`",
    ProviderDialect Text "provider_dialect" "the dialect spoken with the provider in the last attempt",
    ModelAsked Text "model_asked" "the model the client asked for",
    ModelServed Text "model_served" "the model that answered by its own word, else the one the provider was asked for; nothing if none was",
    Provider Text "provider" "the provider of the last attempt",
    Instance Text "instance" "the instance of the last attempt",
    InputTokens Count "input_tokens" "all input tokens, of all attempts, those of caches included",
    CachedTokens Count "cached_tokens" "of these, read from the provider's cache",
    CacheWrite5m Count "cache_write_5m_tokens" "of these, written to the provider's cache for its usual time",
    CacheWrite1h Count "cache_write_1h_tokens" "of these, written to the provider's cache for an hour",
    AudioInput Count "audio_input_tokens" "of these, audio",
    ImageInput Count "image_input_tokens" "of these, images",
    VideoInput Count "video_input_tokens" "of these, video",
    ToolInput Count "tool_input_tokens" "of these, brought in by tools of the provider",
    OutputTokens Count "output_tokens" "all output tokens, of all attempts, reasoning included",
    ReasoningTokens Count "reasoning_tokens" "of these, spent on reasoning",
    AudioOutput Count "audio_output_tokens" "of these, audio",
    ImageOutput Count "image_output_tokens" "of these, images",
    UsageEstimated Number "usage_estimated" "1 if a part of the tokens is our estimate, 0 if the provider told all of them; nothing if none are known",
    Usage Json "usage" "the provider's usage object, verbatim, of the last attempt that told one",
    ServiceTier Text "service_tier" "the tier by the provider's word, such as `flex`",
    PricePack Text "price_pack" "version of the price pack the cost was computed with",
    CostMicroUsd Number "cost_micro_usd" "the cost of all attempts, in millionths of a US dollar; nothing if no price is known",
    CostState Text "cost_state" "`known`, `estimated`, `partly` (a part has no known price), `unknown`, `free`, or `nothing` where nothing was used",
    Latency Count "latency_ms" "from the first byte read to the last byte sent, in milliseconds",
    TimeToFirstToken Number "ttft_ms" "from the start of the last attempt to the first piece of its answer, in milliseconds",
    Status Count "status" "the status the client was given; 499 if it left before",
    ErrorCode Text "error_code" "the stable code of the error the client was told",
    Outcome Text "outcome" "`ok`, `client_gone`, `refused`, or how the last attempt failed",
    Attempts Json "attempts" "every attempt: instance, outcome, status, milliseconds, its own tokens and cost",
    Losses Text "losses" "what translation could not carry over",
    RequestBytes Count "request_bytes" "bytes of the request's body",
    ResponseBytes Count "response_bytes" "bytes of the answer's body that were sent",
    Team Text "team" "the team whose budgets count",
    Charges Json "charges" "what was charged to which budget: its name, the beginning of the period, the amount in millionths of a US dollar or in tokens",
}

/// How many columns there are.
pub(super) const COLUMNS: usize = Column::ALL.len();

/// What roll-ups are grouped by, beside the time.
pub const KEY_COLUMNS: [Column; 10] = [
    Column::Consumer,
    Column::Credential,
    Column::Route,
    Column::Service,
    Column::Provider,
    Column::Instance,
    Column::ModelAsked,
    Column::ModelServed,
    Column::Outcome,
    Column::Team,
];

macro_rules! measures {
    ($($variant:ident $name:literal $meaning:literal,)*) => {
        /// What roll-ups add up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Measure {
            $(#[doc = $meaning] $variant,)*
        }

        impl Measure {
            /// All, in the order of the tables.
            pub const ALL: &'static [Measure] = &[$(Measure::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Measure::$variant => $name,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Measure::$variant => $meaning,)* }
            }
        }
    };
}

measures! {
    Calls "calls" "calls",
    Failed "failed" "calls whose outcome is not `ok`",
    InputTokens "input_tokens" "as in a call",
    CachedTokens "cached_tokens" "as in a call",
    CacheWrite5m "cache_write_5m_tokens" "as in a call",
    CacheWrite1h "cache_write_1h_tokens" "as in a call",
    AudioInput "audio_input_tokens" "as in a call",
    ImageInput "image_input_tokens" "as in a call",
    VideoInput "video_input_tokens" "as in a call",
    ToolInput "tool_input_tokens" "as in a call",
    OutputTokens "output_tokens" "as in a call",
    ReasoningTokens "reasoning_tokens" "as in a call",
    AudioOutput "audio_output_tokens" "as in a call",
    ImageOutput "image_output_tokens" "as in a call",
    EstimatedCalls "estimated_calls" "calls whose tokens or cost are an estimate in part",
    CostMicroUsd "cost_micro_usd" "what is known of the cost, in millionths of a US dollar",
    UnpricedCalls "unpriced_calls" "calls whose cost is not known, or not all of it",
    Latency "latency_ms" "the sum of the milliseconds of all calls",
    TimedCalls "ttft_calls" "calls with a time to first token",
    TimeToFirstToken "ttft_ms" "the sum of these times",
    RequestBytes "request_bytes" "as in a call",
    ResponseBytes "response_bytes" "as in a call",
}

/// How many measures there are.
pub(super) const MEASURES: usize = Measure::ALL.len();

/// Which database a statement is for. They differ in a few words only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The statements that bring the tables from one version to the next: the first makes version 1, and so on.
    pub(super) fn migrations(self) -> Vec<String> {
        vec![
            self.first_version(),
            self.second_version(),
            third_version(),
            fourth_version(),
        ]
    }

    fn first_version(self) -> String {
        let mut sql = format!("CREATE TABLE {CALLS} (\n");
        let first = |column: &&Column| !matches!(column, Column::Team | Column::Charges);
        for column in Column::ALL.iter().filter(first) {
            let kind = match column.kind() {
                Kind::Id => "TEXT NOT NULL PRIMARY KEY",
                Kind::Text | Kind::Json => "TEXT",
                Kind::Count => "BIGINT NOT NULL",
                Kind::Number => "BIGINT",
            };
            let _ = writeln!(sql, "  {} {kind},", column.name());
        }
        sql.truncate(sql.trim_end_matches(['\n', ',']).len());
        let rowless = match self {
            Dialect::Sqlite => " WITHOUT ROWID",
            Dialect::Postgres => "",
        };
        let _ = write!(
            sql,
            ");\nCREATE INDEX {CALLS}_time ON {CALLS} (time_ms);\n\
             CREATE INDEX {CALLS}_consumer ON {CALLS} (consumer, time_ms);\n"
        );
        let id = match self {
            Dialect::Sqlite => "INTEGER PRIMARY KEY",
            Dialect::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        };
        let keys = joined(KEY_COLUMNS.iter().filter(first).map(|column| column.name()));
        let texts: String = KEY_COLUMNS
            .iter()
            .filter(first)
            .map(|column| format!("  {} TEXT NOT NULL,\n", column.name()))
            .collect();
        let _ = write!(
            sql,
            "CREATE TABLE {KEYS} (\n  id {id},\n{texts}  UNIQUE ({keys}));\n"
        );
        let numbers: String = Measure::ALL
            .iter()
            .map(|measure| format!("  {} BIGINT NOT NULL,\n", measure.name()))
            .collect();
        for table in [HOURS, DAYS] {
            let _ = write!(
                sql,
                "CREATE TABLE {table} (\n  start BIGINT NOT NULL,\n  key BIGINT NOT NULL REFERENCES {KEYS} (id),\n\
                 {numbers}  PRIMARY KEY (start, key)){rowless};\n"
            );
        }
        sql
    }
}

impl Dialect {
    /// Teams, and what is charged to budgets.
    fn second_version(self) -> String {
        let mut sql = format!(
            "ALTER TABLE {CALLS} ADD COLUMN team TEXT;\nALTER TABLE {CALLS} ADD COLUMN charges TEXT;\n"
        );
        let (keys, team) = (key_names(), Column::Team.name());
        let _ = match self {
            // A constraint cannot be taken away there: the table is made anew.
            Dialect::Sqlite => {
                let texts: String = KEY_COLUMNS
                    .iter()
                    .map(|column| format!("{} TEXT NOT NULL, ", column.name()))
                    .collect();
                let old = joined(
                    KEY_COLUMNS
                        .iter()
                        .filter(|column| **column != Column::Team)
                        .map(|column| column.name()),
                );
                write!(
                    sql,
                    "CREATE TABLE {KEYS}_new (id INTEGER PRIMARY KEY, {texts}UNIQUE ({keys}));\n\
                     INSERT INTO {KEYS}_new (id, {old}, {team}) SELECT id, {old}, '' FROM {KEYS};\n\
                     DROP TABLE {KEYS};\nALTER TABLE {KEYS}_new RENAME TO {KEYS};\n"
                )
            }
            Dialect::Postgres => write!(
                sql,
                "ALTER TABLE {KEYS} ADD COLUMN {team} TEXT NOT NULL DEFAULT '';\n\
                 DO $$ DECLARE old text; BEGIN SELECT conname INTO old FROM pg_constraint \
                 WHERE conrelid = '{KEYS}'::regclass AND contype = 'u'; \
                 EXECUTE format('ALTER TABLE {KEYS} DROP CONSTRAINT %I', old); END $$;\n\
                 ALTER TABLE {KEYS} ADD UNIQUE ({keys});\n"
            ),
        };
        let _ = write!(
            sql,
            "CREATE TABLE {SPEND} (\n  budget TEXT NOT NULL,\n  start BIGINT NOT NULL,\n  amount BIGINT NOT NULL,\n  \
             PRIMARY KEY (budget, start));\n"
        );
        sql
    }
}

/// When credentials were used last. What was before is known to the hour.
fn third_version() -> String {
    let credential = Column::Credential.name();
    format!(
        "CREATE TABLE {USED} (\n  credential TEXT NOT NULL PRIMARY KEY,\n  at_ms BIGINT NOT NULL);\n\
         INSERT INTO {USED} SELECT k.{credential}, MAX(u.start) * 1000 FROM {HOURS} u JOIN {KEYS} k ON k.id = u.key \
         WHERE k.{credential} <> '' GROUP BY k.{credential};\n"
    )
}

/// Calls are added up later than they are written. What an older program has written, or still writes beside this one, is in the sums
/// already and stays without the mark. An index whose places are far apart would be written to at as many places as there are
/// consumers; this one grows at its end.
fn fourth_version() -> String {
    format!(
        "ALTER TABLE {CALLS} ADD COLUMN {DEFERRED} BIGINT;\n\
         DROP INDEX {CALLS}_consumer;\nDROP INDEX {CALLS}_time;\n\
         CREATE INDEX {CALLS}_time ON {CALLS} (time_ms, consumer);\n\
         CREATE TABLE IF NOT EXISTS {LEDGER} (name TEXT PRIMARY KEY, value BIGINT NOT NULL);\n\
         INSERT INTO {LEDGER} SELECT '{SUMMED}', COALESCE(MAX(time_ms), 0) FROM {CALLS};\n"
    )
}

/// How far calls are added up, in milliseconds since 1970.
pub(super) fn summed() -> String {
    format!("SELECT value FROM {LEDGER} WHERE name = '{SUMMED}'")
}

/// The names of the columns of a call, with commas between them.
pub(super) fn column_names() -> String {
    joined(Column::ALL.iter().map(|column| column.name()))
}

/// The names of what roll-ups are grouped by, with commas between them.
pub(super) fn key_names() -> String {
    joined(KEY_COLUMNS.iter().map(|column| column.name()))
}

/// The names of what roll-ups add up, with commas between them.
pub(super) fn measure_names() -> String {
    joined(Measure::ALL.iter().map(|measure| measure.name()))
}

/// What is said when a roll-up is there already: add to it.
pub(super) fn add_to(table: &str) -> String {
    joined(Measure::ALL.iter().map(|measure| {
        let name = measure.name();
        format!("{name} = {table}.{name} + excluded.{name}")
    }))
}

/// Texts with commas between them.
pub(super) fn joined(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut all = String::new();
    for text in texts {
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(text.as_ref());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_column_with_its_meaning() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/usage.md");
        let manual = std::fs::read_to_string(path).unwrap();
        let rows: Vec<Vec<&str>> = manual
            .lines()
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let is_there = |name: &str, meaning: &str| {
            let name = format!("`{name}`");
            let row = rows.iter().filter(|row| row.get(1) == Some(&name.as_str()));
            row.into_iter().any(|row| row.contains(&meaning))
        };
        for column in Column::ALL {
            assert!(
                is_there(column.name(), column.meaning()),
                "{column:?} is not in the manual"
            );
        }
        for measure in Measure::ALL {
            assert!(
                is_there(measure.name(), measure.meaning()),
                "{measure:?} is not in the manual"
            );
        }
    }

    #[test]
    fn both_stores_have_the_same_columns() {
        let columns = |dialect: Dialect| {
            let sql = dialect.migrations().concat();
            let lines = sql.lines().filter_map(|line| line.strip_prefix("  "));
            let names = lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
            names.collect::<Vec<_>>()
        };
        assert_eq!(columns(Dialect::Sqlite), columns(Dialect::Postgres));
        assert_eq!(
            i64::try_from(Dialect::Sqlite.migrations().len()).unwrap(),
            VERSION
        );
    }
}
