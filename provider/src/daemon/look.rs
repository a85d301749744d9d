//! Looks at the chain: what is proven about this provider's leases, bids and the open orders.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use welkin_client::{Chain, ClientError};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{
    Answer as DeploymentAnswer, Group, Params as DeploymentParams, Query as DeploymentQuery,
};
use welkin_modules::ids::{DeploymentId, GroupId, LeaseId, OrderId};
use welkin_modules::market::Market;
use welkin_modules::market::types::{
    Answer as MarketAnswer, Bid, BidState, Lease, LeaseState, OrderView, Params as MarketParams,
    Query as MarketQuery,
};
use welkin_modules::provider::types::ProviderView;
use welkin_modules::spec::Attributes;
use welkin_runtime::{Address, Hash};

use super::book::Live;
use crate::backend::LeaseKey;
use crate::planner::{ChainView, Proven};

/// Entries of one page.
const PAGE: u32 = 100;

/// The chain, as this provider looks at it. Group specifications never change and are remembered.
pub struct Looker {
    chain: Chain,
    provider: Address,
    groups: BTreeMap<GroupId, Group>,
}

/// A look at the leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// What was proven about each, for the planner.
    pub view: ChainView,
    /// The active ones.
    pub live: BTreeMap<LeaseId, Live>,
}

impl Leases {
    /// The part that may still be acted upon when the chain cannot be looked at: nothing in it can end a lease.
    #[must_use]
    pub fn only_active(&self) -> Leases {
        let mut part = self.clone();
        part.view
            .leases
            .retain(|_, proven| matches!(proven, Proven::Active { .. }));
        part
    }
}

impl Looker {
    /// Looks with this client, for this provider.
    pub fn new(chain: Chain, provider: Address) -> Looker {
        Looker {
            chain,
            provider,
            groups: BTreeMap::new(),
        }
    }

    /// All active leases of this provider, and what became of those in `also`: all of it at one height.
    ///
    /// # Errors
    /// [`ClientError`]; nothing is known then.
    pub async fn leases(
        &mut self,
        also: impl Iterator<Item = LeaseId>,
    ) -> Result<Leases, ClientError> {
        let mut found = Leases::default();
        let (height, active) = self.active_leases().await?;
        found.view.height = height;
        for lease in active {
            let live = self.live(&lease, height).await?;
            let proven = Proven::Active {
                creation_height: live.key.creation_height,
                commitment: live.commitment,
            };
            found.view.leases.insert(lease.id, proven);
            found.live.insert(lease.id, live);
        }
        for lease in also {
            if let Entry::Vacant(unknown) = found.view.leases.entry(lease) {
                unknown.insert(self.ended(lease, height).await?);
            }
        }
        self.groups.retain(|group, _| {
            found
                .live
                .values()
                .any(|live| group_of(live.key.lease) == *group)
        });
        Ok(found)
    }

    /// All of them, and the height that they were proven at: the newest for the first page, the same for the others.
    async fn active_leases(&self) -> Result<(u64, Vec<Lease>), ClientError> {
        let page = |start| MarketQuery::LeasesBy {
            provider: self.provider,
            state: LeaseState::Active,
            start,
            limit: PAGE,
        };
        let first = self.chain.query::<Market>(&page(None)).await?;
        let height = first.height;
        let mut answer = first.answer;
        let mut leases = Vec::new();
        loop {
            let MarketAnswer::LeasesBy(found) = answer else {
                return Err(unexpected("leases"));
            };
            leases.extend(found.leases);
            if found.next.is_none() {
                return Ok((height, leases));
            }
            answer = self
                .chain
                .query_at::<Market>(height, &page(found.next))
                .await?
                .answer;
        }
    }

    /// What became of a lease that is not among this provider's active ones.
    async fn ended(&self, lease: LeaseId, height: u64) -> Result<Proven, ClientError> {
        let query = MarketQuery::Lease { lease };
        let MarketAnswer::Lease(lease) =
            self.chain.query_at::<Market>(height, &query).await?.answer
        else {
            return Err(unexpected("a lease"));
        };
        Ok(match lease {
            // Closed; or active and another's, and over for this provider.
            Some(_) => Proven::Closed,
            None => Proven::Absent,
        })
    }

    async fn live(&mut self, lease: &Lease, height: u64) -> Result<Live, ClientError> {
        let group = self.group(group_of(lease.id), height).await?;
        Ok(Live {
            key: LeaseKey {
                lease: lease.id,
                creation_height: lease.created.height,
            },
            owner: lease.owner,
            group: lease.id.group,
            commitment: self.commitment(lease.id.deployment, height).await?,
            spec: group.spec,
        })
    }

    async fn group(&mut self, id: GroupId, height: u64) -> Result<Group, ClientError> {
        if let Some(group) = self.groups.get(&id) {
            return Ok(group.clone());
        }
        let query = DeploymentQuery::Group { group: id };
        let answer = self
            .chain
            .query_at::<Deployments>(height, &query)
            .await?
            .answer;
        let DeploymentAnswer::Group(Some(group)) = answer else {
            return Err(unexpected("the group of a lease"));
        };
        self.groups.insert(id, group.clone());
        Ok(group)
    }

    async fn commitment(&self, deployment: DeploymentId, height: u64) -> Result<Hash, ClientError> {
        let query = DeploymentQuery::Deployment { deployment };
        let answer = self
            .chain
            .query_at::<Deployments>(height, &query)
            .await?
            .answer;
        let DeploymentAnswer::Deployment(Some(deployment)) = answer else {
            return Err(unexpected("the deployment of a lease"));
        };
        Ok(deployment.commitment)
    }

    /// All open orders.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_orders(&self) -> Result<Vec<OrderView>, ClientError> {
        self.chain.open_orders().await
    }

    /// An order, if it is still known.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(&self, order: OrderId) -> Result<Option<OrderView>, ClientError> {
        self.chain.order(order).await
    }

    /// This provider's open bids.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_bids(&self) -> Result<Vec<Bid>, ClientError> {
        self.chain.bids_by(self.provider, BidState::Open).await
    }

    /// The orders whose lease this provider has now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leased_orders(&self) -> Result<Vec<OrderId>, ClientError> {
        let (_, leases) = self.active_leases().await?;
        Ok(leases.iter().map(|lease| lease.id).collect())
    }

    /// The market's rules.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn market_params(&self) -> Result<MarketParams, ClientError> {
        match self
            .chain
            .query::<Market>(&MarketQuery::Params {})
            .await?
            .answer
        {
            MarketAnswer::Params(params) => Ok(params),
            _ => Err(unexpected("the market's rules")),
        }
    }

    /// The rules for deployments.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deployment_params(&self) -> Result<DeploymentParams, ClientError> {
        let query = DeploymentQuery::Params {};
        match self.chain.query::<Deployments>(&query).await?.answer {
            DeploymentAnswer::Params(params) => Ok(params),
            _ => Err(unexpected("the rules for deployments")),
        }
    }

    /// This provider as registered, if it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn registration(&self) -> Result<Option<ProviderView>, ClientError> {
        self.chain.provider(self.provider).await
    }

    /// What auditors vouch for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attestations(&self) -> Result<BTreeMap<Address, Attributes>, ClientError> {
        self.chain.attestations(self.provider).await
    }

    /// The client underneath.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

fn group_of(lease: LeaseId) -> GroupId {
    GroupId {
        deployment: lease.deployment,
        group: lease.group,
    }
}

/// The answer is proven, so a wrong kind can only be this program's own mistake; it is reported and tried again.
fn unexpected(what: &str) -> ClientError {
    ClientError::NotFound(format!(
        "the chain's answer about {what} is of another kind than was asked for"
    ))
}
