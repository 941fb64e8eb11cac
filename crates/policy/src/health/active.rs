//! What checks tell about one address of an instance. Counts as APISIX does (lua-resty-healthcheck).

/// When checks, or calls, change the state of an address. A limit of 0 is never reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Statuses that are successes.
    pub good_statuses: Vec<u16>,
    /// Statuses that are failures. Others say nothing.
    pub bad_statuses: Vec<u16>,
    /// So many successes in a row make it well.
    pub successes: u32,
    /// So many bad statuses without a success between make it ill.
    pub http_failures: u32,
    /// So many failed connections without a success between make it ill.
    pub tcp_failures: u32,
    /// So many timeouts without a success between make it ill.
    pub timeouts: u32,
}

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The connection was made, where nothing more was wanted.
    Connected,
    /// There was an answer with this status.
    Status(u16),
    /// The connection failed, or broke.
    Broken,
    /// There was no answer in time.
    Late,
}

/// What was counted since the last change of direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Successes.
    pub successes: u32,
    /// Bad statuses.
    pub http_failures: u32,
    /// Failed connections.
    pub tcp_failures: u32,
    /// Timeouts.
    pub timeouts: u32,
}

/// What an address is, in APISIX's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Well.
    Healthy,
    /// Well, with failures that are not enough yet.
    MostlyHealthy,
    /// Ill, with successes that are not enough yet.
    MostlyUnhealthy,
    /// Ill.
    Unhealthy,
}

impl Standing {
    /// Its name in what is told.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Healthy => "healthy",
            Standing::MostlyHealthy => "mostly_healthy",
            Standing::MostlyUnhealthy => "mostly_unhealthy",
            Standing::Unhealthy => "unhealthy",
        }
    }
}

/// The health of one address, as checks tell it. A new one is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    healthy: bool,
    counters: Counters,
}

impl Default for Active {
    fn default() -> Self {
        Active {
            healthy: true,
            counters: Counters::default(),
        }
    }
}

impl Active {
    /// Takes what a check found. Gives whether the address is well now, if that has changed.
    pub fn tell(&mut self, found: Found, rules: &Rules) -> Option<bool> {
        let failures = match found {
            Found::Connected => return self.succeed(rules),
            Found::Status(status) if rules.good_statuses.contains(&status) => return self.succeed(rules),
            Found::Status(status) if rules.bad_statuses.contains(&status) => {
                (&mut self.counters.http_failures, rules.http_failures)
            }
            Found::Status(_) => return None,
            Found::Broken => (&mut self.counters.tcp_failures, rules.tcp_failures),
            Found::Late => (&mut self.counters.timeouts, rules.timeouts),
        };
        self.counters.successes = 0;
        let (count, limit) = failures;
        if !self.healthy {
            return None;
        }
        *count = count.saturating_add(1);
        (limit > 0 && *count >= limit).then(|| {
            self.healthy = false;
            false
        })
    }

    /// Whether it can take calls.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// What it is, in APISIX's words.
    pub fn standing(&self) -> Standing {
        let counters = self.counters;
        let failures = counters.http_failures + counters.tcp_failures + counters.timeouts;
        match (self.healthy, failures, counters.successes) {
            (true, 0, _) => Standing::Healthy,
            (true, ..) => Standing::MostlyHealthy,
            (false, _, 0) => Standing::Unhealthy,
            (false, ..) => Standing::MostlyUnhealthy,
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn succeed(&mut self, rules: &Rules) -> Option<bool> {
        let counters = &mut self.counters;
        let had_failures = counters.http_failures + counters.tcp_failures + counters.timeouts > 0;
        if self.healthy && !had_failures {
            return None;
        }
        *counters = Counters {
            successes: counters.successes.saturating_add(1),
            ..Counters::default()
        };
        if rules.successes == 0 || counters.successes < rules.successes {
            return None;
        }
        let changed = !self.healthy;
        *self = Active::default();
        changed.then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::{Active, Found, Rules, Standing};

    fn rules() -> Rules {
        Rules {
            good_statuses: vec![200, 302],
            bad_statuses: vec![429, 500],
            successes: 2,
            http_failures: 3,
            tcp_failures: 2,
            timeouts: 3,
        }
    }

    fn told(findings: &[Found]) -> (Active, Vec<bool>) {
        let mut active = Active::default();
        let changes = findings
            .iter()
            .filter_map(|found| active.tell(*found, &rules()))
            .collect();
        (active, changes)
    }

    #[test]
    fn as_many_failures_of_a_kind_as_its_limit_make_an_address_ill() {
        for (found, limit) in [(Found::Status(500), 3), (Found::Broken, 2), (Found::Late, 3)] {
            let (active, changes) = told(&vec![found; limit - 1]);
            assert!(active.is_healthy() && changes.is_empty(), "{found:?}");
            assert_eq!(active.standing(), Standing::MostlyHealthy);
            let (active, changes) = told(&vec![found; limit + 1]);
            assert!(!active.is_healthy(), "{found:?}");
            assert_eq!((active.standing(), changes), (Standing::Unhealthy, vec![false]));
        }
    }

    #[test]
    fn failures_of_different_kinds_do_not_add_up_and_a_success_between_clears_them() {
        let (active, _) = told(&[
            Found::Status(500),
            Found::Broken,
            Found::Late,
            Found::Status(429),
            Found::Late,
        ]);
        assert!(active.is_healthy());
        let (active, _) = told(&[Found::Broken, Found::Status(200), Found::Broken]);
        assert!(active.is_healthy());
    }

    #[test]
    fn an_address_is_well_again_after_successes_in_a_row() {
        let ill = [Found::Broken, Found::Broken];
        let (active, _) = told(&[&ill[..], &[Found::Connected]].concat());
        assert_eq!(active.standing(), Standing::MostlyUnhealthy);
        let (active, _) = told(&[&ill[..], &[Found::Status(200), Found::Late, Found::Status(302)]].concat());
        assert!(!active.is_healthy(), "they were not in a row");
        let (active, changes) = told(&[&ill[..], &[Found::Status(200), Found::Status(302)]].concat());
        assert_eq!(
            (active.standing(), changes),
            (Standing::Healthy, vec![false, true])
        );
    }

    #[test]
    fn a_limit_of_zero_is_never_reached() {
        let never = Rules {
            successes: 0,
            http_failures: 0,
            tcp_failures: 0,
            timeouts: 0,
            ..rules()
        };
        let mut active = Active::default();
        for found in [Found::Status(500), Found::Broken, Found::Late] {
            assert!((0..300).all(|_| active.tell(found, &never).is_none()));
        }
        let (mut ill, _) = told(&[Found::Broken, Found::Broken]);
        assert!((0..300).all(|_| ill.tell(Found::Status(200), &never).is_none()));
    }

    #[test]
    fn statuses_in_neither_list_say_nothing() {
        let (active, _) = told(&[Found::Broken, Found::Status(404), Found::Status(201)]);
        assert_eq!(active.counters().tcp_failures, 1);
        assert!(told(&[Found::Status(404); 100]).0.is_healthy());
    }

    fn finding() -> impl Strategy<Value = Found> {
        prop_oneof![
            Just(Found::Connected),
            Just(Found::Broken),
            Just(Found::Late),
            prop_oneof![Just(200u16), Just(500), Just(404), any::<u16>()].prop_map(Found::Status),
        ]
    }

    proptest! {
        #[test]
        fn the_state_changes_only_when_a_limit_is_reached(
            findings in proptest::collection::vec(finding(), 0..200),
        ) {
            let rules = rules();
            let mut active = Active::default();
            for found in findings {
                let before = active;
                let change = active.tell(found, &rules);
                assert_eq!(change.is_some(), before.is_healthy() != active.is_healthy());
                assert!(change.is_none_or(|now| now == active.is_healthy()));
                let counters = active.counters();
                if active.is_healthy() {
                    assert!(counters.http_failures < rules.http_failures);
                    assert!(counters.tcp_failures < rules.tcp_failures && counters.timeouts < rules.timeouts);
                } else {
                    assert!(counters.successes < rules.successes);
                }
            }
        }
    }
}
