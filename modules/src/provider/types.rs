//! Providers as others see them.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount, Coded, Time};

use crate::moment::Moment;
use crate::page::default_limit;
use crate::spec::Attributes;

/// Whether a provider takes orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Status {
    /// It may bid, and its bids may be accepted.
    Active = 1,
    /// It takes nothing new; its bond stays locked until its last bid and lease have ended.
    Leaving = 2,
    /// It is gone and has its bond back; the record stays for a set time.
    Retired = 3,
}

/// What a provider says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The libp2p identity of its peer channel, in base58.
    pub peer_id: String,
    /// Where its peer channel listens: multiaddresses, as in `/ip4/203.0.113.7/tcp/8443`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What it has and can do, as in `region: eu`, `isolation: userns`,
    /// `capabilities/storage/1/class: beta3`.
    #[serde(default)]
    pub attributes: Attributes,
    /// A page for people; may be empty.
    #[serde(default)]
    pub website: String,
    /// How to reach its operator; may be empty.
    #[serde(default)]
    pub contact: String,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// Its account.
    pub address: Address,
    /// Whether it takes orders.
    pub status: Status,
    /// What it says of itself.
    pub profile: Profile,
    /// What it has locked.
    pub bond: Amount,
    /// When it registered.
    pub registered: Moment,
    /// When it last changed its profile.
    pub updated: Moment,
    /// When it got its bond back.
    pub retired: Option<Moment>,
}

/// A provider and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct ProviderView {
    /// The provider.
    pub provider: Provider,
    /// Its open bids and active leases together.
    pub engagements: u32,
}

/// That an auditor vouches for attributes of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    /// Of whom.
    pub provider: Address,
    /// Who vouches. Anybody may; tenants choose whom they believe.
    pub auditor: Address,
    /// What for.
    pub attributes: Attributes,
    /// What the auditor has locked for it.
    pub deposit: Amount,
    /// When it was signed.
    pub signed: Moment,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// What a provider locks while it is registered.
    pub bond: Amount,
    /// What an auditor locks for an attestation.
    pub attestation_deposit: Amount,
    /// Multiaddresses of a provider, at most.
    pub max_addresses: u32,
    /// Attributes of a provider or an attestation, at most.
    pub max_attributes: u32,
    /// How long a retired provider can be queried.
    pub prune_delay_seconds: u64,
    /// Retired providers and their attestations removed in a block, at most.
    pub pruned_per_block: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            bond: Amount(100_000_000),
            attestation_deposit: Amount(1_000_000),
            max_addresses: 8,
            max_attributes: 64,
            prune_delay_seconds: 7 * 24 * 3_600,
            pruned_per_block: 64,
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
    /// Makes the sender a provider and locks its bond; brings one back that was leaving or retired.
    Register(Profile) = 1,
    /// Replaces the sender's profile. Live leases go on as they are; open bids are matched again
    /// when they are accepted.
    Update(Profile) = 2,
    /// Stops taking orders. The bond comes back when the last open bid and lease have ended.
    Deactivate {} = 3,
    /// Vouches for attributes of a provider, in place of what the sender vouched for before.
    Attest {
        /// Of whom.
        provider: Address,
        /// What for; at least one.
        attributes: Attributes,
    } = 4,
    /// Takes back what the sender vouched for. The deposit returns.
    Revoke {
        /// Of whom.
        provider: Address,
    } = 5,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// A provider.
    Provider {
        /// Its account.
        address: Address,
    } = 1,
    /// All providers, in the order of their addresses.
    Providers {
        /// The page begins after this one.
        #[serde(default)]
        start: Option<Address>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 2,
    /// What an auditor vouches for.
    Attestation {
        /// Of whom.
        provider: Address,
        /// Who vouches.
        auditor: Address,
    } = 3,
    /// All attestations of a provider, in the order of the auditors' addresses.
    Attestations {
        /// Of whom.
        provider: Address,
        /// The page begins after this auditor.
        #[serde(default)]
        start: Option<Address>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 4,
    /// The rules.
    Params {} = 5,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The provider, if there is one.
    Provider(Option<ProviderView>) = 1,
    /// A page of providers.
    Providers {
        /// The providers.
        providers: Vec<ProviderView>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<Address>,
    } = 2,
    /// The attestation, if there is one.
    Attestation(Option<Attestation>) = 3,
    /// A page of attestations.
    Attestations {
        /// The attestations.
        attestations: Vec<Attestation>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<Address>,
    } = 4,
    /// The rules.
    Params(Params) = 5,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// A provider registered, or came back.
    Registered {
        /// Who.
        provider: Address,
    } = 1,
    /// A provider changed its profile.
    Updated {
        /// Who.
        provider: Address,
        /// The keys of attributes that it no longer has, or has with another value.
        dropped: Vec<String>,
    } = 2,
    /// A provider stopped taking orders.
    Deactivated {
        /// Who.
        provider: Address,
    } = 3,
    /// A provider is gone and got its bond back.
    Retired {
        /// Who.
        provider: Address,
        /// The bond.
        bond: Amount,
    } = 4,
    /// An auditor vouched for attributes.
    Attested {
        /// Of whom.
        provider: Address,
        /// Who vouches.
        auditor: Address,
    } = 5,
    /// An attestation ended and its deposit went back.
    Revoked {
        /// Of whom.
        provider: Address,
        /// Who vouched.
        auditor: Address,
    } = 6,
    /// The record of a retired provider was removed.
    Pruned {
        /// Who.
        provider: Address,
        /// Since when it was gone.
        retired_at: Time,
    } = 7,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Error {
    /// There is no such provider.
    UnknownProvider = 1,
    /// It is registered already: update it instead.
    AlreadyRegistered = 2,
    /// The provider is leaving or gone.
    NotActive = 3,
    /// The peer id is no base58 text of 32 to 128 characters.
    BadPeerId = 4,
    /// There are too many addresses, or one is no multiaddress of at most 256 characters.
    BadAddress = 5,
    /// There are too many attributes, or a key or value has a form that is not allowed.
    BadAttributes = 6,
    /// A text is longer than 256 characters or holds control characters.
    BadText = 7,
    /// There is no such attestation.
    UnknownAttestation = 8,
    /// The rules of the genesis make no sense.
    BadParams = 9,
}

impl Coded for Error {
    const MODULE: &'static str = "provider";

    fn code(self) -> u32 {
        self as u32
    }
}
