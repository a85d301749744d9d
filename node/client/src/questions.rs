//! What users of the client ask the modules, with the types of the answers. Lists come complete, page after page; a
//! page may be of a later height than the one before.

use std::collections::BTreeMap;

use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{self as deployment, Deployment, Group, Nonce};
use welkin_modules::escrow::Escrow;
use welkin_modules::escrow::types::{self as escrow, AccountView, PaymentView};
use welkin_modules::ids::{DeploymentId, GroupId, LeaseId, OrderId};
use welkin_modules::market::Market;
use welkin_modules::market::types::{
    self as market, Bid, BidState, Lease, LeaseState, OrderState, OrderView,
};
use welkin_modules::provider::Providers;
use welkin_modules::provider::types::{self as provider, ProviderView};
use welkin_modules::spec::Attributes;
use welkin_runtime::{Address, Module};

use crate::chain::Chain;
use crate::error::ClientError;
use crate::query::Proven;

/// The longest page that the modules give.
const PAGE: u32 = 100;

/// Why an answer always is of the variant that was asked for: it was worked out here, by the module's own code.
const ITS_OWN: &str = "a module answers a query with the variant of its name";

impl Chain {
    /// A deployment, if there is one.
    ///
    /// # Errors
    /// As [`Chain::query`], here and below.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<Deployment>, ClientError> {
        let query = deployment::Query::Deployment { deployment: id };
        let pick = |answer| match answer {
            deployment::Answer::Deployment(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Deployments, _>(0, &query, pick).await?.answer)
    }

    /// The deployment that was created, or last updated, with this nonce.
    pub async fn deployment_by_nonce(
        &self,
        owner: Address,
        nonce: Nonce,
    ) -> Result<Option<Deployment>, ClientError> {
        let query = deployment::Query::ByNonce { owner, nonce };
        let pick = |answer| match answer {
            deployment::Answer::ByNonce(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Deployments, _>(0, &query, pick).await?.answer)
    }

    /// All deployments of an owner, ended ones included.
    pub async fn deployments_of(&self, owner: Address) -> Result<Vec<Deployment>, ClientError> {
        let query = |start| deployment::Query::ByOwner {
            owner,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            deployment::Answer::ByOwner { deployments, next } => Some((deployments, next)),
            _ => None,
        };
        self.all_pages::<Deployments, _, _>(query, page).await
    }

    /// All groups of a deployment; none if there is no such deployment.
    pub async fn groups(&self, deployment: DeploymentId) -> Result<Vec<Group>, ClientError> {
        let query = deployment::Query::Groups { deployment };
        let pick = |answer| match answer {
            deployment::Answer::Groups(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Deployments, _>(0, &query, pick).await?.answer)
    }

    /// A group, if there is one.
    pub async fn group(&self, group: GroupId) -> Result<Option<Group>, ClientError> {
        let query = deployment::Query::Group { group };
        let pick = |answer| match answer {
            deployment::Answer::Group(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Deployments, _>(0, &query, pick).await?.answer)
    }

    /// A deployment's escrow account as it stands at the time of the answer.
    pub async fn escrow(
        &self,
        deployment: DeploymentId,
    ) -> Result<Proven<Option<AccountView>>, ClientError> {
        self.escrow_since(0, deployment).await
    }

    /// The same after block `height` or a later one, which is waited for.
    pub async fn escrow_since(
        &self,
        height: u64,
        deployment: DeploymentId,
    ) -> Result<Proven<Option<AccountView>>, ClientError> {
        let query = escrow::Query::Account { deployment };
        let pick = |answer| match answer {
            escrow::Answer::Account(found) => Some(found),
            _ => None,
        };
        self.one::<Escrow, _>(height, &query, pick).await
    }

    /// All payments of a deployment.
    pub async fn payments(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<PaymentView>, ClientError> {
        let query = |start| escrow::Query::Payments {
            deployment,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            escrow::Answer::Payments { payments, next } => Some((payments, next)),
            _ => None,
        };
        self.all_pages::<Escrow, _, _>(query, page).await
    }

    /// All open orders.
    pub async fn open_orders(&self) -> Result<Vec<OrderView>, ClientError> {
        let query = |start| market::Query::Orders {
            state: OrderState::Open,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            market::Answer::Orders(page) => Some((page.orders, page.next)),
            _ => None,
        };
        self.all_pages::<Market, _, _>(query, page).await
    }

    /// An order, if it is still known.
    pub async fn order(&self, order: OrderId) -> Result<Option<OrderView>, ClientError> {
        let query = market::Query::Order { order };
        let pick = |answer| match answer {
            market::Answer::Order(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Market, _>(0, &query, pick).await?.answer)
    }

    /// All bids of a provider in a state.
    pub async fn bids_by(
        &self,
        provider: Address,
        state: BidState,
    ) -> Result<Vec<Bid>, ClientError> {
        let query = |start| market::Query::BidsBy {
            provider,
            state,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            market::Answer::BidsBy { bids, next } => Some((bids, next)),
            _ => None,
        };
        self.all_pages::<Market, _, _>(query, page).await
    }

    /// All bids on an order, whatever their state.
    pub async fn bids_on(&self, order: OrderId) -> Result<Vec<Bid>, ClientError> {
        let query = |start| market::Query::BidsOn {
            order,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            market::Answer::BidsOn { bids, next } => Some((bids, next)),
            _ => None,
        };
        self.all_pages::<Market, _, _>(query, page).await
    }

    /// A lease, if there is one.
    pub async fn lease(&self, lease: LeaseId) -> Result<Option<Lease>, ClientError> {
        let query = market::Query::Lease { lease };
        let pick = |answer| match answer {
            market::Answer::Lease(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Market, _>(0, &query, pick).await?.answer)
    }

    /// All leases of a tenant in a state.
    pub async fn leases_of(
        &self,
        owner: Address,
        state: LeaseState,
    ) -> Result<Vec<Lease>, ClientError> {
        let query = |start| market::Query::LeasesOf {
            owner,
            state,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            market::Answer::LeasesOf(page) => Some((page.leases, page.next)),
            _ => None,
        };
        self.all_pages::<Market, _, _>(query, page).await
    }

    /// All leases with a provider in a state.
    pub async fn leases_by(
        &self,
        provider: Address,
        state: LeaseState,
    ) -> Result<Vec<Lease>, ClientError> {
        let query = |start| market::Query::LeasesBy {
            provider,
            state,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            market::Answer::LeasesBy(page) => Some((page.leases, page.next)),
            _ => None,
        };
        self.all_pages::<Market, _, _>(query, page).await
    }

    /// A provider, if there is one.
    pub async fn provider(&self, address: Address) -> Result<Option<ProviderView>, ClientError> {
        let query = provider::Query::Provider { address };
        let pick = |answer| match answer {
            provider::Answer::Provider(found) => Some(found),
            _ => None,
        };
        Ok(self.one::<Providers, _>(0, &query, pick).await?.answer)
    }

    /// All providers.
    pub async fn providers(&self) -> Result<Vec<ProviderView>, ClientError> {
        let query = |start| provider::Query::Providers { start, limit: PAGE };
        let page = |answer| match answer {
            provider::Answer::Providers { providers, next } => Some((providers, next)),
            _ => None,
        };
        self.all_pages::<Providers, _, _>(query, page).await
    }

    /// What each auditor vouches for of a provider.
    pub async fn attestations(
        &self,
        provider: Address,
    ) -> Result<BTreeMap<Address, Attributes>, ClientError> {
        let query = |start| provider::Query::Attestations {
            provider,
            start,
            limit: PAGE,
        };
        let page = |answer| match answer {
            provider::Answer::Attestations { attestations, next } => Some((attestations, next)),
            _ => None,
        };
        let all = self.all_pages::<Providers, _, _>(query, page).await?;
        Ok(all
            .into_iter()
            .map(|one| (one.auditor, one.attributes))
            .collect())
    }

    /// A question with one answer, about the state after block `height` or a later one.
    pub(crate) async fn one<M: Module, T>(
        &self,
        height: u64,
        query: &M::Query,
        pick: impl FnOnce(M::Answer) -> Option<T>,
    ) -> Result<Proven<T>, ClientError> {
        let proven = self.query_since::<M>(height, query).await?;
        Ok(proven.map(|answer| pick(answer).expect(ITS_OWN)))
    }

    async fn all_pages<M: Module, Item, Start>(
        &self,
        query: impl Fn(Option<Start>) -> M::Query,
        page: impl Fn(M::Answer) -> Option<(Vec<Item>, Option<Start>)>,
    ) -> Result<Vec<Item>, ClientError> {
        let mut all = Vec::new();
        let mut start = None;
        loop {
            let answer = self.query::<M>(&query(start)).await?.answer;
            let (items, next) = page(answer).expect(ITS_OWN);
            all.extend(items);
            start = next;
            if start.is_none() {
                return Ok(all);
            }
        }
    }
}
