//! Why the ledger cannot be used, and why a batch was not written.

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer program has written it.
    #[error(
        "{place} has version {found} of the usage ledger and this program knows version {known}: use a newer tollgate, or \
         another place (`usage.store`)"
    )]
    Newer {
        /// Which file or database.
        place: String,
        /// The version that is there.
        found: i64,
        /// The newest version that this program reads.
        known: i64,
    },
    /// The store said no.
    #[error("{place}: {reason}")]
    Store {
        /// Which file or database.
        place: String,
        /// What it said.
        reason: String,
    },
    /// There is no file to read.
    #[error("{0} is not there: no usage has been kept in it yet")]
    Missing(String),
    /// The address of the database cannot be read.
    #[error(
        "the address of the database cannot be read: {0}; write postgres://user:password@host:5432/database?sslmode=require"
    )]
    Address(String),
    /// The system gives no thread.
    #[error("the thread that writes cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why rows are not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The store cannot be reached, is full or busy: the same rows may be written later.
    #[error("{0}")]
    Later(String),
    /// A row among them cannot be written ever.
    #[error("{0}")]
    Never(String),
}

impl From<LedgerError> for WriteError {
    fn from(error: LedgerError) -> Self {
        WriteError::Later(error.to_string())
    }
}

/// Why it is not known what others have charged to budgets.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    /// The store cannot be reached, or does not answer. It may be asked again.
    #[error("{0}")]
    Failed(String),
    /// The ledger has ended.
    #[error("the usage ledger has ended")]
    Ended,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It was asked wrongly.
    #[error("{parameter}: {text}")]
    Asked {
        /// The parameter.
        parameter: String,
        /// What is wrong with it, and what is allowed.
        text: String,
    },
    /// The answer takes too long.
    #[error("the answer takes longer than {0} s; ask for a shorter time or fewer groups")]
    Slow(u64),
    /// Usage is not kept.
    #[error("usage is not kept here (`usage.store: off`)")]
    Off,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] LedgerError),
}

impl QueryError {
    pub(super) fn asked(parameter: &str, text: impl Into<String>) -> QueryError {
        QueryError::Asked {
            parameter: parameter.to_owned(),
            text: text.into(),
        }
    }
}
