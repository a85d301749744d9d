//! What an escrow account means to its owner: for how long the money lasts, and what comes then.

use welkin_client::ClientError;
use welkin_modules::accounts::types::Error as AccountsError;
use welkin_modules::escrow::types::{AccountState, AccountView, Error as EscrowError};
use welkin_modules::ids::DeploymentId;
use welkin_runtime::Time;

use crate::failure::Failure;
use crate::output::tokens;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Why a deployment was not created, with the flag that sets what goes into its account.
pub fn deposit_refused(error: ClientError) -> Failure {
    let help = match &error {
        ClientError::Refused { error, .. } if error.is(EscrowError::DepositTooSmall) => {
            "; give more with --deposit UWLK"
        }
        ClientError::Refused { error, .. } if error.is(AccountsError::InsufficientFunds) => {
            "; the account pays the deposit and the fee: give less with --deposit UWLK, or put \
             money into it"
        }
        _ => "",
    };
    let failure = Failure::from(error);
    Failure {
        message: format!("{failure}{help}"),
        ..failure
    }
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is paid for.
    Idle,
    /// It pays, and its money lasts so many nanoseconds more.
    Pays(u64),
    /// Its money is used up; it ends in so many nanoseconds.
    Exhausted(u64),
    /// Its grace is used up too.
    Closing,
    /// It is over.
    Closed,
}

impl Standing {
    /// How an account stands at this time.
    pub fn of(view: &AccountView, now: Time) -> Standing {
        let account = &view.account;
        match account.state {
            AccountState::Closed => Standing::Closed,
            _ if view.closing => Standing::Closing,
            AccountState::Exhausted => {
                Standing::Exhausted(account.closes_at.map_or(0, |ends| ends.nanos_since(now)))
            }
            AccountState::Open => account
                .due
                .map_or(Standing::Idle, |due| Standing::Pays(due.nanos_since(now))),
        }
    }

    /// In a word or two, for tables.
    pub fn short(self) -> String {
        match self {
            Standing::Idle => "-".to_owned(),
            Standing::Pays(nanos) => duration(nanos),
            Standing::Exhausted(nanos) => format!("used up, ends in {}", duration(nanos)),
            Standing::Closing => "used up, ends now".to_owned(),
            Standing::Closed => "over".to_owned(),
        }
    }

    /// What its owner should know when the money is used up.
    pub fn warning(self, deployment: DeploymentId) -> Option<String> {
        let remedy = format!("`welkin deployment deposit {deployment} UWLK` adds some");
        match self {
            Standing::Exhausted(nanos) => Some(format!(
                "the money of deployment {deployment} is used up: it ends in {}; {remedy}",
                duration(nanos)
            )),
            Standing::Closing => Some(format!(
                "the money of deployment {deployment} is used up, and its time of grace too: the \
                 chain ends it now"
            )),
            Standing::Idle | Standing::Pays(_) | Standing::Closed => None,
        }
    }
}

/// The money of an account for people: names and values.
pub fn rows(view: &AccountView, now: Time) -> Vec<(&'static str, String)> {
    let account = &view.account;
    let mut rows = Vec::new();
    let standing = Standing::of(view, now);
    match standing {
        Standing::Closed => rows.push(("paid back", tokens(account.refunded.0))),
        _ => rows.extend([
            ("left", tokens(view.free_uwlk.0)),
            ("lasts", standing.short()),
            (
                "costs",
                format!("{} an hour", tokens(account.rate_uwlk_per_hour.0)),
            ),
            (
                "earned",
                format!(
                    "{} by providers, not yet withdrawn",
                    tokens(view.earned_uwlk.0)
                ),
            ),
            (
                "prepaid",
                format!(
                    "{}, comes back when you close it",
                    tokens(account.prepaid.0)
                ),
            ),
        ]),
    }
    rows.push(("deposited", tokens(account.deposited.0)));
    rows.push(("paid", tokens(account.paid.0)));
    rows
}

/// A length of time for people: the two largest units that it has.
pub fn duration(nanos: u64) -> String {
    let seconds = nanos / NANOS_PER_SECOND;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use welkin_modules::escrow::types::Account;
    use welkin_modules::moment::Moment;
    use welkin_runtime::{Address, Amount, Coded};

    use super::*;

    fn view(state: AccountState, due: Option<u64>, closes_at: Option<u64>) -> AccountView {
        let seconds = |seconds: u64| Time(seconds * NANOS_PER_SECOND);
        AccountView {
            deployment: DeploymentId(7),
            account: Account {
                owner: Address([1; 20]),
                state,
                balance: Amount(0),
                prepaid: Amount(0),
                settled_at: seconds(0),
                covered_nanos: 0,
                rate_uwlk_per_hour: Amount(0),
                earned: Default::default(),
                open_payments: 0,
                due: due.map(seconds),
                exhausted_at: None,
                closes_at: closes_at.map(seconds),
                grace_used_nanos: 0,
                deposited: Amount(0),
                paid: Amount(0),
                refunded: Amount(0),
                opened: Moment {
                    height: 1,
                    time: seconds(0),
                },
                closed: None,
            },
            earned_uwlk: Amount(0),
            free_uwlk: Amount(0),
            grace_left_nanos: 0,
            closing: false,
        }
    }

    #[test]
    fn an_owner_is_told_for_how_long_the_money_lasts_and_what_comes_then() {
        let now = Time(100 * NANOS_PER_SECOND);
        let of = |view: &AccountView| Standing::of(view, now);
        let pays = view(AccountState::Open, Some(220), None);
        assert_eq!(of(&pays), Standing::Pays(120 * NANOS_PER_SECOND));
        assert_eq!(of(&pays).short(), "2 min 0 s");
        assert_eq!(of(&pays).warning(DeploymentId(7)), None);
        let idle = view(AccountState::Open, None, None);
        assert_eq!(of(&idle), Standing::Idle);
        let exhausted = view(AccountState::Exhausted, Some(90), Some(160));
        assert_eq!(of(&exhausted).short(), "used up, ends in 1 min 0 s");
        let warning = of(&exhausted).warning(DeploymentId(7)).unwrap();
        assert!(warning.contains("it ends in 1 min 0 s"), "{warning}");
        assert!(
            warning.contains("`welkin deployment deposit 7 UWLK`"),
            "{warning}"
        );
        let closing = AccountView {
            closing: true,
            ..exhausted
        };
        assert_eq!(of(&closing), Standing::Closing);
        assert!(of(&closing).warning(DeploymentId(7)).is_some());
        let closed = view(AccountState::Closed, None, None);
        assert_eq!(of(&closed), Standing::Closed);
    }

    #[test]
    fn a_deposit_that_is_refused_names_its_flag_and_other_refusals_do_not() {
        let refused = |error| {
            let refused = ClientError::Refused {
                error,
                transaction: None,
            };
            deposit_refused(refused)
        };
        for error in [
            EscrowError::DepositTooSmall.because("5 uwlk, at least 500000 uwlk"),
            AccountsError::InsufficientFunds.because("5 uwlk"),
        ] {
            let failure = refused(error);
            assert_eq!(failure.code, 4);
            assert!(failure.message.contains("--deposit"), "{failure}");
            assert!(failure.message.contains("5 uwlk"), "{failure}");
        }
        let other = refused(EscrowError::Closing.because(7));
        assert!(!other.message.contains("--deposit"), "{other}");
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let of = |seconds: u64| duration(seconds * NANOS_PER_SECOND + 1);
        assert_eq!(of(0), "0 s");
        assert_eq!(of(59), "59 s");
        assert_eq!(of(61), "1 min 1 s");
        assert_eq!(of(3_600), "1 h 0 min");
        assert_eq!(of(86_399), "23 h 59 min");
        assert_eq!(of(90_000), "1 d 1 h");
    }
}
