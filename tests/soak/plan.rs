//! What each call of the soak does, decided by a seed before anything runs: the same seed, the same calls.

/// A small generator of numbers that look random (SplitMix64).
#[derive(Clone, Copy)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A dialect of clients or of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    Chat,
    Messages,
    Responses,
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Takes the whole answer.
    Stays,
    /// Shows a key that nobody has.
    WrongKey,
    /// Asks for a model that does not exist.
    UnknownModel,
    /// Leaves when the vendor has the request, before it says anything.
    LeavesBeforeTheAnswer,
    /// Leaves when it has seen some content of a stream.
    LeavesMidway,
}

/// What the vendor does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Answers.
    Answers,
    /// Answers, but does not tell what was used.
    IsSilentAboutUsage,
    /// Refuses with this status.
    Refuses(u16),
    /// Ends a stream in the middle.
    Cuts,
}

/// What an answer used, by the vendor's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub input: u64,
    pub cached: u64,
    pub written: u64,
    pub output: u64,
    pub reasoning: u64,
}

/// Which calls there are.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub mix: Mix,
}

/// What happens to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Everything that can happen, often.
    Everything,
    /// Calls that go well, but for one in a hundred: it meets a fault that no fallback can hide.
    OneFaultInAHundred,
}

impl Plan {
    /// The call of this number.
    pub fn call(self, number: usize) -> Call {
        let mut call = Call::new(self.seed, number);
        if self.mix == Mix::OneFaultInAHundred {
            call.client = Client::Stays;
            let does = match (number % 100, number / 100 % 3) {
                (57, 0) => Vendor::Refuses(500),
                (57, 1) => Vendor::Refuses(429),
                (57, _) => {
                    call.streams = true;
                    Vendor::Cuts
                }
                _ => Vendor::Answers,
            };
            (call.first, call.second) = (does, does);
        }
        call
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: usize,
    pub dialect: Dialect,
    /// The dialect of the model that is asked for; another one is its fallback.
    pub served: Dialect,
    pub streams: bool,
    pub client: Client,
    pub first: Vendor,
    pub second: Vendor,
    pub used: Used,
}

impl Call {
    /// A call in which anything can happen.
    fn new(seed: u64, number: usize) -> Call {
        let mut numbers = Numbers(seed ^ (number as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
        numbers.next();
        let dialect = match numbers.below(4) {
            0 | 1 => Dialect::Chat,
            2 => Dialect::Messages,
            _ => Dialect::Responses,
        };
        let served = match numbers.below(2) {
            0 => Dialect::Chat,
            _ => Dialect::Messages,
        };
        let streams = numbers.below(2) == 0;
        let client = match numbers.below(100) {
            0..3 => Client::WrongKey,
            3..5 => Client::UnknownModel,
            5..9 => Client::LeavesBeforeTheAnswer,
            9..20 if streams => Client::LeavesMidway,
            _ => Client::Stays,
        };
        let mut vendor = || match numbers.below(100) {
            0..6 => Vendor::Refuses(500),
            6..10 => Vendor::Refuses(429),
            10..12 => Vendor::Refuses(400),
            12..16 => Vendor::IsSilentAboutUsage,
            16..22 if streams => Vendor::Cuts,
            _ => Vendor::Answers,
        };
        let (mut first, second) = (vendor(), vendor());
        if matches!(client, Client::LeavesBeforeTheAnswer | Client::LeavesMidway) {
            first = Vendor::Answers;
        }
        let input = 1 + numbers.below(5_000);
        let cached = numbers.below(3) * numbers.below(1_000);
        let used = Used {
            input,
            cached,
            written: numbers.below(2) * numbers.below(700),
            output: 2 + numbers.below(900),
            reasoning: numbers.below(2),
        };
        Call {
            number,
            dialect,
            served,
            streams,
            client,
            first,
            second,
            used,
        }
    }

    /// Whether it can go well at all.
    pub fn is_faulty(&self) -> bool {
        self.first != Vendor::Answers
    }

    /// The words by which the vendor knows it.
    pub fn mark(&self) -> String {
        format!("call-{:07}.", self.number)
    }

    /// The number in the words of [`Call::mark`].
    pub fn number_in(body: &[u8]) -> Option<usize> {
        let at = body.windows(5).position(|words| words == b"call-")?;
        std::str::from_utf8(body.get(at + 5..at + 12)?).ok()?.parse().ok()
    }
}

impl Used {
    /// What a vendor that speaks this dialect can tell: OpenAI bills no writing to caches, Anthropic tells no reasoning.
    pub fn told_in(self, dialect: Dialect) -> Used {
        match dialect {
            Dialect::Messages => Used { reasoning: 0, ..self },
            _ => Used { written: 0, ..self },
        }
    }

    /// All input tokens.
    pub fn prompt(self) -> u64 {
        self.input + self.cached + self.written
    }
}
