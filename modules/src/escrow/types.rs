//! Escrow accounts and payments as others see them.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::types::NANOS_PER_HOUR;
use welkin_runtime::{Address, Amount, Coded, Time};

use crate::ids::{DeploymentId, LeaseId};
use crate::moment::Moment;
use crate::text::{as_text, whole_number};

/// What one micro-token is in numerators: the nanoseconds of an hour.
pub const NUMERATORS_PER_UWLK: u128 = NANOS_PER_HOUR as u128;

/// An exact amount of money: a rate per hour times nanoseconds. 3.6e12 of them are a micro-token.
/// Text form: decimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Numerator(pub u128);

impl Numerator {
    /// The whole micro-tokens in it.
    pub fn whole(self) -> Amount {
        // A numerator is at most a balance (u64) times 3.6e12.
        Amount(u64::try_from(self.0 / NUMERATORS_PER_UWLK).unwrap_or(u64::MAX))
    }

    /// So many micro-tokens.
    pub fn of(amount: Amount) -> Numerator {
        Numerator(u128::from(amount.0) * NUMERATORS_PER_UWLK)
    }
}

impl fmt::Display for Numerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text is no numerator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole number below 2^128")]
pub struct NumeratorError;

impl FromStr for Numerator {
    type Err = NumeratorError;

    fn from_str(text: &str) -> Result<Numerator, NumeratorError> {
        whole_number(text).map(Numerator).ok_or(NumeratorError)
    }
}

as_text!(
    Numerator,
    "numerator",
    "Micro-tokens per hour times nanoseconds, as decimal digits."
);

/// Whether an account pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum AccountState {
    /// It pays.
    Open = 1,
    /// Its money is used up and its grace runs: nothing is earned; a top-up resumes it.
    Exhausted = 2,
    /// It is over and empty.
    Closed = 3,
}

/// The escrow account of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Whose it is: what is left when it closes goes there, whoever deposited it.
    pub owner: Address,
    /// Whether it pays.
    pub state: AccountState,
    /// What it holds, what was earned and not yet withdrawn included.
    pub balance: Amount,
    /// What was prepaid for the work of closing it, beside the balance.
    pub prepaid: Amount,
    /// Up to when it is settled.
    pub settled_at: Time,
    /// How many nanoseconds of its life were covered by money, up to then.
    pub covered_nanos: u64,
    /// The sum of the rates of its open payments.
    pub rate_uwlk_per_hour: Amount,
    /// What its open payments have earned and not yet paid out, together.
    pub earned: Numerator,
    /// How many payments are open.
    pub open_payments: u32,
    /// The last instant that is fully covered; nothing if that is never, or the account is closed.
    pub due: Option<Time>,
    /// Since when it is exhausted: the time of the first block at or past due.
    pub exhausted_at: Option<Time>,
    /// While it is exhausted: when it closes unless it is topped up.
    pub closes_at: Option<Time>,
    /// Grace that earlier exhaustions have used. It never comes back.
    pub grace_used_nanos: u64,
    /// All that was ever deposited, without the prepaid closing work.
    pub deposited: Amount,
    /// All that was ever paid to providers.
    pub paid: Amount,
    /// What went back to the owner when it closed, prepaid closing work included.
    pub refunded: Amount,
    /// When it was opened.
    pub opened: Moment,
    /// When it closed.
    pub closed: Option<Moment>,
}

/// Whether a payment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum PaymentState {
    /// It runs.
    Open = 1,
    /// It is over and paid.
    Closed = 2,
}

/// What a lease is paid, out of its deployment's account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// Who is paid.
    pub payee: Address,
    /// Whether it runs.
    pub state: PaymentState,
    /// How much.
    pub rate_uwlk_per_hour: Amount,
    /// The account's covered nanoseconds when it was opened: it has earned its rate since.
    pub opened_covered_nanos: u64,
    /// What was paid out.
    pub paid: Amount,
    /// When it was opened.
    pub opened: Moment,
    /// When it closed.
    pub closed: Option<Moment>,
}

/// An account as it stands at the newest block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// The account, settled up to the newest block.
    pub account: Account,
    /// What its open payments have earned and not yet paid out, up to the newest block.
    pub earned_uwlk: Amount,
    /// What the owner would get back if it closed now: the balance without what was earned.
    pub free_uwlk: Amount,
    /// How much grace is left.
    pub grace_left_nanos: u64,
    /// Its grace is used up and its end not yet carried out: it is *closing* and cannot be touched.
    pub closing: bool,
}

/// A payment as it stands at the newest block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct PaymentView {
    /// Of which lease.
    pub lease: LeaseId,
    /// The payment.
    pub payment: Payment,
    /// What can be withdrawn.
    pub earned_uwlk: Amount,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// The least deposit of a new account.
    pub min_deposit: Amount,
    /// What opening an account prepays for the work of closing it. It returns when a transaction
    /// closes the account, and becomes a fee when the chain has to.
    pub closing_deposit: Amount,
    /// How long an account may be exhausted in all its life.
    pub grace_seconds: u64,
    /// For how long the money must last when a payment opens or an account resumes.
    pub min_runway_seconds: u64,
    /// Accounts that become exhausted, or are closed, in a block, at most; the rest is carried
    /// over. Closing counts one for the account and one for each group of its deployment.
    pub work_per_block: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            min_deposit: Amount(500_000),
            closing_deposit: Amount(10_000),
            // Less than what has to be paid for first, so that new accounts buy no free hours.
            grace_seconds: 1_800,
            min_runway_seconds: 3_600,
            work_per_block: 256,
        }
    }
}

/// The beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    /// The rules.
    pub params: Params,
}

/// What accounts can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Call {
    /// Puts money into the account of a deployment, whoever owns it. It belongs to the owner then.
    Deposit {
        /// Which deployment.
        deployment: DeploymentId,
        /// How much; at least 1.
        amount: Amount,
    } = 1,
    /// Brings an account up to date, whoever owns it; past its end it closes the deployment.
    Settle {
        /// Which deployment.
        deployment: DeploymentId,
    } = 2,
    /// Pays out what the sender has earned by a lease.
    Withdraw {
        /// Which lease.
        lease: LeaseId,
    } = 3,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// The account of a deployment.
    Account {
        /// Which deployment.
        deployment: DeploymentId,
    } = 1,
    /// What a lease is paid.
    Payment {
        /// Which lease.
        lease: LeaseId,
    } = 2,
    /// The payments of a deployment, in the order of their leases.
    Payments {
        /// Which deployment.
        deployment: DeploymentId,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<LeaseId>,
        /// At most so many, up to 100.
        #[serde(default = "crate::page::default_limit")]
        limit: u32,
    } = 3,
    /// The rules.
    Params {} = 4,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The account, if there is one.
    Account(Option<AccountView>) = 1,
    /// The payment, if there is one.
    Payment(Option<PaymentView>) = 2,
    /// A page of payments.
    Payments {
        /// The payments.
        payments: Vec<PaymentView>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<LeaseId>,
    } = 3,
    /// The rules.
    Params(Params) = 4,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// An account was opened.
    Opened {
        /// Of which deployment.
        deployment: DeploymentId,
        /// What was put into it.
        deposit: Amount,
    } = 1,
    /// Money was put into an account.
    Deposited {
        /// Of which deployment.
        deployment: DeploymentId,
        /// By whom.
        from: Address,
        /// How much.
        amount: Amount,
    } = 2,
    /// The money of an account is used up.
    Exhausted {
        /// Of which deployment.
        deployment: DeploymentId,
        /// When the money was used up.
        due: Time,
        /// When the account closes unless it is topped up.
        closes_at: Time,
    } = 3,
    /// An exhausted account pays again.
    Resumed {
        /// Of which deployment.
        deployment: DeploymentId,
        /// All grace used so far.
        grace_used_nanos: u64,
    } = 4,
    /// An account is over.
    Closed {
        /// Of which deployment.
        deployment: DeploymentId,
        /// What went back to the owner, prepaid closing work included.
        refunded: Amount,
    } = 5,
    /// A lease is paid from now on.
    PaymentOpened {
        /// Which lease.
        lease: LeaseId,
        /// Who is paid.
        payee: Address,
        /// How much.
        rate_uwlk_per_hour: Amount,
    } = 6,
    /// A provider was paid.
    Paid {
        /// For which lease.
        lease: LeaseId,
        /// Who was paid.
        payee: Address,
        /// How much.
        amount: Amount,
    } = 7,
    /// A lease is no longer paid.
    PaymentClosed {
        /// Which lease.
        lease: LeaseId,
        /// All that it was paid.
        paid: Amount,
    } = 8,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Error {
    /// There is no such account.
    UnknownAccount = 1,
    /// There is no such payment.
    UnknownPayment = 2,
    /// The account is closed.
    AccountClosed = 3,
    /// The account is past its end and about to be closed; `settle` closes it now.
    Closing = 4,
    /// The money of the account is used up: top it up first.
    Exhausted = 5,
    /// The money would not last for the least time.
    RunwayTooShort = 6,
    /// The deposit is too small.
    DepositTooSmall = 7,
    /// A rate is zero, or the sum of rates is too large.
    BadRate = 8,
    /// Only who is paid may withdraw.
    NotPayee = 9,
    /// There is not a whole micro-token to withdraw.
    NothingEarned = 10,
    /// The account or payment exists already.
    Exists = 11,
    /// The payment is closed.
    PaymentClosed = 12,
    /// An amount would be more than there is; never happens while invariants hold.
    Overflow = 13,
    /// The account has open payments.
    PaymentsOpen = 14,
    /// The rules of the genesis make no sense.
    BadParams = 15,
}

impl Coded for Error {
    const MODULE: &'static str = "escrow";

    fn code(self) -> u32 {
        self as u32
    }
}
