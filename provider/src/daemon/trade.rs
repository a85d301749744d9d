//! What the provider does on chain: bids, withdrawals, closing leases that nobody uses.
//!
//! It runs beside the reconcile loop and sees its newest look, so that a chain that stands still, or a transaction that is
//! waited for, holds up no container.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use welkin_client::{ClientError, call};
use welkin_modules::escrow::Escrow;
use welkin_modules::escrow::types::Call as EscrowCall;
use welkin_modules::ids::LeaseId;
use welkin_modules::market::Market;
use welkin_modules::market::types::Call as MarketCall;
use welkin_modules::matching::Resources;
use welkin_modules::moment::Reason;
use welkin_runtime::crypto::SigningKey;

use super::bidding::{Bidder, Round, submit_each};
use super::book::Live;
use super::fence::{Fence, guard};
use super::look::{Leases, Looker};
use super::{LOG, Watch};
use crate::backend::{Backend, Inventory, Traffic};
use crate::bid::{Demand, Ledger, Offering, PriceTable};
use crate::config::Capacity;
use crate::ingress;

/// Withdrawals in one transaction.
const MAX_WITHDRAWALS: usize = 32;

/// What may be sold of the disk where the operator says nothing: 64 GiB.
const DEFAULT_STORAGE_BYTES: u64 = 64 << 30;

/// What the trader is made of.
pub struct Parts {
    /// Looks at the chain.
    pub looker: Looker,
    /// The provider's account.
    pub key: SigningKey,
    /// What this provider is.
    pub offering: Offering,
    /// What the operator lets it promise.
    pub capacity: Capacity,
    /// What has that.
    pub backend: Arc<dyn Backend>,
    /// What it asks.
    pub prices: PriceTable,
    /// The provider's folder.
    pub home: PathBuf,
    /// Who leads the world to leases.
    pub traffic: Traffic,
    /// For `status` and metrics.
    pub watch: Watch,
    /// How often earned money is withdrawn.
    pub withdraw_interval: Duration,
    /// What the reconcile loop sees.
    pub views: watch::Receiver<View>,
    /// Where the newest ledger is shown for quotes; none while there are no bids.
    pub ledgers: watch::Sender<Option<Ledger>>,
}

/// What the reconcile loop sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The last look at the leases.
    pub leases: Leases,
    /// Those that got no manifest for too long.
    pub unused: BTreeSet<LeaseId>,
}

/// The trader.
pub struct Trader {
    parts: Parts,
    bidder: Bidder,
    withdrew_at: Instant,
}

impl Parts {
    /// A trader; its first withdrawal is one interval away.
    pub fn build(self) -> Trader {
        Trader {
            parts: self,
            bidder: Bidder::default(),
            withdrew_at: Instant::now(),
        }
    }
}

impl Trader {
    /// Acts on every new look, until there will be no more.
    pub async fn run(self) {
        let (told, fence) = watch::channel(Fence::Unknown);
        let guarding = guard(self.parts.backend.clone(), told, self.parts.watch.clone());
        tokio::select! {
            () = self.trade(fence) => {}
            () = guarding => {}
        }
    }

    async fn trade(mut self, fence: watch::Receiver<Fence>) {
        while self.parts.views.changed().await.is_ok() {
            let view = self.parts.views.borrow_and_update().clone();
            let is_fenced = *fence.borrow() == Fence::Holds;
            let outcome = self.round(&view, is_fenced).await;
            if let Err(error) = &outcome {
                tracing::warn!(target: LOG, %error, "no bids or withdrawals this time");
            }
            let error = outcome.err().map(|error| error.to_string());
            self.parts.watch.note_trade(error);
        }
    }

    async fn round(&mut self, view: &View, is_fenced: bool) -> Result<(), ClientError> {
        let bids = self.close_and_bid(view, is_fenced).await;
        let ledger = bids.as_ref().ok().cloned().flatten();
        self.parts.ledgers.send_replace(ledger);
        bids?;
        self.withdraw(&view.leases).await
    }

    async fn close_and_bid(
        &mut self,
        view: &View,
        is_fenced: bool,
    ) -> Result<Option<Ledger>, ClientError> {
        self.close_unused(view).await?;
        if !is_fenced {
            return Ok(None);
        }
        self.bid(&view.leases).await
    }

    async fn close_unused(&self, view: &View) -> Result<(), ClientError> {
        let unused: Vec<LeaseId> = view.unused.iter().copied().collect();
        if unused.is_empty() {
            return Ok(());
        }
        let call = |lease: &LeaseId| {
            call::<Market>(&MarketCall::CloseLease {
                lease: *lease,
                reason: Reason::NO_MANIFEST,
            })
        };
        let (chain, key) = (self.parts.looker.chain(), &self.parts.key);
        let outcomes = submit_each(chain, key, unused.iter().map(call).collect()).await?;
        for (lease, outcome) in unused.iter().zip(outcomes) {
            match outcome {
                Ok(()) => tracing::info!(target: LOG, %lease, "closed: nobody sent a manifest"),
                Err(error) => {
                    tracing::warn!(target: LOG, %lease, %error, "the lease could not be closed");
                }
            }
        }
        Ok(())
    }

    /// The ledger after the bids; none where nothing is bid on, because nobody would serve it.
    async fn bid(&mut self, leases: &Leases) -> Result<Option<Ledger>, ClientError> {
        let is_served = match self.parts.traffic {
            Traffic::Ingress => ingress::is_running(&self.parts.home),
            Traffic::Cluster => true,
        };
        self.parts.watch.note_ingress(is_served);
        if !is_served {
            return Ok(None);
        }
        let room = match self.parts.backend.room().await {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(target: LOG, %error, "what is free is not known, so nothing is bid on");
                return Ok(None);
            }
        };
        let has = room
            .as_ref()
            .map_or_else(|| self.parts.backend.inventory(), |room| room.total);
        let mut ledger = Ledger::new(capacity(self.parts.capacity, has));
        let mut placed = BTreeMap::new();
        if let Some(room) = room {
            ledger = ledger.on(room.nodes, room.overhead);
            placed = room.placed;
        }
        let held = |live: &Live| (live.key.lease, Demand::of(&live.spec));
        let ledger = self
            .bidder
            .round(Round {
                looker: &self.parts.looker,
                key: &self.parts.key,
                offering: &self.parts.offering,
                ledger,
                leases: leases.live.values().map(held).collect(),
                placed,
                prices: &self.parts.prices,
            })
            .await?;
        self.parts.watch.note_ledger(&ledger);
        Ok(Some(ledger))
    }

    async fn withdraw(&mut self, leases: &Leases) -> Result<(), ClientError> {
        if self.withdrew_at.elapsed() < self.parts.withdraw_interval || leases.live.is_empty() {
            return Ok(());
        }
        self.withdrew_at = Instant::now();
        let (chain, key) = (self.parts.looker.chain(), &self.parts.key);
        let ids: Vec<LeaseId> = leases.live.keys().copied().collect();
        let call = |lease: &LeaseId| call::<Escrow>(&EscrowCall::Withdraw { lease: *lease });
        for batch in ids.chunks(MAX_WITHDRAWALS) {
            let outcomes = submit_each(chain, key, batch.iter().map(call).collect()).await?;
            for (lease, outcome) in batch.iter().zip(outcomes) {
                match outcome {
                    Ok(()) => tracing::info!(target: LOG, %lease, "withdrew what was earned"),
                    // It ended meanwhile, or earned nothing yet.
                    Err(error) => tracing::debug!(target: LOG, %lease, %error, "not withdrawn"),
                }
            }
        }
        Ok(())
    }
}

/// What may be promised of what there is.
fn capacity(wanted: Capacity, has: Inventory) -> Resources {
    Resources {
        cpu_millis: wanted.cpu_millis.unwrap_or(has.cpu_millis),
        memory_bytes: wanted
            .memory_bytes
            .unwrap_or(has.memory_bytes)
            .min(has.memory_bytes),
        gpus: 0,
        storage_bytes: wanted.storage_bytes.unwrap_or(DEFAULT_STORAGE_BYTES),
    }
}
