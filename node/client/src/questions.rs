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
    self as market, Bid, Lease, LeaseState, OrderState, OrderView,
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

/// Asks, and takes the one variant that answers this question: the answer was worked out here, by the module's own code.
macro_rules! ask {
    ($chain:expr, $module:ty, $query:expr, $answer:pat => $value:expr) => {{
        let proven = $chain.query::<$module>(&$query).await?;
        proven.map(|answer| match answer {
            $answer => $value,
            _ => unreachable!("a module answers a query with the variant of its name"),
        })
    }};
}

impl Chain {
    /// A deployment, if there is one.
    ///
    /// # Errors
    /// As [`Chain::query`], here and below.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<Deployment>, ClientError> {
        let query = deployment::Query::Deployment { deployment: id };
        let asked = ask!(self, Deployments, query, deployment::Answer::Deployment(found) => found);
        Ok(asked.answer)
    }

    /// The deployment that was created, or last updated, with this nonce.
    pub async fn deployment_by_nonce(
        &self,
        owner: Address,
        nonce: Nonce,
    ) -> Result<Option<Deployment>, ClientError> {
        let query = deployment::Query::ByNonce { owner, nonce };
        let asked = ask!(self, Deployments, query, deployment::Answer::ByNonce(found) => found);
        Ok(asked.answer)
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
        let asked = ask!(self, Deployments, query, deployment::Answer::Groups(found) => found);
        Ok(asked.answer)
    }

    /// A group, if there is one.
    pub async fn group(&self, group: GroupId) -> Result<Option<Group>, ClientError> {
        let query = deployment::Query::Group { group };
        let asked = ask!(self, Deployments, query, deployment::Answer::Group(found) => found);
        Ok(asked.answer)
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
        let proven = self.query_since::<Escrow>(height, &query).await?;
        Ok(proven.map(|answer| match answer {
            escrow::Answer::Account(found) => found,
            _ => unreachable!("a module answers a query with the variant of its name"),
        }))
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
        let asked = ask!(self, Market, query, market::Answer::Lease(found) => found);
        Ok(asked.answer)
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
        let asked = ask!(self, Providers, query, provider::Answer::Provider(found) => found);
        Ok(asked.answer)
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

    async fn all_pages<M: Module, Item, Start>(
        &self,
        query: impl Fn(Option<Start>) -> M::Query,
        page: impl Fn(M::Answer) -> Option<(Vec<Item>, Option<Start>)>,
    ) -> Result<Vec<Item>, ClientError> {
        let mut all = Vec::new();
        let mut start = None;
        loop {
            let answer = self.query::<M>(&query(start)).await?.answer;
            let (items, next) =
                page(answer).expect("a module answers a query with the variant of its name");
            all.extend(items);
            start = next;
            if start.is_none() {
                return Ok(all);
            }
        }
    }
}
