//! The price table: what an hour of each resource costs. Integers only, rounded up at the end of each kind.

use serde::{Deserialize, Serialize};
use welkin_modules::matching::Resources;
use welkin_modules::spec::GroupSpec;
use welkin_runtime::Amount;

const MILLIS_PER_CORE: u128 = 1_000;
const BYTES_PER_GIB: u128 = 1 << 30;

/// Prices in micro-tokens for an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceTable {
    /// One processor core.
    pub cpu_uwlk_per_core_hour: u64,
    /// One GiB of memory.
    pub memory_uwlk_per_gib_hour: u64,
    /// One GiB of disk.
    pub storage_uwlk_per_gib_hour: u64,
    /// One endpoint, of each replica's service once.
    pub endpoint_uwlk_per_hour: u64,
    /// The least that any group costs.
    pub minimum_uwlk_per_hour: u64,
}

impl Default for PriceTable {
    fn default() -> Self {
        PriceTable {
            cpu_uwlk_per_core_hour: 20_000,
            memory_uwlk_per_gib_hour: 5_000,
            storage_uwlk_per_gib_hour: 200,
            endpoint_uwlk_per_hour: 100,
            minimum_uwlk_per_hour: 1,
        }
    }
}

impl PriceTable {
    /// What the group costs in an hour, at least 1; `None` where that is more than an amount can be.
    pub fn rate(&self, spec: &GroupSpec) -> Option<Amount> {
        let needed = Resources::needed(spec);
        let endpoints = spec
            .resources
            .iter()
            .map(|unit| unit.endpoints.len() as u128)
            .sum::<u128>();
        let part = |amount: u64, price: u64, unit: u128| {
            (u128::from(amount) * u128::from(price)).div_ceil(unit)
        };
        let sum = [
            part(
                needed.cpu_millis,
                self.cpu_uwlk_per_core_hour,
                MILLIS_PER_CORE,
            ),
            part(
                needed.memory_bytes,
                self.memory_uwlk_per_gib_hour,
                BYTES_PER_GIB,
            ),
            part(
                needed.storage_bytes,
                self.storage_uwlk_per_gib_hour,
                BYTES_PER_GIB,
            ),
            endpoints.checked_mul(u128::from(self.endpoint_uwlk_per_hour))?,
        ]
        .into_iter()
        .try_fold(0u128, u128::checked_add)?;
        let rate = u64::try_from(sum).ok()?;
        Some(Amount(rate.max(self.minimum_uwlk_per_hour).max(1)))
    }
}
